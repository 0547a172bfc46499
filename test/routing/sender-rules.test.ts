import t from 'tap';
import type { SenderRule } from '../../src/model/http-route.ts';
import { holds } from '../../src/routing/sender-rules.ts';

const by = (rule: SenderRule, headers: readonly string[] = [], uris: readonly string[] = []): boolean =>
  holds([rule], { headers, uris });

t.test('a value that is compared has to be there, also where the comparison is turned around, as in Envoy', async (t) => {
  const tags: SenderRule = { kind: 'tags', any: [{ 'kuma.io/service': 'a' }] };
  const exact: SenderRule = { kind: 'header', name: 'x-a', match: { kind: 'exact', value: '1' } };
  for (const [rule, met, other] of [
    [tags, ['x-kuma-tags', '&kuma.io/service=a&'], ['x-kuma-tags', '&kuma.io/service=b&']],
    [exact, ['x-a', '1'], ['x-a', '2']],
  ] as const) {
    t.same([by(rule, met), by(rule, other), by(rule)], [true, false, false]);
    const not = { ...rule, not: true };
    t.same([by(not, met), by(not, other), by(not)], [false, true, false]);
  }
});

t.test('whether a header is there at all', async (t) => {
  const present: SenderRule = { kind: 'header', name: 'x-a', match: { kind: 'present' } };
  t.same([by(present, ['x-a', '']), by(present)], [true, false]);
  t.same([by({ ...present, not: true }, ['x-a', '']), by({ ...present, not: true })], [false, true]);
});

t.test('clients by their certificate', async (t) => {
  const rule: SenderRule = { kind: 'client', principal: { kind: 'uri', match: 'exact', value: 'spiffe://m/a' } };
  t.same([by(rule, [], ['spiffe://m/a']), by(rule, [], ['spiffe://m/b']), by(rule)], [true, false, false]);
  t.same([by({ ...rule, not: true }, [], ['spiffe://m/a']), by({ ...rule, not: true })], [false, true]);
});
