import t from 'tap';
import fc from 'fast-check';
import type { Principal } from '../../src/model/permission.ts';
import { ANYBODY, canonical, NOBODY } from './canonical.ts';
import { and, not, or } from './envoy-rbac.ts';

const uri = (value: string, match: 'exact' | 'prefix' = 'exact'): Principal => ({ kind: 'uri', match, value });
const [a, b, red] = [uri('spiffe://default/a'), uri('spiffe://default/b'), uri('kuma://team/red')];

t.test('equal sets of clients are written in the same way', async (t) => {
  t.same(canonical(ANYBODY), ['allow anybody']);
  t.same(canonical(or([a, not(a)])), ['allow anybody']);
  t.same(canonical(NOBODY), ['deny anybody']);
  t.same(canonical(or([a, and([a, red])])), canonical(a));
  t.same(canonical(a), ['allow spiffe://default/a', 'deny spiffe://default/ other']);
  t.same(canonical(and([a, red])), [
    'allow kuma://team/red & spiffe://default/a',
    'deny kuma://team/ other & spiffe://default/ other',
    'deny kuma://team/ other & spiffe://default/a',
    'deny kuma://team/red & spiffe://default/ other',
  ]);
});

t.test('a client has one service, so a rule for another one changes nothing', async (t) => {
  t.same(canonical(and([a, not(b)])), canonical(a));
  t.same(canonical(and([a, b])), canonical(NOBODY));
});

t.test('prefixes are apart from what they are a prefix of', async (t) => {
  t.notSame(canonical(uri('spiffe://default/a', 'prefix')), canonical(a));
  t.not(canonical(or([uri('spiffe://x', 'prefix'), uri('spiffe://y', 'prefix')])).length, 1);
});

const expressions = fc.letrec<{ clients: Principal }>((tie) => ({
  clients: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(a, b, red, ANYBODY, NOBODY),
    fc.array(tie('clients'), { maxLength: 3 }).map(and),
    fc.array(tie('clients'), { maxLength: 3 }).map(or),
    tie('clients').map(not),
  ),
})).clients;

t.test('laws of sets hold: twice not, De Morgan, absorption', async (t) => {
  fc.assert(
    fc.property(expressions, expressions, (x, y) => {
      const same = (left: Principal, right: Principal): boolean => canonical(left).join() === canonical(right).join();
      return (
        same(x, not(not(x))) && same(not(and([x, y])), or([not(x), not(y)])) && same(x, or([x, and([x, y])])) && !same(x, not(x))
      );
    }),
  );
  t.pass();
});
