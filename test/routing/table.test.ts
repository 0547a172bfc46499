import t from 'tap';
import type { Cluster, Endpoint, TlsOrigination } from '../../src/model/cluster.ts';
import { meshName, serverName, contentHash } from '../../src/model/names.ts';
import type { Permission } from '../../src/model/permission.ts';
import type { Route } from '../../src/model/route.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import { routingTable, tableText } from '../../src/routing/table.ts';
import type { RouteRow } from '../../src/routing/table.ts';

const endpoint = (ip: string, more: Partial<Endpoint> = {}): Endpoint => ({
  address: { kind: 'ip', ip },
  port: 443,
  weight: 1,
  priority: 0,
  zone: '',
  tags: {},
  tls: null,
  ...more,
});

const TLS: TlsOrigination = {
  serverName: 'api.test',
  trust: { kind: 'bundle', ca: contentHash('ca') },
  names: [{ kind: 'exact', value: 'api.test' }],
  clientCertificate: null,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  alpn: [],
  allowRenegotiation: false,
};

const ALLOW: Permission = { kind: 'allow-all', by: 'TrafficPermission default/all' };

function terminate(permission: Permission = ALLOW, mesh = 'default', destination = 'es'): Route {
  const sni = serverName(`${destination}{mesh=${mesh}}`);
  return { kind: 'terminate', serverName: sni, mesh: meshName(mesh), destination, cluster: 'c', permission, protocol: 'tcp' };
}

function rowsOf(routes: readonly Route[], endpoints: readonly Endpoint[]): readonly RouteRow[] {
  const cluster: Cluster = { name: 'c', endpoints, connectTimeoutMs: 5_000 };
  return routingTable({
    ...EMPTY_SNAPSHOT,
    routes: new Map(routes.map((route) => [route.serverName, route])),
    clusters: new Map([['c', cluster]]),
  }).routes;
}

t.test('a route is shown with its endpoints, who may use it, what decides, and how TLS goes on', async (t) => {
  t.same(
    rowsOf([terminate()], [endpoint('10.0.0.1', { tls: TLS }), endpoint('2001:db8::1', { weight: 3, priority: 1, tls: TLS })]),
    [
      {
        sni: 'es{mesh=default}',
        mesh: 'default',
        destination: 'es',
        mode: 'terminate',
        endpoints: [
          { address: '10.0.0.1:443', weight: 1, priority: 0, zone: '' },
          { address: '[2001:db8::1]:443', weight: 3, priority: 1, zone: '' },
        ],
        who: 'every client of the mesh',
        by: 'TrafficPermission default/all',
        tls: 'TLS to api.test, own CA',
      },
    ],
  );
});

t.test('a service of another zone is shown with the endpoints of its tags only', async (t) => {
  const route: Route = {
    kind: 'passthrough',
    serverName: serverName('backend{mesh=default,version=v1}'),
    mesh: meshName('default'),
    destination: 'backend',
    cluster: 'c',
    subset: { version: 'v1' },
  };
  const endpoints = [endpoint('10.0.0.1', { tags: { version: 'v1' } }), endpoint('10.0.0.2', { tags: { version: 'v2' } })];
  t.match(rowsOf([route], endpoints), [
    {
      mode: 'passthrough',
      endpoints: [{ address: '10.0.0.1:443' }],
      who: 'the other zone decides',
      by: '',
      tls: "the client's own",
    },
  ]);
  t.equal(rowsOf([route], endpoints)[0]?.endpoints.length, 1);
});

t.test('the column WHO MAY describes every kind of permission and principal', async (t) => {
  const who = (permission: Permission): string | undefined => rowsOf([terminate(permission)], [])[0]?.who;
  const uri = (value: string, match: 'exact' | 'prefix' = 'exact') => ({ kind: 'uri', match, value }) as const;
  t.equal(who({ kind: 'deny-all', by: 'x' }), 'no client');
  t.equal(
    who({ kind: 'unsupported', by: 'x', why: 'it has fields that are not known' }),
    'no client: it has fields that are not known',
  );
  t.equal(who({ kind: 'rules', by: 'x', rules: [] }), 'no client');
  const rules = [
    { action: 'deny', by: 'x', principal: uri('spiffe://m/bad') },
    {
      action: 'allow',
      by: 'x',
      principal: { kind: 'and', all: [uri('spiffe://m/', 'prefix'), { kind: 'not', not: uri('kuma://a/b') }] },
    },
    { action: 'shadow-deny', by: 'x', principal: { kind: 'or', any: [uri('spiffe://m/c'), { kind: 'any' }] } },
  ] as const;
  t.equal(
    who({ kind: 'rules', by: 'x', rules }),
    'not spiffe://m/bad; spiffe://m/* and not (kuma://a/b); (spiffe://m/c or every client) (shadow deny)',
  );
});

t.test('several permissions, and a route that no client may use, are shown', async (t) => {
  const all = [ALLOW, { kind: 'deny-all', by: 'y' }] as const;
  t.equal(rowsOf([terminate({ kind: 'all-of', by: 'x', all })], [])[0]?.who, '(every client of the mesh) and (no client)');
  const rules = [{ action: 'allow', by: 'x', principal: { kind: 'uri-list', match: 'exact', value: 'spiffe://m/a' } }] as const;
  t.equal(rowsOf([terminate({ kind: 'rules', by: 'x', rules })], [])[0]?.who, 'only spiffe://m/a');
  t.equal(rowsOf([{ ...terminate(), unsupported: 'no filters' }], [])[0]?.who, 'no client: no filters');
});

t.test('TLS without verification is shown', async (t) => {
  const tls = (more: Partial<TlsOrigination>): string | undefined =>
    rowsOf([terminate()], [endpoint('10.0.0.1', { tls: { ...TLS, ...more } })])[0]?.tls;
  t.equal(tls({ trust: { kind: 'none', reason: 'x' }, names: null }), 'TLS to api.test, not verified');
  t.equal(tls({ trust: { kind: 'system' }, names: null, serverName: null }), 'TLS, system CAs, any name');
  const pair = { cert: contentHash('c'), key: contentHash('k') };
  t.equal(tls({ clientCertificate: pair }), 'TLS to api.test, own CA, client certificate');
  t.equal(
    rowsOf([terminate()], [endpoint('10.0.0.1'), endpoint('10.0.0.2', { tls: TLS })])[0]?.tls,
    'none; TLS to api.test, own CA',
  );
});

t.test('the table has a line for each route, by mesh and SNI, and names three of a long list', async (t) => {
  const routes = [terminate(ALLOW, 'b'), terminate(ALLOW, 'a', 'z'), terminate(ALLOW, 'a', 'y')];
  const endpoints = [1, 2, 3, 4, 5].map((n) => endpoint(`10.0.0.${n}`, n === 2 ? { weight: 2, priority: 1 } : {}));
  const cluster: Cluster = { name: 'c', endpoints, connectTimeoutMs: 5_000 };
  const table = routingTable({
    ...EMPTY_SNAPSHOT,
    routes: new Map(routes.map((route) => [route.serverName, route])),
    clusters: new Map([['c', cluster]]),
  });
  const lines = tableText(table).trimEnd().split('\n');
  t.same(
    lines.map((line) => line.split(/ {2,}/)[0]),
    ['SNI', 'y{mesh=a}', 'z{mesh=a}', 'es{mesh=b}'],
  );
  t.match(lines[1], / {2}10\.0\.0\.1:443, 10\.0\.0\.2:443 x2 p1, 10\.0\.0\.3:443, 2 more {2}every client of the mesh {2,}none$/);
});
