// How each recorded case is played: it has the name of the recording and does what the recorded
// client did. It is long, because it lists all cases.
import { Buffer } from 'node:buffer';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { drip, speakTcp, speakTls } from './client.ts';
import type { Play, TlsPlay } from './client.ts';
import { helloFor, inOneRecord, inRecordsOf } from './hellos.ts';
import * as players from './players.ts';
import { outcomeOf, PING, TLS12 } from './players.ts';
import { until } from '../egress/until.ts';
import { wordsOfSeen } from './words.ts';
import type { Limit } from './words.ts';
import { CONNECT_MS, SETUP_MS } from './zone.ts';
import type { Zone } from './zone.ts';

export type Case = players.Case<Zone>;
type Client = players.Client<Zone>;

const frontend: Client = (zone) => zone.frontend;
const nobody: Client = ({ mesh }) => mesh.client('nobody');
const withTags = (service: string, tags: Readonly<Record<string, string>>): Client => {
  return ({ mesh }) => mesh.client(service, { tags });
};
const ofMesh2 = (service: string, tags: Readonly<Record<string, string>> = {}): Client => {
  return ({ mesh2 }) => mesh2.client(service, { tags });
};
const mes = (name: string, port: number, mesh = 'default'): string => encodeHashSni({ kind: 'mes', name, mesh, port });

const SETUP: Limit = { ms: SETUP_MS, word: '15 s' };
const CONNECT: Limit = { ms: CONNECT_MS, word: '5 s' };
const TCP = 'es-tcp{mesh=default}';
const HTTP = 'es-http{mesh=default}';
const suite = (ciphers: string): ConnectionOptions => ({ ...TLS12, ciphers });

/** The players for the client of most cases. */
const tls = (sni: string, client: Client, tlsOptions: ConnectionOptions, play: TlsPlay): Case =>
  players.tls(sni, client, play, { tlsOptions });
const echo = (sni: string, client: Client = frontend, tlsOptions: ConnectionOptions = {}, limit?: Limit): Case =>
  players.echo(sni, client, { tlsOptions, ...(limit === undefined ? {} : { limit }) });
const silent = (sni: string, client: Client = frontend, tlsOptions: ConnectionOptions = {}): Case =>
  players.silent(sni, client, { tlsOptions });
const http = (sni: string, lines: readonly string[], client: Client = frontend, tlsOptions: ConnectionOptions = {}): Case =>
  players.http(sni, lines, client, { tlsOptions });
const refusedHttp = (sni: string, lines: readonly string[], client: Client = frontend): Case =>
  players.refusedHttp(sni, lines, client);

function tcp(play: (socket: Socket) => unknown, options: { readonly stays?: boolean; readonly hurried?: boolean } = {}): Case {
  return async (zone) => {
    const seen = await speakTcp(options.hurried === true ? zone.hurried : zone.at, play, options);
    return outcomeOf(zone, seen, wordsOfSeen(seen, options.hurried === true ? SETUP : undefined));
  };
}

const send = (bytes: string | Buffer, options: { readonly stays?: boolean; readonly hurried?: boolean } = {}): Case =>
  tcp((socket) => void socket.write(bytes), options);
const { hello } = players;

/** Sends the client’s own hello, byte by byte or over the given time. */
function drippedHello(sni: string, overMs: number, options: { readonly hurried?: boolean } = {}): Case {
  return async (zone) => {
    const at = options.hurried === true ? zone.hurried : zone.at;
    return outcomeOf(zone, await speakTls(at, { servername: sni, ...zone.frontend }, { ...PING, helloOverMs: overMs }));
  };
}

/** Half-closes after its bytes in the given way. */
function halfCloses(how: 'notify' | 'notify and FIN' | 'FIN', tlsOptions: ConnectionOptions = {}): Case {
  return tls('es-eof{mesh=default}', frontend, tlsOptions, {
    play: async ({ tls, raw, keepTcp }) => {
      if (how === 'notify') keepTcp();
      await new Promise((resolve) => tls.write('12345', resolve));
      if (how === 'FIN') raw.end();
      else tls.end();
    },
  });
}

/** Makes two connections; the second offers what the first one got for resumption. */
function resumes(tlsOptions: ConnectionOptions): Case {
  return async (zone) => {
    let session: Buffer | undefined;
    const options = { servername: TCP, ...zone.frontend, ...tlsOptions };
    const play = async ({ tls }: Play): Promise<void> => {
      tls.on('session', (ticket) => (session = ticket));
      session = tls.getSession();
      tls.write('ping\n');
    };
    await speakTls(zone.at, options, { play, wants: 'ping\n' });
    const second = await speakTls(
      zone.at,
      { ...options, ...(session === undefined ? {} : { session }) },
      { play, wants: 'ping\n' },
    );
    return outcomeOf(zone, second, second.reused === true ? 'the second session is resumed' : 'no session is resumed');
  };
}

const bigTransfer: Case = async (zone) => {
  const bytes = randomBytes(10 * 2 ** 20);
  const options = { servername: TCP, ...zone.frontend };
  const play: TlsPlay = { play: ({ tls }) => void tls.write(bytes), wants: bytes.length };
  const seen = await speakTls(zone.at, options, play);
  const sha = (of: Buffer): string => createHash('sha256').update(of).digest('hex');
  const same = sha(seen.got) === sha(bytes);
  return outcomeOf(zone, seen, same ? `${seen.got.length} bytes each way` : `other bytes, ${seen.got.length} of them`);
};

const resetAfterData: Case = async (zone) => {
  const options = { servername: 'es-sink{mesh=default}', ...zone.frontend };
  const play = async ({ tls, raw }: Play): Promise<void> => {
    await new Promise((resolve) => tls.write('12345', resolve));
    await until('the service has read it', () => zone.services.sinkRead() === 5);
    raw.resetAndDestroy();
    await until('the service sees the end', () => zone.services.sink() !== '');
  };
  const seen = await speakTls(zone.at, options, { play, stays: true });
  return outcomeOf(zone, seen, zone.services.sink());
};

/** The service ends its half first, and must still get what the client sends from then on. */
const afterTheBanner: Case = async (zone) => {
  const options = { servername: 'es-fin{mesh=default}', ...zone.frontend };
  const play = async ({ tls }: Play): Promise<void> => {
    await once(tls, 'end');
    tls.write('13 more bytes');
    await until('the service reads on', () => zone.services.bannerRead() === 13);
  };
  return outcomeOf(zone, await speakTls(zone.at, options, { play, stays: true }));
};

const BAD = {
  client_cert_of_other_mesh_ca: ofMesh2('frontend'),
  client_cert_of_other_mesh_ca_with_our_san: ({ mesh }) => mesh.badClient('wrong-ca'),
  client_cert_san_of_other_mesh: ({ mesh }) => mesh.badClient('wrong-mesh'),
  client_cert_san_prefix_trick: ({ mesh }) => mesh.issue({ uris: ['spiffe://default.evil/frontend'] }),
  client_cert_without_spiffe: ({ mesh }) => mesh.badClient('no-spiffe-id'),
  client_cert_dns_san_only: ({ mesh }) => mesh.issue({ uris: [], dns: ['frontend.default'] }),
  client_cert_expired: ({ mesh }) => mesh.badClient('expired'),
  client_cert_not_yet_valid: ({ mesh }) => mesh.badClient('not-yet-valid'),
  client_cert_server_eku_only: ({ mesh }) => mesh.badClient('server-only'),
} satisfies Readonly<Record<string, Client>>;

function withoutEku({ mesh }: Zone): CertificateAndKey {
  const none = { eku: undefined } as unknown as Parameters<TestMesh['issue']>[0];
  return mesh.issue(none);
}

export const CASES: Readonly<Record<string, Case>> = {
  connect_and_say_nothing_16s: tcp(() => undefined, { hurried: true }),
  connect_and_close: tcp((socket) => void socket.end()),
  plain_http: send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  garbage_100_zero_bytes: send(Buffer.alloc(100)),
  garbage_4_bytes_then_wait: send(Buffer.of(222, 173, 190, 239)),
  tls_record_header_only: send(Buffer.of(22, 3, 1, 0, 200), { hurried: true }),
  alert_record_first: send(Buffer.of(21, 3, 1, 0, 2, 1, 0)),
  sslv2_hello: send(Buffer.from('802e0100020015000000100100800200800600400400800700c0', 'hex')),
  no_sni: hello(null),
  unknown_sni: hello('nowhere{mesh=default}'),
  known_service_without_mesh: hello('es-tcp'),
  sni_upper_case: echo(TCP.toUpperCase()),
  sni_mixed_case_passthrough: echo('BackEnd{mesh=Default}'),
  sni_trailing_dot: hello(`${TCP}.`),
  sni_tags_in_other_order: hello('backend{version=v1,mesh=default}'),

  passthrough_ok: echo('backend{mesh=default}'),
  passthrough_ok_v1: echo('backend{mesh=default,version=v1}'),
  passthrough_ok_v2: echo('backend{mesh=default,version=v2}'),
  passthrough_no_client_cert: echo('backend{mesh=default}', () => null),
  passthrough_client_cert_of_other_mesh: echo('backend{mesh=default}', ofMesh2('frontend')),
  passthrough_unknown_version: hello('backend{mesh=default,version=v3}'),
  passthrough_es_in_other_zone: echo('es-zone2{mesh=default}'),

  terminate_ok_tls13: echo(TCP),
  terminate_ok_tls12: echo(TCP, frontend, TLS12),
  terminate_tls12_cbc_only: silent(TCP, frontend, suite('ECDHE-RSA-AES128-SHA')),
  terminate_tls12_rsa_kex_only: silent(TCP, frontend, suite('AES128-GCM-SHA256')),
  terminate_tls12_aes256: echo(TCP, frontend, suite('ECDHE-RSA-AES256-GCM-SHA384')),
  terminate_tls12_chacha: echo(TCP, frontend, suite('ECDHE-RSA-CHACHA20-POLY1305')),
  terminate_tls11_only: silent(TCP, frontend, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
  terminate_alpn_kuma: echo(TCP, frontend, { ALPNProtocols: ['kuma'] }),
  terminate_alpn_h2_http11: http(HTTP, ['GET /x HTTP/1.1', 'host: a', 'connection: close'], frontend, {
    ALPNProtocols: ['h2', 'http/1.1'],
  }),

  no_client_cert_tls13: echo(TCP, () => null),
  no_client_cert_tls12: echo(TCP, () => null, TLS12),
  client_cert_of_other_mesh_ca_tls12: echo(TCP, BAD.client_cert_of_other_mesh_ca, TLS12),
  client_cert_san_of_other_mesh_tls12: echo(TCP, BAD.client_cert_san_of_other_mesh, TLS12),
  client_cert_expired_tls12: echo(TCP, BAD.client_cert_expired, TLS12),
  ...Object.fromEntries(Object.entries(BAD).map(([name, client]) => [name, echo(TCP, client)])),
  ...Object.fromEntries(Object.entries(BAD).map(([name, client]) => [`${name}_tls13_no_payload`, silent(TCP, client)])),
  client_cert_without_eku: echo(TCP, withoutEku),

  rbac_denied_tcp: echo('es-denied-tcp{mesh=default}'),
  rbac_denied_tcp_no_data: silent('es-denied-tcp{mesh=default}'),
  rbac_allowed_tcp_nobody: echo('es-denied-tcp{mesh=default}', nobody),
  rbac_denied_http: http('es-denied-http{mesh=default}', ['GET / HTTP/1.1', 'host: a', 'connection: close']),
  rbac_allowed_http_nobody: http('es-denied-http{mesh=default}', ['GET / HTTP/1.1', 'host: a', 'connection: close'], nobody),
  rbac_team_red_frontend: echo('es-team{mesh=default}', withTags('frontend', { team: 'red' })),
  rbac_team_blue: echo('es-team{mesh=default}', withTags('batch', { team: 'blue' })),
  rbac_team_nobody: echo('es-team{mesh=default}', nobody),
  mtp_allowed_tcp: echo('es-mtp-tcp{mesh=mesh-2}', ofMesh2('client-ok')),
  mtp_denied_tcp: echo('es-mtp-tcp{mesh=mesh-2}', ofMesh2('frontend')),
  mtp_allowed_http_tag: http(
    'es-mtp-http{mesh=mesh-2}',
    ['GET / HTTP/1.1', 'host: a', 'connection: close'],
    ofMesh2('frontend', { team: 'red' }),
  ),
  mtp_denied_http_403: refusedHttp(
    'es-mtp-http{mesh=mesh-2}',
    ['GET / HTTP/1.1', 'host: a', 'connection: close'],
    ofMesh2('frontend'),
  ),
  mtp_shadow_deny: echo('es-mtp-shadow{mesh=mesh-2}', ofMesh2('frontend')),
  no_permission_tcp: echo('es-none-tcp{mesh=mesh-2}', ofMesh2('frontend')),
  no_permission_http: refusedHttp(
    'es-none-http{mesh=mesh-2}',
    ['GET / HTTP/1.1', 'host: a', 'connection: close'],
    ofMesh2('frontend'),
  ),

  mes_tcp: echo(mes('mes-tcp', 9_000)),
  mes_http: http(mes('mes-http', 80), ['GET /x HTTP/1.1', 'host: mes-http.extsvc.mesh.local', 'connection: close']),
  mes_forbidden_tcp: echo(mes('mes3-denied', 9_000, 'mesh-3'), ({ mesh3 }) => mesh3.client('frontend')),
  mes_forbidden_http: refusedHttp(
    mes('mes3-denied-http', 80, 'mesh-3'),
    ['GET / HTTP/1.1', 'host: a', 'connection: close'],
    ({ mesh3 }) => mesh3.client('frontend'),
  ),
  mes_tls_secured: echo(mes('mes-tls', 9_443)),
  mes_tls_skipall: echo(mes('mes-tls-skipall', 9_444)),
  mes_tls_skipca: echo(mes('mes-tls-skipca', 9_445)),
  mes_tls_skipsan: echo(mes('mes-tls-skipsan', 9_446)),
  mes_tls_system_ca_untrusted: echo(mes('mes-tls-system', 9_447)),
  mes_tls_mutual: echo(mes('mes-tls-mutual', 9_448)),
  mes_prio_first_attempt: echo(mes('mes-prio', 9_100)),
  mes_prio_second_attempt: echo(mes('mes-prio', 9_100)),
  mes_prio_third_attempt: echo(mes('mes-prio', 9_100)),
  mes_prio_fourth_attempt: echo(mes('mes-prio', 9_100)),
  es_tls_origination: echo('es-tls{mesh=default}'),
  es_tls_no_ca: echo('es-tls-noca{mesh=default}'),
  es_tls_wrong_san: echo('es-tls-badsan{mesh=default}'),
  es_https: http('es-https{mesh=default}', ['GET /x HTTP/1.1', 'host: a', 'connection: close']),
  es_twin_1: echo('es-twin{mesh=default}'),
  es_twin_2: echo('es-twin{mesh=default}'),

  http_hostname_host_rewrite: http(HTTP, [
    'GET /path?q=1 HTTP/1.1',
    'Host: es-http.mesh',
    'X-Kuma-Tags: &kuma.io/service=frontend&',
    'X-Forwarded-For: 1.2.3.4',
    'X-Request-Id: client-id',
    'X-Forwarded-Proto: https',
    'X-Envoy-Foo: bar',
    'Connection: close',
  ]),
  http_ip_no_host_rewrite: http('es-http-ip{mesh=default}', ['GET / HTTP/1.1', 'host: es-http-ip.mesh:80', 'connection: close']),
  http_lower_header_case_and_order: http('es-http-ip{mesh=default}', [
    'POST /p HTTP/1.1',
    'Host: h',
    'B-Header: 1',
    'A-Header: 2',
    'Content-Length: 3',
    'Connection: close',
    '',
    'abc',
  ]),
  http_bad_request: refusedHttp(HTTP, ['NONSENSE']),
  http_no_host: refusedHttp(HTTP, ['GET / HTTP/1.1', 'Connection: close']),
  http_10: refusedHttp(HTTP, ['GET / HTTP/1.0']),
  // Its settings are never acknowledged: after 15 s it is ended, as is any such client.
  http_h2_preface: tls(
    HTTP,
    frontend,
    {},
    {
      play: ({ tls }) => void tls.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
      wants: 9,
      stays: true,
    },
  ),
  http_connection_upgrade: refusedHttp(HTTP, [
    'GET / HTTP/1.1',
    'host: a',
    'connection: upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
  ]),
  http_upstream_refused: http('es-http-refused{mesh=default}', ['GET / HTTP/1.1', 'host: a', 'connection: close']),

  upstream_refused_tcp: echo('es-refused{mesh=default}'),
  upstream_refused_tcp_tls12: echo('es-refused{mesh=default}', frontend, TLS12),
  upstream_blackhole: echo('es-blackhole{mesh=default}', frontend, {}, CONNECT),
  upstream_half_close_banner: afterTheBanner,
  upstream_rst_on_data: echo('es-rst{mesh=default}'),
  client_half_close_notify_then_answer: halfCloses('notify'),
  client_half_close_notify_and_fin: halfCloses('notify and FIN'),
  client_tls12_half_close_notify: halfCloses('notify', TLS12),
  client_fin_without_close_notify: halfCloses('FIN'),
  client_rst_after_data: resetAfterData,

  hello_in_1_byte_segments: drippedHello(TCP, 0),
  hello_in_1_byte_segments_passthrough: drippedHello('backend{mesh=default}', 0),
  hello_slow_within_15s: drippedHello(TCP, SETUP_MS * 0.5, { hurried: true }),
  hello_slow_beyond_15s: tcp((socket) => drip(socket, inOneRecord(helloFor(TCP)), SETUP_MS * 1.2), { hurried: true }),
  hello_16379_bytes_plus_header_16384: send(inOneRecord(helloFor(TCP, 16_379)), { stays: true }),
  hello_16380_bytes_plus_header_16385: send(inOneRecord(helloFor(TCP, 16_380))),
  hello_16384_bytes_one_record: send(inOneRecord(helloFor(TCP, 16_384))),
  hello_20000_bytes_two_records: send(inRecordsOf(helloFor(TCP, 20_000), 16_384)),
  hello_in_many_small_records: send(inRecordsOf(helloFor(TCP), 20), { stays: true }),
  hello_record_version_0300: send(withRecordVersion(inOneRecord(helloFor(TCP)), 0), { stays: true }),
  hello_record_length_over_16384: send(Buffer.concat([Buffer.of(22, 3, 1, 0x41, 0), helloFor(TCP)])),
  sni_255_bytes: hello('a'.repeat(255)),
  sni_256_bytes: hello('a'.repeat(256)),
  sni_with_nul: hello(TCP.replace('-', '\0')),

  big_transfer_10MB: bigTransfer,
  session_resumption_tls13: resumes({}),
  session_resumption_tls12: resumes(TLS12),
  server_certificate_chain: players.shownCertificate(TCP, frontend),
};

function withRecordVersion(bytes: Buffer, minor: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[2] = minor;
  return changed;
}
