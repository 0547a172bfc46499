import t from 'tap';
import type { VerifiedClient } from '../../src/model/client.ts';
import { meshName, serverName, spiffeId } from '../../src/model/names.ts';
import type { Permission, Principal } from '../../src/model/permission.ts';
import type { TerminateRoute } from '../../src/model/route.ts';
import { authorise, matches } from '../../src/routing/authorise.ts';

const frontend = client('default', ['spiffe://default/frontend', 'kuma://team/red']);

function client(mesh: string, uris: readonly string[]): VerifiedClient {
  const spiffeIds = uris.filter((uri) => uri.startsWith('spiffe://')).map(spiffeId);
  // Tests may assume what production code must prove.
  return {
    mesh: meshName(mesh),
    spiffeIds,
    uris,
    issuer: 'CN=default',
    expiry: '2030-01-01T00:00:00Z',
  } as unknown as VerifiedClient;
}

function routeWith(permission: Permission): TerminateRoute {
  return {
    kind: 'terminate',
    serverName: serverName('api{mesh=default}'),
    mesh: meshName('default'),
    destination: 'api',
    cluster: 'default:api',
    permission,
    protocol: 'tcp',
  };
}

const uri = (value: string, match: 'exact' | 'prefix' = 'exact'): Principal => ({ kind: 'uri', match, value });

t.test('where no rule matches, the client is refused', async (t) => {
  const none = authorise(routeWith({ kind: 'rules', by: 'TrafficPermission a', rules: [] }), frontend);
  t.match(none, { kind: 'refusal', code: 'denied', detail: /no rule allows spiffe:\/\/default\/frontend to reach api/ });
  t.match(authorise(routeWith({ kind: 'deny-all', by: 'no permission' }), frontend), { kind: 'refusal', code: 'denied' });
});

t.test('the first rule that matches decides', async (t) => {
  const rules = [
    { action: 'deny', by: 'mtp-a', principal: uri('kuma://team/red') },
    { action: 'allow', by: 'mtp-b', principal: { kind: 'any' } },
  ] as const;
  t.match(authorise(routeWith({ kind: 'rules', by: 'MeshTrafficPermission', rules }), frontend), {
    kind: 'refusal',
    code: 'denied',
    detail: /^mtp-a: denies/,
  });
  const blue = client('default', ['spiffe://default/frontend']);
  t.match(authorise(routeWith({ kind: 'rules', by: 'MeshTrafficPermission', rules }), blue), {
    kind: 'allowed',
    by: 'mtp-b',
    shadowDenied: false,
  });
});

t.test('a shadow deny allows, and is counted', async (t) => {
  const permission = {
    kind: 'rules',
    by: 'x',
    rules: [{ action: 'shadow-deny', by: 'mtp', principal: { kind: 'any' } }],
  } as const;
  t.match(authorise(routeWith(permission), frontend), { kind: 'allowed', by: 'mtp', shadowDenied: true });
});

t.test('where several permissions hold at once, each has to allow, and all of them are named', async (t) => {
  const rule = (by: string, action: 'allow' | 'deny' | 'shadow-deny'): Permission => ({
    kind: 'rules',
    by,
    rules: [{ action, by, principal: { kind: 'any' } }],
  });
  const both = (...all: readonly Permission[]): unknown => authorise(routeWith({ kind: 'all-of', by: 'a and b', all }), frontend);
  t.match(both(rule('a', 'allow'), rule('b', 'allow')), { kind: 'allowed', by: 'a and b', shadowDenied: false });
  t.match(both(rule('a', 'shadow-deny'), rule('b', 'allow')), { kind: 'allowed', by: 'a and b', shadowDenied: true });
  t.match(both(rule('a', 'allow'), rule('b', 'deny')), { kind: 'refusal', code: 'denied', detail: /^b: denies/ });
  t.match(both(rule('a', 'deny'), rule('b', 'allow')), { kind: 'refusal', code: 'denied', detail: /^a: denies/ });
  const unread: Permission = { kind: 'unsupported', by: 'b', why: 'x' };
  t.match(both(rule('a', 'allow'), unread), { kind: 'refusal', code: 'unsupported-policy' });
  t.match(both(), { kind: 'refusal', code: 'denied' });
});

t.test('a route that cannot be used refuses, whatever its permission and whether it ends the mTLS or not', async (t) => {
  const why = { kind: 'refusal', code: 'unsupported-policy', detail: 'api: its filter x is not understood' } as const;
  const unsupported = 'its filter x is not understood';
  const terminating = { ...routeWith({ kind: 'allow-all', by: 'x' }), unsupported };
  t.same(authorise(terminating, frontend), why);
  t.same(authorise(terminating, null), why);
  const { serverName: sni, mesh, destination, cluster } = terminating;
  const passing = { kind: 'passthrough', serverName: sni, mesh, destination, cluster, subset: {} } as const;
  t.same(authorise({ ...passing, unsupported }, null), why);
  t.match(authorise(passing, null), { kind: 'allowed' });
});

t.test('a restriction that cannot be evaluated refuses', async (t) => {
  t.match(authorise(routeWith({ kind: 'unsupported', by: 'mtp', why: 'kind X' }), frontend), {
    kind: 'refusal',
    code: 'unsupported-policy',
  });
});

t.test('a client of another mesh is refused even by a permission that allows every client', async (t) => {
  t.match(authorise(routeWith({ kind: 'allow-all', by: 'x' }), client('other', ['spiffe://other/frontend'])), {
    kind: 'refusal',
    code: 'wrong-mesh',
  });
  t.match(authorise(routeWith({ kind: 'allow-all', by: 'x' }), null), { kind: 'refusal', code: 'no-client-certificate' });
});

t.test('principals: exact, prefix, and, or, not', async (t) => {
  const uris = ['spiffe://default/frontend', 'kuma://team/red'];
  const cases: readonly [Principal, boolean][] = [
    [{ kind: 'any' }, true],
    [uri('spiffe://default/frontend'), true],
    [uri('spiffe://default/front'), false],
    [uri('spiffe://default/front', 'prefix'), true],
    [uri('spiffe://DEFAULT/frontend'), false],
    [{ kind: 'uri-list', match: 'exact', value: 'spiffe://default/frontend' }, false],
    [{ kind: 'uri-list', match: 'exact', value: 'spiffe://default/frontend,kuma://team/red' }, true],
    [{ kind: 'uri-list', match: 'prefix', value: 'spiffe://default/' }, true],
    [{ kind: 'uri-list', match: 'prefix', value: 'kuma://' }, false],
    [{ kind: 'and', all: [uri('spiffe://default/frontend'), uri('kuma://team/red')] }, true],
    [{ kind: 'and', all: [uri('spiffe://default/frontend'), uri('kuma://team/blue')] }, false],
    [{ kind: 'and', all: [] }, true],
    [{ kind: 'or', any: [uri('kuma://team/blue'), uri('kuma://team/red')] }, true],
    [{ kind: 'or', any: [] }, false],
    [{ kind: 'not', not: uri('kuma://team/blue') }, true],
    [{ kind: 'not', not: { kind: 'any' } }, false],
  ];
  for (const [principal, expected] of cases) t.equal(matches(principal, uris), expected, JSON.stringify(principal));
});
