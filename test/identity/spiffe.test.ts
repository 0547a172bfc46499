import t from 'tap';
import { claimsSpiffe, parseSpiffeId } from '../../src/identity/spiffe.ts';

t.test('ids as Kuma and SPIFFE write them are taken apart and kept byte for byte', async (t) => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['spiffe://default/frontend', 'default', '/frontend'],
    ['spiffe://default/zone-egress', 'default', '/zone-egress'],
    ['spiffe://default/Frontend_v1.2:8080', 'default', '/Frontend_v1.2:8080'],
    ['spiffe://my-mesh.east_1/demo_svc_80', 'my-mesh.east_1', '/demo_svc_80'],
    ['spiffe://default.east.mesh.local/ns/demo/sa/frontend', 'default.east.mesh.local', '/ns/demo/sa/frontend'],
    ['spiffe://m/...', 'm', '/...'],
    [`spiffe://m/${'a'.repeat(2_048 - 11)}`, 'm', `/${'a'.repeat(2_048 - 11)}`],
  ];
  for (const [id, trustDomain, path] of cases) t.same(parseSpiffeId(id), { kind: 'spiffe', id, trustDomain, path });
});

t.test('every other spelling is invalid and says why', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /does not begin with spiffe:/],
    ['SPIFFE://default/a', /does not begin with spiffe:/],
    ['spiffe:default/a', /does not begin with spiffe:/],
    [' spiffe://default/a', /does not begin with spiffe:/],
    ['kuma://default/a', /does not begin with spiffe:/],
    ['spiffe://', /no trust domain/],
    ['spiffe:///a', /no trust domain/],
    ['spiffe://Default/a', /trust domain holds/],
    ['spiffe://default:443/a', /trust domain holds/],
    ['spiffe://user@default/a', /trust domain holds/],
    ['spiffe://user:pass@default/a', /trust domain holds/],
    ['spiffe://[::1]/a', /trust domain holds/],
    ['spiffe://default%2e/a', /trust domain holds/],
    ['spiffe://default\\/a', /trust domain holds/],
    ['spiffe://default?x/a', /trust domain holds/],
    ['spiffe://défaut/a', /trust domain holds/],
    [`spiffe://${'a'.repeat(256)}/a`, /trust domain is longer/],
    ['spiffe://default', /no path/],
    ['spiffe://default/', /empty segment/],
    ['spiffe://default/a/', /empty segment/],
    ['spiffe://default//a', /empty segment/],
    ['spiffe://default/.', /dot segment/],
    ['spiffe://default/a/../b', /dot segment/],
    ['spiffe://default/a?b', /path holds/],
    ['spiffe://default/a#b', /path holds/],
    ['spiffe://default/%61', /path holds/],
    ['spiffe://default/a b', /path holds/],
    ['spiffe://default/a\n', /path holds/],
    ['spiffe://default/a\0', /path holds/],
    ['spiffe://default/a,b', /path holds/],
    ['spiffe://default/ä', /path holds/],
    [`spiffe://m/${'a'.repeat(2_048 - 10)}`, /2049 bytes \(limit 2048\)/],
  ];
  for (const [id, why] of cases) t.match(parseSpiffeId(id), { kind: 'invalid', why }, JSON.stringify(id).slice(0, 60));
});

t.test('a URI that claims to be a SPIFFE id in any spelling counts as one, so that it must be a good one', async (t) => {
  for (const uri of ['spiffe://a/b', 'SPIFFE://a/b', 'Spiffe:a', '\tspiffe://a/b']) t.ok(claimsSpiffe(uri), uri);
  for (const uri of ['kuma://spiffe/a', 'https://spiffe://a', 'xspiffe://a/b', '']) t.notOk(claimsSpiffe(uri), uri);
});
