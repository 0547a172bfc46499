import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import type { TLSSocket, TlsOptions } from 'node:tls';
import t from 'tap';
import { echo } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Certificate, Zone } from './zone.ts';

const HOST = 'api.partner.test';
const HOUR_MS = 3_600_000;

/**
 * The CA of the external services; another that is not trusted; and a mesh whose certificates are
 * only for its inside.
 */
const partner = await createTestMesh('partner', { keyType: 'ec' });
const stranger = await createTestMesh('stranger', { keyType: 'ec' });
const inside = await createTestMesh('inside', { keyType: 'ec' });

const named = partner.issue({ uris: [], dns: [HOST] });
const egressClient = partner.issue({ uris: [], dns: ['egress.partner.test'], eku: ['clientAuth'] });

/** The services of the matrix. */
const SERVERS = {
  named,
  ip: partner.issue({ uris: [], ips: ['127.0.0.1'] }),
  cnOnly: partner.issue({ uris: [], subject: [['CN', HOST]] }),
  wildcard: partner.issue({ uris: [], dns: ['*.partner.test'] }),
  partialWildcard: partner.issue({ uris: [], dns: ['a*.partner.test'] }),
  uriOnly: partner.issue({ uris: [`https://${HOST}`] }),
  expired: partner.issue({ uris: [], dns: [HOST], notBefore: Date.now() - 2 * HOUR_MS, notAfter: Date.now() - HOUR_MS }),
  early: partner.issue({ uris: [], dns: [HOST], notBefore: Date.now() + HOUR_MS }),
  clientOnly: partner.issue({ uris: [], dns: [HOST], eku: ['clientAuth'] }),
  unknownCa: stranger.issue({ uris: [], dns: [HOST] }),
  mesh: inside.client('api'),
  demanding: { ...named, ca: partner.ca.cert, requestCert: true, rejectUnauthorized: true },
  demanding12: { ...named, ca: partner.ca.cert, requestCert: true, rejectUnauthorized: true, maxVersion: 'TLSv1.2' },
  only12: { ...named, maxVersion: 'TLSv1.2' },
  only13: { ...named, minVersion: 'TLSv1.3' },
  http: { ...named, ALPNProtocols: ['h2', 'http/1.1'] },
  http1: { ...named, ALPNProtocols: ['http/1.1'] },
} satisfies Readonly<Record<string, TlsOptions & Certificate>>;

type ServerName = keyof typeof SERVERS;

interface Case {
  readonly to: ServerName;
  readonly kind: 'ExternalService' | 'MeshExternalService';
  /** The fields of `networking.tls` or of `spec.tls.verification`. */
  readonly tls?: readonly string[];
  /** Besides `verification`. */
  readonly version?: string;
  readonly protocol?: string;
  /** What the service sees; absent means `works: {}`. */
  readonly works?: Partial<Seen>;
  /** The detail of `upstream-tls-failed`, which names the check. */
  readonly fails?: RegExp;
}

/** One handshake as the service sees it. */
interface Seen {
  readonly sni: string | null;
  readonly alpn: string | null;
  readonly protocol: string;
  /** Subject alternative names of the client certificate. */
  readonly client: string | null;
}

const inline = (pem: string): string => `{ inlineString: ${JSON.stringify(pem)} }`;
const CA = `caCert: ${inline(partner.ca.cert)}`;
const MESH_CA = `caCert: ${inline(inside.ca.cert)}`;
const NAME = `serverName: ${HOST}`;
const CLIENT = `clientCert: ${inline(egressClient.cert)}, clientKey: ${inline(egressClient.key)}`;
const sans = (...values: readonly string[]): string => `subjectAltNames: [${values.join(', ')}]`;
const es = (to: ServerName, tls: readonly string[], more: Partial<Case>): Case => ({ kind: 'ExternalService', to, tls, ...more });
const mes = (to: ServerName, tls: readonly string[], more: Partial<Case>): Case => ({
  kind: 'MeshExternalService',
  to,
  tls,
  ...more,
});

const WRONG_NAME = /the server is not .*: its certificate is for .*, wanted one of/;
const UNKNOWN_CA = /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|SELF_SIGNED_CERT_IN_CHAIN/;

const CASES: Readonly<Record<string, Case>> = {
  'ExternalService: its CA and its name': es('named', [CA, NAME], { works: { sni: HOST, alpn: null, client: null } }),
  'ExternalService: a CA that nobody trusts': es('unknownCa', [CA, NAME], { fails: UNKNOWN_CA }),
  'ExternalService: another name': es('named', [CA, 'serverName: other.partner.test'], {
    fails: /the server is not other\.partner\.test: its certificate is for api\.partner\.test, wanted one of: other/,
  }),
  'ExternalService: another name, skipped': es(
    'named',
    [CA, 'serverName: other.partner.test', 'skipHostnameVerification: true'],
    {
      works: { sni: 'other.partner.test' },
    },
  ),
  'ExternalService: another CA is refused although names are skipped': es(
    'unknownCa',
    [CA, NAME, 'skipHostnameVerification: true'],
    {
      fails: UNKNOWN_CA,
    },
  ),
  'ExternalService: without caCert whoever answers is spoken to': es('unknownCa', [NAME], { works: { sni: HOST } }),
  'ExternalService: an address is verified by an IP name, and is never an SNI': es('ip', [CA], { works: { sni: null } }),
  'ExternalService: an address meets no DNS name': es('named', [CA], { fails: /the server is not 127\.0\.0\.1:\d+: .* for api/ }),
  'ExternalService: the client certificate that is demanded': es('demanding', [CA, NAME, CLIENT], {
    works: { client: 'DNS:egress.partner.test' },
  }),
  'ExternalService: no client certificate where one is demanded': es('demanding', [CA, NAME], { fails: /CERTIFICATE_REQUIRED/ }),
  'ExternalService: no client certificate where TLS 1.2 demands one': es('demanding12', [CA, NAME], {
    fails: /HANDSHAKE_FAILURE/,
  }),
  'ExternalService: an expired certificate': es('expired', [CA, NAME], { fails: /CERT_HAS_EXPIRED/ }),
  'ExternalService: a certificate of tomorrow': es('early', [CA, NAME], { fails: /CERT_NOT_YET_VALID/ }),
  'ExternalService: a certificate that is for clients only': es('clientOnly', [CA, NAME], { fails: /INVALID_PURPOSE/ }),
  'ExternalService: a name in the CN only': es('cnOnly', [CA, NAME], { fails: WRONG_NAME }),
  'ExternalService: a wildcard for the whole first label': es('wildcard', [CA, NAME], { works: {} }),
  'ExternalService: a wildcard for a part of a label': es('partialWildcard', [CA, NAME], { fails: WRONG_NAME }),
  'ExternalService: a URI that looks like the name': es('uriOnly', [CA, NAME], { fails: WRONG_NAME }),
  'ExternalService: a certificate of the mesh, although its CA is given': es('mesh', [MESH_CA, NAME], { fails: WRONG_NAME }),
  'ExternalService: tcp offers no ALPN': es('http', [CA, NAME], { protocol: 'tcp', works: { alpn: null } }),
  'ExternalService: http offers http/1.1': es('http', [CA, NAME], { protocol: 'http', works: { alpn: 'http/1.1' } }),
  'ExternalService: http2 offers h2': es('http', [CA, NAME], { protocol: 'http2', works: { alpn: 'h2' } }),
  'ExternalService: grpc offers h2': es('http', [CA, NAME], { protocol: 'grpc', works: { alpn: 'h2' } }),
  'ExternalService: h2 where the service speaks http/1.1 only': es('http1', [CA, NAME], {
    protocol: 'http2',
    fails: /NO_APPLICATION_PROTOCOL/,
  }),

  'MeshExternalService: Secured': mes('named', ['mode: Secured', CA, NAME], { works: { sni: HOST, alpn: null } }),
  'MeshExternalService: Secured, a CA that nobody trusts': mes('unknownCa', ['mode: Secured', CA, NAME], { fails: UNKNOWN_CA }),
  'MeshExternalService: Secured without a CA is verified by the system’s': mes('named', [NAME], { fails: UNKNOWN_CA }),
  'MeshExternalService: Secured, another name': mes('named', [CA, 'serverName: other.partner.test'], { fails: WRONG_NAME }),
  'MeshExternalService: Secured, another name that subjectAltNames has': mes(
    'named',
    [CA, 'serverName: other.partner.test', sans(`{ type: Exact, value: ${HOST} }`)],
    { works: { sni: 'other.partner.test' } },
  ),
  'MeshExternalService: Secured, a prefix that subjectAltNames has': mes(
    'named',
    [CA, 'serverName: other.partner.test', sans('{ type: Prefix, value: api. }')],
    { works: {} },
  ),
  'MeshExternalService: Secured, neither name nor prefix': mes(
    'named',
    [CA, 'serverName: other.partner.test', sans('{ type: Prefix, value: www. }', '{ value: partner.test }')],
    { fails: /wanted one of: other\.partner\.test, www\.…, partner\.test/ },
  ),
  'MeshExternalService: Secured, an address in subjectAltNames': mes(
    'ip',
    [CA, 'serverName: other.partner.test', sans('{ value: 127.0.0.1 }')],
    { works: {} },
  ),
  'MeshExternalService: Secured, an expired certificate': mes('expired', [CA, NAME], { fails: /CERT_HAS_EXPIRED/ }),
  'MeshExternalService: Secured, a name in the CN only': mes('cnOnly', [CA, NAME], { fails: WRONG_NAME }),
  'MeshExternalService: Secured, a certificate of a mesh': mes('mesh', [MESH_CA, NAME], { fails: WRONG_NAME }),
  'MeshExternalService: SkipSAN takes any name of its CA': mes('named', ['mode: SkipSAN', CA, 'serverName: other.partner.test'], {
    works: { sni: null },
  }),
  'MeshExternalService: SkipSAN still wants its CA': mes('unknownCa', ['mode: SkipSAN', CA], { fails: UNKNOWN_CA }),
  'MeshExternalService: SkipSAN shows its client certificate': mes('demanding', ['mode: SkipSAN', CA, CLIENT], {
    works: { client: 'DNS:egress.partner.test' },
  }),
  'MeshExternalService: SkipCA takes any CA, and sends its name': mes('unknownCa', ['mode: SkipCA', CA, NAME], {
    works: { sni: HOST },
  }),
  'MeshExternalService: SkipCA shows its client certificate': mes('demanding', ['mode: SkipCA', NAME, CLIENT], {
    works: { client: 'DNS:egress.partner.test' },
  }),
  'MeshExternalService: SkipAll takes anything, expired too': mes('expired', ['mode: SkipAll', NAME], { works: { sni: null } }),
  'MeshExternalService: SkipAll shows no client certificate': mes('demanding', ['mode: SkipAll', CLIENT], {
    fails: /CERTIFICATE_REQUIRED/,
  }),
  'MeshExternalService: at most TLS 1.2': mes('named', [CA, NAME], { version: 'max: TLS12', works: { protocol: 'TLSv1.2' } }),
  'MeshExternalService: at least TLS 1.3': mes('named', [CA, NAME], { version: 'min: TLS13', works: { protocol: 'TLSv1.3' } }),
  'MeshExternalService: both versions, and the service takes 1.2 only': mes('only12', [CA, NAME], {
    works: { protocol: 'TLSv1.2' },
  }),
  'MeshExternalService: at least TLS 1.3, and the service takes 1.2 only': mes('only12', [CA, NAME], {
    version: 'min: TLS13',
    fails: /PROTOCOL_VERSION/,
  }),
  'MeshExternalService: at most TLS 1.2, and the service takes 1.3 only': mes('only13', [CA, NAME], {
    version: 'max: TLS12',
    fails: /PROTOCOL_VERSION/,
  }),
  'MeshExternalService: exactly TLS 1.2': mes('only12', [CA, NAME], { version: 'min: TLS12, max: TLS12', works: {} }),
  'MeshExternalService: tcp offers no ALPN': mes('http', [CA, NAME], { protocol: 'tcp', works: { alpn: null } }),
  'MeshExternalService: http offers http/1.1': mes('http', [CA, NAME], { protocol: 'http', works: { alpn: 'http/1.1' } }),
  'MeshExternalService: http2 offers h2': mes('http', [CA, NAME], { protocol: 'http2', works: { alpn: 'h2' } }),
  'MeshExternalService: grpc offers h2': mes('http', [CA, NAME], { protocol: 'grpc', works: { alpn: 'h2' } }),
};

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    await using services = await startServices();
    await using zone = await startZone(t, { concurrency, resources: () => resourcesOf(CASES, services) });
    for (const [i, [title, each]] of Object.entries(CASES).entries()) {
      await t.test(title, async (t) => {
        const before = services.seen(each.to).length;
        const socket = await zone.connect(sniOf(each, i), zone.mesh.client('frontend'));
        const over = gone(socket);
        const isHttp = /^(http2?|grpc)$/.test(each.protocol ?? 'tcp');
        const question = isHttp ? 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' : 'ping';
        const answer = await Promise.race([ask(socket, question).catch(() => null), over.then(() => null)]);
        if (answer !== null) socket.end();
        await over;
        const record = await recordOf(zone, `case-${i}`);
        if (isHttp) {
          // The services do not speak HTTP; only the connection to them is tested.
          t.match(answer, /^HTTP\/1\.1 50[23] /);
          if (each.fails !== undefined) t.match(record, { reason: 'upstream-tls-failed', detail: each.fails });
          else t.match(services.seen(each.to).slice(before), [each.works ?? {}]);
          return;
        }
        if (each.fails !== undefined) {
          t.match(record, { reason: 'upstream-tls-failed', detail: each.fails, attempts: 1, endpointTls: true, bytesDown: 0 });
          t.equal(answer, null, 'not a byte reaches the client');
          return;
        }
        t.match(record, { reason: 'closed', detail: '', bytesUp: 4, bytesDown: 4 });
        t.equal(answer, 'ping');
        t.match(services.seen(each.to).slice(before), [each.works ?? {}]);
      });
    }
  });
}

t.test('a service without caCert is reported at load, and counted as unverified', async (t) => {
  await using services = await startServices();
  const cases = { unverified: es('named', [NAME], {}), verified: es('named', [CA, NAME], {}) };
  await using zone = await startZone(t, { resources: () => resourcesOf(cases, services) });
  t.match(
    zone.egress.problems().filter(({ message }) => message.includes('not verified')),
    [{ severity: 'warning', field: 'networking.tls.caCert' }],
  );
  t.match(await zone.egress.metrics(), /^zone_egress_unverified_destinations 1$/m);
});

function sniOf({ kind }: Case, i: number): string {
  return kind === 'ExternalService'
    ? `case-${i}{mesh=default}`
    : encodeHashSni({ kind: 'mes', name: `case-${i}`, mesh: 'default', port: 9_000 });
}

function recordOf(zone: Zone, destination: string): ReturnType<Zone['record']> {
  return zone.record((record) => record.destination === destination);
}

function resourcesOf(cases: Readonly<Record<string, Case>>, services: Services): string {
  const permission = `type: TrafficPermission
mesh: default
name: everybody
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;
  const documents = Object.values(cases).map((each, i) => {
    const { kind, to, tls = [], protocol = 'tcp', version } = each;
    const port = services.port(to);
    if (kind === 'ExternalService') {
      return `type: ExternalService
mesh: default
name: case-${i}
tags: { kuma.io/service: case-${i}, kuma.io/protocol: ${protocol} }
networking: { address: '127.0.0.1:${port}', tls: { enabled: true, ${tls.join(', ')} } }
`;
    }
    return `type: MeshExternalService
mesh: default
name: case-${i}
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: ${protocol} }
  endpoints: [{ address: 127.0.0.1, port: ${port} }]
  tls: { enabled: true, ${version === undefined ? '' : `version: { ${version} }, `}verification: { ${tls.join(', ')} } }
`;
  });
  return [permission, ...documents].join('---\n');
}

interface Services extends AsyncDisposable {
  port(name: ServerName): number;
  seen(name: ServerName): readonly Seen[];
}

/** Starts all of SERVERS on loopback; they echo. */
async function startServices(): Promise<Services> {
  const running = new Map<string, { port: number; seen: Seen[]; close: () => Promise<unknown> }>();
  await Promise.all(
    Object.entries(SERVERS).map(async ([name, options]) => {
      const seen: Seen[] = [];
      const server = createServer(options as TlsOptions, (socket) => {
        seen.push(seenOf(socket));
        socket.on('error', () => {});
        echo(socket);
      });
      server.on('tlsClientError', (_error, socket) => socket.destroy());
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      running.set(name, { port, seen, close: () => once(server.close(), 'close') });
    }),
  );
  return {
    port: (name) => running.get(name)!.port,
    seen: (name) => running.get(name)!.seen,
    async [Symbol.asyncDispose]() {
      await Promise.all([...running.values()].map(({ close }) => close()));
    },
  };
}

function seenOf(socket: TLSSocket): Seen {
  const { servername } = socket as TLSSocket & { servername?: string | false };
  return {
    sni: servername === false || servername === undefined ? null : servername,
    alpn: socket.alpnProtocol === false ? null : socket.alpnProtocol,
    protocol: socket.getProtocol() ?? '',
    client: socket.getPeerX509Certificate()?.subjectAltName ?? null,
  };
}
