import t from 'tap';
import type { VerifiedClient } from '../../src/model/client.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { Permission } from '../../src/model/permission.ts';
import { authorise } from '../../src/routing/authorise.ts';
import { filterPermission } from '../../src/xds/translate/rbac-permission.ts';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { RBACSchema as HttpRbacSchema } from '#envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { RBACSchema } from '#envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { fromRecord } from './recorded-state.ts';

const FACTS = { serverName: 'es{mesh=default}', mesh: 'default', destination: 'es', port: 10_002, isMeshExternal: false };
const ACTION = 'type.googleapis.com/envoy.config.rbac.v3.Action';
const URI_SAN = 'type.googleapis.com/envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput';
const SERVER_NAME = 'type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.ServerNameInput';

function read(json: object, more: Partial<typeof FACTS> = {}): ReturnType<typeof filterPermission> {
  return filterPermission(fromRecord(RBACSchema, json), { ...FACTS, ...more });
}

/**
 * Returns `allow`, `deny`, `shadow` (allowed and counted) or `unsupported` for a client with these
 * URIs.
 */
function outcome(permission: Permission | null, uris: readonly string[]): string {
  const mesh = meshName('default');
  const client = { mesh, spiffeIds: [], uris, issuer: '', expiry: '' } as unknown as VerifiedClient;
  const own = permission ?? ({ kind: 'allow-all', by: '' } as const);
  const judged = authorise(
    { kind: 'terminate', serverName: serverName('es'), mesh, destination: 'es', cluster: 'c', permission: own, protocol: 'tcp' },
    client,
  );
  if (judged.kind === 'allowed') return judged.shadowDenied ? 'shadow' : 'allow';
  return judged.code === 'unsupported-policy' ? 'unsupported' : judged.code === 'denied' ? 'deny' : judged.code;
}

const A = 'spiffe://default/a';
const B = 'spiffe://default/b';
const name = (exact: string): object => ({ authenticated: { principalName: { exact } } });
const policies = (principals: readonly object[], permissions: readonly object[] = [{ any: true }]): object => ({
  policies: { p: { principals, permissions } },
});
const rules = (principals: readonly object[], permissions?: readonly object[]): object => ({
  rules: policies(principals, permissions),
});
const action = (verb: 'ALLOW' | 'DENY' | 'LOG', of = 'kri_mtp_default___p_'): object => ({
  action: { name: 'x', typedConfig: { '@type': ACTION, name: of, action: verb } },
});
const single = (input: string, valueMatch: object): object => ({
  singlePredicate: { input: { name: 'x', typedConfig: { '@type': input } }, valueMatch },
});
const list = (...matchers: readonly (readonly [object, object])[]): object => ({
  matcherList: { matchers: matchers.map(([predicate, onMatch]) => ({ predicate, onMatch })) },
});

t.test('rules: a client that a policy names passes, a DENY inverts it, LOG admits every client', async (t) => {
  const cases: readonly [title: string, filter: object, a: string, b: string][] = [
    ['nothing at all', {}, 'allow', 'allow'],
    ['no policies', { rules: {} }, 'deny', 'deny'],
    ['no policies, DENY', { rules: { action: 'DENY' } }, 'allow', 'allow'],
    ['one', rules([name(A)]), 'allow', 'deny'],
    ['any', rules([{ any: true }]), 'allow', 'allow'],
    ['authenticated, whoever it is', rules([{ authenticated: {} }]), 'allow', 'allow'],
    ['prefix', rules([{ authenticated: { principalName: { prefix: 'spiffe://default/a' } } }]), 'allow', 'deny'],
    ['either', rules([name(A), name(B)]), 'allow', 'allow'],
    ['or', rules([{ orIds: { ids: [name(A), name(B)] } }]), 'allow', 'allow'],
    ['and', rules([{ andIds: { ids: [name(A), name(B)] } }]), 'deny', 'deny'],
    ['not', rules([{ notId: name(A) }]), 'deny', 'allow'],
    ['DENY', { rules: { action: 'DENY', ...policies([name(A)]) } }, 'deny', 'allow'],
    ['LOG', { rules: { action: 'LOG', ...policies([name(A)]) } }, 'allow', 'allow'],
    ['another server name', rules([{ any: true }], [{ requestedServerName: { exact: 'other' } }]), 'deny', 'deny'],
    ['this server name', rules([name(A)], [{ requestedServerName: { exact: FACTS.serverName } }]), 'allow', 'deny'],
    ['this port', rules([name(A)], [{ destinationPort: 10_002 }]), 'allow', 'deny'],
    ['another port', rules([name(A)], [{ destinationPort: 10_003 }]), 'deny', 'deny'],
    ['not another port', rules([name(A)], [{ notRule: { destinationPort: 10_003 } }]), 'allow', 'deny'],
    ['all of two', rules([name(A)], [{ andRules: { rules: [{ any: true }, { destinationPort: 1 }] } }]), 'deny', 'deny'],
    ['one of two', rules([name(A)], [{ orRules: { rules: [{ any: true }, { destinationPort: 1 }] } }]), 'allow', 'deny'],
  ];
  for (const [title, filter, a, b] of cases) {
    const { permission } = read(filter);
    t.same([outcome(permission, [A]), outcome(permission, [B])], [a, b], title);
  }
});

t.test('shadow rules let through and count, never more and never less than the rules themselves', async (t) => {
  const main = rules([name(A), name(B)]);
  const cases: readonly [title: string, filter: object, a: string, b: string][] = [
    ['DENY everybody', { ...main, shadowRules: { action: 'DENY', ...policies([{ any: true }]) } }, 'shadow', 'shadow'],
    ['DENY one', { ...main, shadowRules: { action: 'DENY', ...policies([name(A)]) } }, 'shadow', 'allow'],
    ['ALLOW one', { ...main, shadowRules: policies([name(A)]) }, 'allow', 'shadow'],
    ['nobody', { ...main, shadowRules: {} }, 'shadow', 'shadow'],
    ['without rules', { shadowRules: policies([name(A)]) }, 'allow', 'shadow'],
    ['of those who are denied', { ...rules([name(B)]), shadowRules: policies([name(A)]) }, 'deny', 'shadow'],
    ['as a matcher', { ...main, shadowMatcher: list([single(URI_SAN, { exact: A }), action('ALLOW')]) }, 'allow', 'shadow'],
  ];
  for (const [title, filter, a, b] of cases) {
    const { permission, remarks } = read(filter);
    t.same([outcome(permission, [A]), outcome(permission, [B])], [a, b], title);
    t.same(remarks, []);
  }
  const unread = read({ ...main, shadowRules: policies([{ sourceIp: { addressPrefix: '10.0.0.0', prefixLen: 8 } }]) });
  t.equal(outcome(unread.permission, [A]), 'allow');
  t.match(unread.remarks, [/shadow rules .* not evaluated: .*source_ip/]);
});

t.test('matchers: the first match decides, what none matches is denied', async (t) => {
  const a = single(URI_SAN, { exact: A });
  const here = single(SERVER_NAME, { exact: FACTS.serverName });
  const elsewhere = single(SERVER_NAME, { exact: 'other' });
  const tree = (type: string, map: object): object => ({
    matcherTree: { input: { name: 'x', typedConfig: { '@type': URI_SAN } }, [type]: { map } },
  });
  const cases: readonly [title: string, matcher: object, a: string, b: string][] = [
    ['nothing', {}, 'deny', 'deny'],
    ['one', list([a, action('ALLOW')]), 'allow', 'deny'],
    ['DENY before ALLOW', { ...list([a, action('DENY')]), onNoMatch: action('ALLOW') }, 'deny', 'allow'],
    ['on no match', { onNoMatch: action('DENY', 'default') }, 'deny', 'deny'],
    ['LOG', { onNoMatch: action('LOG') }, 'allow', 'allow'],
    ['this server', list([here, action('ALLOW')]), 'allow', 'allow'],
    ['another server', list([elsewhere, action('ALLOW')]), 'deny', 'deny'],
    ['and', list([{ andMatcher: { predicate: [a, here] } }, action('ALLOW')]), 'allow', 'deny'],
    ['and elsewhere', list([{ andMatcher: { predicate: [a, elsewhere] } }, action('ALLOW')]), 'deny', 'deny'],
    ['or', list([{ orMatcher: { predicate: [a, elsewhere] } }, action('ALLOW')]), 'allow', 'deny'],
    ['not', list([{ notMatcher: a }, action('ALLOW')]), 'deny', 'allow'],
    ['prefix', list([single(URI_SAN, { prefix: 'spiffe://default/' }), action('ALLOW')]), 'allow', 'allow'],
    ['nested', list([here, { matcher: list([a, action('ALLOW')]) }], [here, action('ALLOW')]), 'allow', 'deny'],
    ['a tree', tree('exactMatchMap', { [A]: action('ALLOW') }), 'allow', 'deny'],
    ['the longest prefix', tree('prefixMatchMap', { 'spiffe://': action('ALLOW'), [A]: action('DENY') }), 'deny', 'allow'],
  ];
  for (const [title, matcher, a, b] of cases) {
    const { permission } = read({ matcher });
    t.same([outcome(permission, [A]), outcome(permission, [B])], [a, b], title);
    const { permission: byMatcher } = read({ matcher, rules: {} });
    t.same(byMatcher, permission, `${title}: rules beside a matcher are not looked at`);
  }
});

t.test('a matcher compares all URIs of the certificate at once, as Envoy does', async (t) => {
  const { permission } = read({ matcher: list([single(URI_SAN, { exact: A }), action('ALLOW')]) });
  t.equal(outcome(permission, [A, 'kuma://team/red']), 'deny');
  const { permission: any } = read(rules([name(A)]));
  t.equal(outcome(any, ['kuma://team/red', A]), 'allow', 'rules look at each of them');
});

t.test('a restriction that cannot be evaluated refuses every client, with its name', async (t) => {
  const cidr = { addressPrefix: '10.0.0.0', prefixLen: 8 };
  const header = { name: 'x', presentMatch: true };
  const metadata = { filter: 'x', path: [{ key: 'a' }], value: { presentMatch: true } };
  const custom = { name: 'x', typedConfig: { '@type': ACTION } };
  const principals: readonly [object, RegExp][] = [
    [{ sourceIp: cidr }, /source_ip/],
    [{ directRemoteIp: cidr }, /direct_remote_ip/],
    [{ remoteIp: cidr }, /remote_ip/],
    [{ header }, /header/],
    [{ urlPath: { path: { exact: '/' } } }, /url_path/],
    [{ metadata }, /metadata/],
    [{ filterState: { key: 'x', stringMatch: { exact: 'x' } } }, /filter_state/],
    [{ any: false }, /any/],
    [{}, /not set/],
    [{ authenticated: { principalName: { suffix: '/a' } } }, /suffix/],
    [{ authenticated: { principalName: { contains: 'a' } } }, /contains/],
    [{ authenticated: { principalName: { safeRegex: { regex: '.*' } } } }, /safeRegex/],
    [{ authenticated: { principalName: { exact: A, ignoreCase: true } } }, /case/],
    [{ authenticated: { principalName: { exact: 'CN=a' } } }, /"CN=a", which is no URI/],
    [{ authenticated: { principalName: {} } }, /nothing/],
    [{ andIds: { ids: [] } }, /empty list/],
    [{ andIds: { ids: [name(A), { sourceIp: cidr }] } }, /source_ip/],
    [{ orIds: { ids: [{ any: true }, { sourceIp: cidr }] } }, /source_ip/],
    [{ notId: { sourceIp: cidr } }, /source_ip/],
  ];
  const permissions: readonly [object, RegExp][] = [
    [{ header }, /header/],
    [{ urlPath: { path: { exact: '/' } } }, /url_path/],
    [{ destinationIp: cidr }, /destination_ip/],
    [{ metadata }, /metadata/],
    [{ matcher: custom }, /matcher/],
    [{ uriTemplate: custom }, /uri_template/],
    [{ any: false }, /any/],
    [{}, /not set/],
    [{ andRules: { rules: [] } }, /empty list/],
    [{ requestedServerName: { safeRegex: { regex: '.*' } } }, /requested_server_name by safeRegex/],
  ];
  const a = single(URI_SAN, { exact: A });
  const matchers: readonly [object, RegExp][] = [
    [list([single(URI_SAN, { safeRegex: { regex: '.*' } }), action('ALLOW')]), /safeRegex/],
    [list([single(ACTION, { exact: A }), action('ALLOW')]), /compares envoy.config.rbac.v3.Action/],
    [list([{ singlePredicate: { input: custom, customMatch: custom } }, action('ALLOW')]), /of its own kind/],
    [list([{ andMatcher: {} }, action('ALLOW')]), /empty list/],
    [list([{}, action('ALLOW')]), /predicate/],
    [list([a, {}]), /without an outcome/],
    [list([a, { action: { name: 'x', typedConfig: { '@type': URI_SAN } } }]), /the action .*UriSanInput/],
    [{ matcherTree: { input: custom, customMatch: custom } }, /matcher tree/],
  ];
  const filters: readonly (readonly [object, RegExp])[] = [
    ...principals.map(([principal, why]) => [rules([principal]), why] as const),
    ...principals.map(([principal, why]) => [{ rules: { action: 'DENY', ...policies([principal]) } }, why] as const),
    ...permissions.map(([permission, why]) => [rules([name(A)], [permission]), why] as const),
    ...matchers.map(([matcher, why]) => [{ matcher }, why] as const),
    [{ rules: { policies: { p: { principals: [{ any: true }] } } } }, /empty list/],
    [{ rules: { policies: { p: { permissions: [{ any: true }] } } } }, /empty list/],
    [{ rules: { policies: { p: { ...policiesOf(), condition: { constExpr: { boolValue: true } } } } } }, /CEL/],
  ];
  for (const [filter, why] of filters) {
    const { permission } = read(filter);
    t.equal(outcome(permission, [A]), 'unsupported', JSON.stringify(filter));
    t.match(permission, { kind: 'unsupported', why });
  }
  t.equal(filters.length, 59);
});

function policiesOf(): object {
  return { principals: [{ any: true }], permissions: [{ any: true }] };
}

t.test('a field of a newer Envoy, at any place, refuses every client', async (t) => {
  const plain = fromRecord(RBACSchema, rules([{ any: true }]));
  // Field 100, a varint: at the end of the filter, and inside of its rules.
  const outside = fromBinary(RBACSchema, Buffer.concat([toBinary(RBACSchema, plain), Buffer.from([0xa0, 0x06, 1])]));
  t.match(filterPermission(outside, FACTS).permission, { kind: 'unsupported', why: /RBAC field 100/ });
  plain.rules!.policies['p']!.principals[0]!.$unknown = [{ no: 15, wireType: 0, data: Uint8Array.of(1) }];
  t.match(filterPermission(plain, FACTS).permission, { kind: 'unsupported', why: /Principal field 15/ });
});

t.test('what decided is named as an operator knows it', async (t) => {
  const by = (json: object, more: Partial<typeof FACTS> = {}): string | undefined => read(json, more).permission?.by;
  const of = (key: string): object => ({ rules: { policies: { [key]: policiesOf() } } });
  t.equal(by(of('es-team')), 'TrafficPermission default/es-team');
  t.equal(by(of('MeshTrafficPermission')), 'MeshTrafficPermission of mesh default');
  t.equal(by(of('MeshTrafficPermission'), { isMeshExternal: true }), 'MeshExternalService default');
  t.equal(by({ rules: {} }), 'no permission for es');
  t.equal(by({ rules: {} }, { isMeshExternal: true }), 'Mesh default routing.defaultForbidMeshExternalServiceAccess');
  t.equal(by({ matcher: { onNoMatch: action('ALLOW', 'kri_mtp_default_zone-1_ns_p-1_') } }), 'MeshTrafficPermission default/p-1');
  t.equal(by({ matcher: { onNoMatch: action('DENY', 'default') } }), 'no MeshTrafficPermission for es');
});

t.test('the HTTP filter is read like the network one', async (t) => {
  const { permission } = filterPermission(fromRecord(HttpRbacSchema, rules([name(A)])), FACTS);
  t.same(permission, read(rules([name(A)])).permission);
});
