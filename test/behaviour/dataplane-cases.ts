// How each recorded case of an egress of one mesh is played, by its name in the recordings.
import type { CertificateRequest } from '../../src/identity/issue.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { speakTls } from './client.ts';
import type { TlsPlay } from './client.ts';
import { OTHER_TRUST_DOMAIN, TRUST_DOMAIN } from './dataplane-zone.ts';
import type { DataplaneZone } from './dataplane-zone.ts';
import { echo, hello, http, outcomeOf, refusedHttp, send, shownCertificate, silent, TLS12 } from './players.ts';
import type { Case, Client, Outcome } from './players.ts';
import { connectionWords, counted, statusWords, wordsOfSeen } from './words.ts';

type Play = Case<DataplaneZone>;
type Holder = Client<DataplaneZone>;

const sni = (name: string, port: number): string => `sni.extsvc.mesh-b.${name}.${port}`;
const TCP = sni('b-tcp', 9_000);
const HTTP = sni('b-http', 80);
const OPEN = sni('b-http-open', 81);
const LIMITED = sni('b-lb', 9_101);
const GET = ['GET /x?q=1 HTTP/1.1', 'host: b.test', 'connection: close'];

const frontend: Holder = (zone) => zone.frontend;
const workload = (name: string): string => `spiffe://${TRUST_DOMAIN}/workload/${name}`;
/** A client of this zone with these ids. */
const withUris = (...uris: readonly string[]): Holder => bearer({ uris });
const other = withUris(workload('other'));

/** A client of this zone whose certificate differs in this from a usual one. */
function bearer(request: Partial<CertificateRequest>): Holder {
  return ({ zone1 }) => zone1.issue({ uris: [workload('frontend')], ...request });
}

const HOUR_MS = 3_600_000;
const ELSEWHERE = 'https://elsewhere.test/frontend';
const frontendOf = (domain: string): string => `spiffe://${domain}/workload/frontend`;

/** Each is played with TLS 1.3 and with TLS 1.2, at `b-tcp`. */
const CERTIFICATES: Readonly<Record<string, Holder>> = {
  two_uris: withUris(workload('frontend'), ELSEWHERE),
  two_uris_reversed: withUris(ELSEWHERE, workload('frontend')),
  two_spiffe: withUris(workload('frontend'), workload('other')),
  uri_and_dns: bearer({ dns: ['frontend.mesh-b'] }),
  no_san: bearer({ uris: [], subject: [['CN', 'frontend']] }),
  dns_only: bearer({ uris: [], dns: ['frontend.mesh-b'] }),
  domain_suffix: withUris(frontendOf(`${TRUST_DOMAIN}.evil`)),
  domain_upper: withUris(frontendOf(TRUST_DOMAIN.toUpperCase())),
  z1ca_z2domain: withUris(frontendOf(OTHER_TRUST_DOMAIN)),
  z2: ({ zone2 }) => zone2.issue({ uris: [frontendOf(OTHER_TRUST_DOMAIN)] }),
  z2ca_z1domain: ({ zone2 }) => zone2.issue({ uris: [frontendOf(TRUST_DOMAIN)] }),
  unknown_domain: withUris(frontendOf('mesh-b.zone-9.mesh.local')),
  unknown_ca: ({ legacy }) => legacy.issue({ uris: [frontendOf(TRUST_DOMAIN)] }),
  legacy_default: ({ legacy }) => legacy.client('frontend'),
  expired: bearer({ notBefore: Date.now() - 2 * HOUR_MS, notAfter: Date.now() - HOUR_MS }),
  leaf_keycertsign: bearer({ keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement', 'keyCertSign'] }),
  leaf_ca_true: bearer({ ca: { pathLength: null } }),
};

/** Makes connections one after the other; each ends before the next. */
function connections(count: number): Play {
  return async (zone) => {
    const read: string[] = [];
    let last: Outcome | null = null;
    for (let i = 0; i < count; i++) {
      const options = { servername: LIMITED, ...zone.frontend };
      const seen = await speakTls(zone.at, options, { play: ({ tls }) => void tls.write('ping\n'), wants: 'ping\n' });
      read.push(connectionWords(seen.got.length > 0 ? seen.got.toString() : seen.end));
      last = await outcomeOf(zone, seen);
    }
    return { words: counted(read), record: last!.record };
  };
}

/** Asks until both answers have come; a fault of 50 % takes many more requests by no chance. */
const faults: Play = async (zone) => {
  const lines: string[] = [];
  let last: Outcome | null = null;
  while (lines.length < 200 && new Set(lines).size < 2) {
    const options = { servername: sni('b-http-fault', 83), ...zone.frontend };
    const play: TlsPlay['play'] = ({ tls }) => void tls.write(`${GET.join('\r\n')}\r\n\r\n`);
    const seen = await speakTls(zone.at, options, { play });
    lines.push(seen.got.toString('latin1').split('\r\n')[0] ?? '');
    last = await outcomeOf(zone, seen);
  }
  return { words: statusWords(lines), record: last!.record };
};

/** One request is served before, as in the recording; the limit is five. */
const rateLimited: Play = async (zone) => {
  await http(OPEN, GET, other)(zone);
  const options = { servername: OPEN, ...zone.frontend };
  const requests = 'GET /1 HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(7);
  let got = '';
  const seen = await speakTls(zone.at, options, {
    async play({ tls }) {
      const all = new Promise<void>((resolve) => {
        tls.on('data', (chunk: Buffer) => {
          got += chunk.toString('latin1');
          // The whole of the last three, which are over the limit.
          if (got.split('local_rate_limited').length > 3) resolve();
        });
        tls.on('close', resolve);
      });
      tls.write(requests);
      await all;
    },
    stays: true,
  });
  return outcomeOf(zone, seen, wordsOfSeen(seen));
};

/** Those that use up a rate limit: they are played one by one, in this order. */
export const LIMITED_CASES: Readonly<Record<string, Play>> = {
  http_rate_limit_6th_429: rateLimited,
  tcp_rate_limit_14_connections: connections(14),
};

const inBothVersions = (name: string, client: Holder): readonly (readonly [string, Play])[] => [
  [`cert_${name}`, echo(TCP, client)],
  [`cert_${name}_tls12`, echo(TCP, client, { tlsOptions: TLS12 })],
];

export const DATAPLANE_CASES: Readonly<Record<string, Play>> = {
  allowed_exact_id_and_sni: echo(TCP, frontend),
  allowed_exact_id_and_sni_tls12: echo(TCP, frontend, { tlsOptions: TLS12 }),
  allowed_with_alpn_kuma: echo(TCP, frontend, { tlsOptions: { ALPNProtocols: ['kuma'] } }),
  denied_other_id: echo(TCP, other),
  denied_other_id_no_data: silent(TCP, other),
  denied_id_with_suffix: echo(TCP, withUris(workload('frontend2'))),
  allowed_http_exact: http(HTTP, GET, frontend),
  denied_http_403: refusedHttp(HTTP, GET, other),
  prefix_workload_allows_other: http(OPEN, GET, other),
  prefix_workload_allows_workloadx: http(OPEN, GET, withUris(`spiffe://${TRUST_DOMAIN}/workloadx/y`)),
  prefix_workload_refuses_path_x: refusedHttp(OPEN, GET, withUris(`spiffe://${TRUST_DOMAIN}/x`)),
  prefix_trust_domain_tls_upstream: echo(sni('b-tls', 9_443), withUris(`spiffe://${TRUST_DOMAIN}/x`)),
  prefix_trust_domain_no_path: echo(sni('b-tls', 9_443), withUris(`spiffe://${TRUST_DOMAIN}`)),
  sni_only_allow_tls_system_ca_untrusted: echo(sni('b-tls-system', 9_447), other),
  sni_only_allow_any_id_lb: echo(LIMITED, withUris(`spiffe://${TRUST_DOMAIN}/any/thing`)),
  zone_origin_mes: echo('sni.extsvc.mesh-b.zone-1.b-zone1.9000', frontend),
  deny_sni_beats_allow_sni: echo(sni('b-denied', 9_001), frontend),
  nothing_allowed_tcp: echo(sni('b-none', 9_002), frontend),
  nothing_allowed_http: refusedHttp(sni('b-none-http', 82), GET, frontend),
  shadow_deny: echo(sni('b-shadow', 9_003), frontend),

  unknown_sni: hello(sni('nothing', 9_000)),
  right_name_wrong_port: hello(sni('b-tcp', 9_001)),
  sni_of_global_mes_with_zone_segment: hello('sni.extsvc.mesh-b.zone-1.b-tcp.9000'),
  sni_of_zone_mes_without_zone_segment: hello(sni('b-zone1', 9_000)),
  sni_legacy_hash_form: hello(encodeHashSni({ kind: 'mes', name: 'b-tcp', mesh: 'mesh-b', port: 9_000 })),
  sni_of_other_mesh: hello('sni.extsvc.mesh-c.b-tcp.9000'),
  sni_upper_case: echo(TCP.toUpperCase(), frontend),
  no_sni: hello(null),
  plain_http: send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  no_client_cert: echo(TCP, () => null),
  no_client_cert_tls12: echo(TCP, () => null, { tlsOptions: TLS12 }),

  ...Object.fromEntries(Object.entries(CERTIFICATES).flatMap(([name, client]) => inBothVersions(name, client))),
  cert_z2_on_sni_only_allow: echo(LIMITED, CERTIFICATES['z2']!),
  cert_two_uris_on_prefix_rule: http(OPEN, GET, CERTIFICATES['two_uris']!),
  cert_two_uris_reversed_on_prefix_rule: http(OPEN, GET, CERTIFICATES['two_uris_reversed']!),
  cert_domain_suffix_on_prefix_rule: http(OPEN, GET, CERTIFICATES['domain_suffix']!),
  server_certificate: shownCertificate(TCP, frontend),

  tls_upstream_mutual: echo(sni('b-tls-mutual', 9_445), frontend),
  tls_upstream_skipall: echo(sni('b-tls-skipall', 9_446), frontend),
  priorities_0_dead_1_answers: echo(sni('b-prio', 9_100), frontend),
  http2_protocol_upstream_speaks_http1: http(sni('b-http2', 8_443), GET, frontend),
  grpc_upstream_refused: http(sni('b-grpc', 50_051), GET, frontend),
  http_host_rewritten: http(HTTP, ['GET /x?q=1 HTTP/1.1', 'host: something.else:81', 'connection: close'], frontend),
  http_hash_policy_header: http(OPEN, ['GET /y HTTP/1.1', 'host: b.test', 'x-user: u1', 'connection: close'], frontend),
  fault_injection_20_requests: faults,
  http_upgrade_websocket: refusedHttp(
    HTTP,
    [
      'GET / HTTP/1.1',
      'host: a',
      'connection: upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
    ],
    frontend,
  ),
  alpn_h2_on_http_chain: http(HTTP, GET, frontend, { tlsOptions: { ALPNProtocols: ['h2', 'http/1.1'] } }),
};
