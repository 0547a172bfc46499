import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { Chain, ChainEntry } from '../../src/base/chain.ts';
import type { Linked } from '../../src/base/chain.ts';

class Member implements Linked<Member> {
  chain: object | null = null;
  before: Member | null = null;
  after: Member | null = null;
  readonly name: string;
  readonly holds: number[];

  constructor(name: string, holds = 0) {
    this.name = name;
    this.holds = Array.from({ length: holds }, (_, i) => i);
  }
}

const names = (chain: Chain<Member>): string => [...chain].map(({ name }) => name).join('');

t.test('members stay in the order in which they came, wherever one leaves', (t) => {
  const all = [...'abcde'].map((name) => new Member(name));
  const [a, b, c, d, e] = all as [Member, Member, Member, Member, Member];
  const chain = new Chain<Member>();
  for (const each of all) chain.add(each);
  t.equal(names(chain), 'abcde');
  t.equal(chain.first, a);
  for (const [member, left] of [
    [c, 'abde'],
    [a, 'bde'],
    [e, 'bd'],
  ] as const) {
    t.equal(chain.remove(member), true);
    t.equal(names(chain), left);
    t.equal(chain.size, left.length);
    t.strictSame([member.chain, member.before, member.after], [null, null, null], 'it leads to no other');
  }
  chain.add(a);
  t.equal(names(chain), 'bda');
  for (const each of [b, a, d]) chain.remove(each);
  t.equal(chain.first, null);
  chain.add(c);
  t.equal(names(chain), 'c');
  t.end();
});

t.test('one of another chain, or of none, is not removed', (t) => {
  const [one, other] = [new Chain<Member>(), new Chain<Member>()];
  const member = new Member('m');
  other.add(member);
  t.equal(one.remove(member), false);
  t.equal(one.remove(new Member('n')), false);
  t.strictSame([one.size, other.size, names(other)], [0, 1, 'm']);
  t.end();
});

t.test('a walk meets those that were there, also where they leave meanwhile', (t) => {
  const chain = new Chain<Member>();
  const all = [...'abc'].map((name) => new Member(name));
  for (const each of all) chain.add(each);
  let seen = '';
  for (const { name } of chain) {
    seen += name;
    for (const each of all) chain.remove(each);
    chain.add(new Member('z'));
  }
  t.equal(seen, 'abc');
  t.end();
});

t.test('what has no links of its own is a member by an entry', (t) => {
  const chain = new Chain<ChainEntry<string>>();
  const [one, two] = [new ChainEntry('one'), new ChainEntry('two')];
  for (const each of [one, two]) chain.add(each);
  t.equal(chain.remove(one), true);
  t.strictSame(
    [...chain].map(({ value }) => value),
    ['two'],
  );
  t.end();
});

t.test('members that have left do not outlive small collections', (t) => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: { readonly type: 'minor' | 'major' }) => void;
  const old = (): number =>
    getHeapSpaceStatistics().reduce((sum, space) => sum + (space.space_name === 'old_space' ? space.space_used_size : 0), 0);
  const chain = new Chain<Member>();
  const through = (count: number): void => {
    for (let i = 0; i < count; i++) {
      // Eight at a time, each with 1 KB.
      chain.add(new Member('m', 128));
      if (chain.size > 8 && chain.first !== null) chain.remove(chain.first);
      if (i % 500 === 0) gc({ type: 'minor' });
    }
  };
  through(1_000);
  gc({ type: 'major' });
  const before = old();
  through(10_000);
  const kept = old() - before;
  t.ok(kept < 2_000_000, `${kept} bytes of 10 MB (in a Set 10 MB)`);
  t.end();
});
