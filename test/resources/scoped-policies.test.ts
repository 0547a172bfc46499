/** What policies do to the services of a Dataplane: `rules` by server name and by client. */
import t from 'tap';
import type { HttpRoute } from '../../src/model/http-route.ts';
import type { TerminateRoute } from '../../src/model/route.ts';
import { ca, linesOf, snapshotOf, terminated } from './fixtures/compiling.ts';
import { authorityYaml, compileScoped, dataplaneYaml, identityYaml, serviceYaml } from './fixtures/scoped.ts';

const SNI = 'sni.extsvc.m.web.80';
const OTHER = 'sni.extsvc.m.tcp.90';
const SKIPS = 'type: Mesh\nname: m\nskipCreatingInitialPolicies: ["*"]\n';
const WEB = serviceYaml('m', 'web', 80).replace('protocol: tcp', 'protocol: http');

const zone = (...more: readonly string[]) =>
  compileScoped([
    SKIPS,
    dataplaneYaml('m'),
    identityYaml('m'),
    WEB,
    serviceYaml('m', 'tcp', 90),
    authorityYaml('m', ca),
    ...more,
  ]);

/** Each policy has its place in the list as its name, so that the first one wins. */
const policy = (kind: string, spec: string, name = 'p'): string => `type: ${kind}\nmesh: m\nname: ${name}\nspec: ${spec}\n`;
const rules = (...each: readonly string[]): string => `{ targetRef: { kind: Dataplane }, rules: [${each.join(', ')}] }`;
const rule = (conf: string, ...matches: readonly string[]): string =>
  `{ ${matches.length === 0 ? '' : `matches: [${matches.join(', ')}], `}default: ${conf} }`;
const sni = (name: string): string => `{ sni: { type: Exact, value: ${name} } }`;
const exact = (id: string, more = ''): string => `{ spiffeID: { type: Exact, value: "spiffe://m/${id}" }${more} }`;
const prefix = (id: string): string => `{ spiffeID: { type: Prefix, value: "spiffe://m/${id}" } }`;

function http(...policies: readonly string[]): HttpRoute {
  const compiled = zone(...policies);
  t.same(linesOf(compiled, 'error'), []);
  return terminated(compiled, SNI).http!;
}

function route(name: string, ...policies: readonly string[]): TerminateRoute {
  const compiled = zone(...policies);
  t.same(linesOf(compiled, 'error'), []);
  return terminated(compiled, name);
}

const client = (match: 'exact' | 'prefix', id: string, more = {}) =>
  ({ kind: 'client', principal: { kind: 'uri-list', match, value: `spiffe://m/${id}` }, ...more }) as const;

t.test('timeouts of rules: what is about a server name replaces what is about all, with Kuma’s defaults', async (t) => {
  const timeout = (...each: readonly string[]): string => policy('MeshTimeout', rules(...each));
  const all = rule('{ idleTimeout: 20s, http: { streamIdleTimeout: 9s, requestHeadersTimeout: 2s } }');
  t.equal(route(OTHER).idleMs, undefined);
  t.equal(http().timeouts, undefined, 'without a policy nothing ends a request');
  t.equal(route(OTHER, timeout(all)).idleMs, 20_000);
  t.same(http(timeout(all)).timeouts, { requestMs: 15_000, streamIdleMs: 9_000, idleMs: 0, headersMs: 2_000 });
  t.equal(route(SNI, timeout(all)).idleMs, undefined, 'requests have timeouts of their own');
  const own = rule('{ http: { requestTimeout: 3s } }', sni(SNI));
  t.same(http(timeout(own, all)).timeouts, { requestMs: 3_000, streamIdleMs: 9_000, idleMs: 0 });
  t.equal(route(OTHER, timeout(own, all)).idleMs, 20_000);
  t.equal(route(OTHER, timeout(own)).idleMs, undefined, 'about another name');
  t.equal(route(OTHER, timeout(rule('{ connectionTimeout: 1s }', sni(OTHER)))).idleMs, 3_600_000);
  t.same(http(timeout(rule('{ http: { requestTimeout: 0s, streamIdleTimeout: 0s } }'))).timeouts, { streamIdleMs: 0, idleMs: 0 });
});

t.test('timeouts of rules do not reach the cluster, those of to do', async (t) => {
  const cluster = (name: string, ...policies: readonly string[]) =>
    snapshotOf(zone(...policies)).clusters.get(`kri_extsvc_m___${name}`);
  const conf = '{ connectionTimeout: 3s, idleTimeout: 7s, http: { maxStreamDuration: 8s, maxConnectionDuration: 9s } }';
  t.match(cluster('web_80'), { connectTimeoutMs: 5_000, httpPool: { idleMs: 3_600_000 } });
  t.match(cluster('web_80', policy('MeshTimeout', rules(rule(conf)))), {
    connectTimeoutMs: 5_000,
    httpPool: { idleMs: 3_600_000 },
  });
  const to = (targetRef: string): string => policy('MeshTimeout', `{ to: [{ targetRef: ${targetRef}, default: ${conf} }] }`);
  const named = to('{ kind: MeshExternalService, name: web }');
  t.match(cluster('web_80', named), {
    connectTimeoutMs: 3_000,
    httpPool: { idleMs: 7_000, maxStreamMs: 8_000, maxConnectionMs: 9_000 },
  });
  t.match(cluster('tcp_90', named), { connectTimeoutMs: 5_000 });
  t.equal(cluster('tcp_90', to('{ kind: Mesh }'))?.connectTimeoutMs, 3_000);
  t.equal(cluster('tcp_90', to('{ kind: Mesh }'))?.httpPool, undefined);
});

t.test('the MeshTimeout that Kuma makes with a mesh counts, where the mesh does not skip it', async (t) => {
  const made = (mesh: string, ...more: readonly string[]) =>
    terminated(
      compileScoped([
        mesh,
        dataplaneYaml('m'),
        identityYaml('m'),
        WEB,
        serviceYaml('m', 'tcp', 90),
        authorityYaml('m', ca),
        ...more,
      ]),
      OTHER,
    ).idleMs;
  t.equal(made('type: Mesh\nname: m\n'), 7_200_000);
  t.equal(made('type: Mesh\nname: m\nskipCreatingInitialPolicies: [MeshTimeout]\n'), undefined);
  const own = policy('MeshTimeout', rules(rule('{ idleTimeout: 1s }')), 'mesh-timeout-all-m');
  t.equal(made('type: Mesh\nname: m\n', own), 1_000, 'one of that name is it');
});

t.test('timeouts of certain clients: the most specific rule counts, with those for wider clients', async (t) => {
  const { clientTimeouts, timeouts } = http(
    policy(
      'MeshTimeout',
      rules(
        rule('{ http: { requestTimeout: 1s, streamIdleTimeout: 11s } }', prefix('ns')),
        rule('{ http: { requestTimeout: 2s } }', exact('ns/web')),
        rule('{ http: { requestTimeout: 3s } }', exact('other', ', sni: { type: Exact, value: another }')),
        rule('{ http: { requestTimeout: 4s } }'),
      ),
    ),
  );
  t.match(timeouts, { requestMs: 4_000 });
  t.same(clientTimeouts, [
    { clients: [client('exact', 'ns/web')], requestMs: 2_000, streamIdleMs: 11_000 },
    { clients: [client('prefix', 'ns')], requestMs: 1_000, streamIdleMs: 11_000 },
  ]);
});

const limit = (num: number): string => `{ local: { http: { requestRate: { num: ${num}, interval: 1s } } } }`;

t.test('limits of requests: certain clients first, one without a limit has none', async (t) => {
  const { rateLimits } = http(
    policy(
      'MeshRateLimit',
      rules(
        rule(limit(1)),
        rule('{ local: { http: { onRateLimit: { status: 430 } } } }', sni(SNI)),
        rule(limit(3), prefix('ns')),
        rule('{ local: { http: { disabled: true } } }', exact('ns/free')),
      ),
    ),
  );
  t.same(rateLimits, [
    { clients: [client('prefix', 'ns'), client('exact', 'ns/free', { not: true })], requests: 3, intervalMs: 1_000, status: 430 },
    { clients: [client('exact', 'ns/free', { not: true })], requests: 1, intervalMs: 1_000, status: 430 },
  ]);
  const tcp = '{ local: { tcp: { connectionRate: { num: 5, interval: 1s } } } }';
  t.match(route(OTHER, policy('MeshRateLimit', rules(rule(tcp)))).rateLimit, { connections: 5 });
  t.equal(
    route(OTHER, policy('MeshRateLimit', rules(rule(tcp, prefix('ns'))))).rateLimit,
    undefined,
    'Kuma limits connections of all only',
  );
});

t.test('what is about a server name wins over what is about all, whatever their policies are called', async (t) => {
  const own = policy('MeshRateLimit', rules(rule(limit(7), sni(SNI))), 'z');
  t.match(http(own, policy('MeshRateLimit', rules(rule(limit(1))), 'a')).rateLimits, [{ requests: 7 }]);
  t.match(
    http(own, policy('MeshRateLimit', rules(rule(limit(8), sni(SNI))), 'a')).rateLimits,
    [{ requests: 8 }],
    'the name that sorts first',
  );
});

t.test('each rule of faults counts on its own, for its clients', async (t) => {
  const abort = (httpStatus: number): string => `{ http: [{ abort: { httpStatus: ${httpStatus}, percentage: 100 } }] }`;
  const { faults } = http(
    policy(
      'MeshFaultInjection',
      rules(rule(abort(501)), rule(abort(502), sni(SNI)), rule(abort(503), exact('a')), rule(abort(504), sni(OTHER))),
    ),
  );
  t.same(faults, [
    { clients: [client('exact', 'a')], abort: { status: 503, percent: 100 } },
    { abort: { status: 502, percent: 100 } },
    { abort: { status: 501, percent: 100 } },
  ]);
});

t.test('a policy that selects one of several Dataplanes of a mesh counts, and it is said that it counts for all', async (t) => {
  const second = dataplaneYaml('m', 10_003).replace('name: egress\n', 'name: z-second\n');
  const of = (target: string) => zone(second, policy('MeshRateLimit', `{ targetRef: ${target}, rules: [${rule(limit(2))}] }`));
  for (const name of ['egress', 'z-second']) {
    const compiled = of(`{ kind: Dataplane, name: ${name} }`);
    t.match(terminated(compiled, SNI).http, { rateLimits: [{ requests: 2 }] }, name);
    t.match(
      linesOf(compiled, 'warning').join('\n'),
      /MeshRateLimit p selects 1 of the 2 ZoneEgress listeners of mesh m, which share/,
    );
  }
  t.notMatch(linesOf(of('{ kind: Dataplane }'), 'warning').join('\n'), /selects 1 of/);
});

t.test('a target selects by equal labels: a star is no pattern, and a MeshSubset selects no egress', async (t) => {
  const limitedBy = (targetRef: string): boolean =>
    terminated(zone(policy('MeshRateLimit', `{ targetRef: ${targetRef}, rules: [${rule(limit(2))}] }`)), SNI).http?.rateLimits !==
    undefined;
  t.ok(limitedBy('{ kind: Dataplane, labels: { kuma.io/workload: egress } }'));
  t.notOk(limitedBy('{ kind: Dataplane, labels: { kuma.io/workload: "*" } }'));
  t.ok(limitedBy('{ kind: Mesh }'));
  t.notOk(limitedBy('{ kind: MeshSubset, proxyTypes: [Sidecar], tags: {} }'));
});

t.test('access logs have the values of Kuma’s placeholders', async (t) => {
  const logs = (backend: string, ...more: readonly string[]) =>
    route(OTHER, policy('MeshAccessLog', rules(rule(`{ backends: [${backend}] }`, ...more)))).accessLogs;
  t.same(logs('{ type: File, file: { path: /var/log/a } }'), [
    {
      path: '/var/log/a',
      format: {
        kind: 'text',
        pieces: [
          '[',
          { name: 'START_TIME' },
          '] ',
          { name: 'RESPONSE_FLAGS' },
          ' m 10.0.0.8(unknown)->',
          { name: 'UPSTREAM_HOST' },
          '(unknown) took ',
          { name: 'DURATION' },
          'ms, sent ',
          { name: 'BYTES_SENT' },
          ' bytes, received: ',
          { name: 'BYTES_RECEIVED' },
          ' bytes\n',
        ],
      },
      onConnect: true,
    },
  ]);
  const all = '%KUMA_SOURCE_ADDRESS% %KUMA_MESH% %KUMA_ZONE% %KUMA_TRAFFIC_DIRECTION% %KUMA_WORKLOAD% %KUMA_SOURCE_SERVICE%';
  t.match(logs(`{ type: File, file: { path: /a, format: { type: Plain, plain: "${all}" } } }`, exact('a')), [
    {
      clients: { type: 'exact', value: 'spiffe://m/a' },
      format: { pieces: ['10.0.0.8:0 m zone-1 UNSPECIFIED kri_wl_m_zone-1__egress_ unknown\n'] },
    },
  ]);
  t.equal(logs('{ type: File, file: { path: /a } }', sni(SNI)), undefined, 'about another name');
  const compiled = zone(
    policy(
      'MeshAccessLog',
      rules(
        rule(
          '{ backends: [{ type: Tcp, tcp: { address: "10.0.0.1:5000" } }, { type: OpenTelemetry, openTelemetry: { endpoint: otel } }] }',
        ),
      ),
    ),
  );
  t.match(
    linesOf(compiled, 'warning').join('\n'),
    /MeshAccessLog p: not supported by this egress yet: access logs of type OpenTelemetry \(tcp, web\)/,
  );
});
