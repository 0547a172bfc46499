import t from 'tap';
import fc from 'fast-check';
import { createResolver } from '../../src/endpoints/dns.ts';
import type { ResolverOptions } from '../../src/endpoints/dns.ts';
import type { Family } from '../../src/endpoints/dns-answers.ts';
import { isDnsName } from '../../src/endpoints/dns-name.ts';
import type { Resolution } from '../../src/model/endpoint-view.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

interface Question {
  readonly name: string;
  readonly family: Family;
  readonly answer: (addresses: string[], ttl?: number | null) => Promise<void>;
  readonly fail: (code: string) => Promise<void>;
}

/** Runs everything that waits for a promise. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp(options: Partial<ResolverOptions> = {}) {
  const clock = new FakeClock();
  const questions: Question[] = [];
  const answers: string[] = [];
  const failures: string[] = [];
  const resolver = createResolver({
    clock,
    lookup: (name, family) =>
      new Promise((resolve, reject) => {
        questions.push({
          name,
          family,
          answer: (addresses, ttl) => (resolve(ttl === undefined ? addresses : { addresses, ttl }), settled()),
          fail: (code) => (reject(Object.assign(new Error(`look up ${name}`), { code })), settled()),
        });
      }),
    onAnswer: (name, resolution) => void answers.push(`${name} ${shown(resolution)}`),
    onFailure: (name, message) => void failures.push(`${name} ${message}`),
    ...options,
  });
  /** Returns the oldest question without an answer. */
  const next = (): Question => {
    const question = questions.shift();
    if (question === undefined) throw new Error('nothing was looked up');
    return question;
  };
  return { resolver, clock, questions, answers, failures, next };
}

function shown(resolution: Resolution): string {
  return resolution.kind === 'resolved' ? resolution.addresses.join(' ') : `failed: ${resolution.message}`;
}

const names = (...list: string[]): ReadonlyMap<string, Family> => new Map(list.map((name) => [name, 'v4']));

t.test('a wanted name is looked up before the first question, and is then known at once', async (t) => {
  const { resolver, questions, answers, next } = setUp();
  resolver.want(names('api.test'));
  t.match(questions, [{ name: 'api.test', family: 'v4' }]);
  await next().answer(['10.0.0.1']);
  t.same(answers, ['api.test 10.0.0.1']);
  t.same(await resolver.resolve('api.test', 'v4'), { kind: 'resolved', addresses: ['10.0.0.1'] });
  t.equal(questions.length, 0);
  t.same([...resolver.answers()], [['api.test', { kind: 'resolved', addresses: ['10.0.0.1'] }]]);
});

t.test('every address is in the answer once, IPv4 first, in the same order whatever the server rotates', async (t) => {
  const { resolver, clock, answers, next } = setUp();
  resolver.want(new Map([['a.test', 'any']]));
  resolver.touch('a.test');
  await next().answer(['2001:db8::2', '10.0.0.2', '10.0.0.1', '10.0.0.2', '2001:db8::1', 'not an address']);
  t.same(answers, ['a.test 10.0.0.1 10.0.0.2 2001:db8::1 2001:db8::2']);
  clock.advance(5_000);
  await next().answer(['10.0.0.2', '2001:db8::1', '10.0.0.1', '2001:db8::2']);
  t.equal(answers.length, 1, 'nothing new is not told');
});

t.test('an IPv4 name has A records only, and a thousand of them if the server says so', async (t) => {
  const { resolver, answers, next } = setUp();
  resolver.want(names('a.test'));
  const many = Array.from({ length: 1_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
  await next().answer(['2001:db8::1', ...many]);
  const found = resolver.answers().get('a.test');
  t.equal(found?.kind === 'resolved' && found.addresses.length, 1_000);
  t.notMatch(answers[0], '2001');
});

t.test('many who ask for a cold name wait for one look-up', async (t) => {
  const { resolver, clock, questions, next } = setUp();
  const asked = Promise.all(Array.from({ length: 50 }, () => resolver.resolve('cold.test', 'v4')));
  t.equal(questions.length, 1);
  await next().answer(['10.0.0.9']);
  for (const answer of await asked) t.same(answer, { kind: 'resolved', addresses: ['10.0.0.9'] });
  t.equal(clock.timers, 0);
});

t.test('a question for a known name is answered again', async (t) => {
  const { resolver, answers, next } = setUp();
  resolver.want(names('a.test'));
  await next().answer(['10.0.0.1']);
  await resolver.resolve('a.test', 'v4');
  t.same(answers, ['a.test 10.0.0.1', 'a.test 10.0.0.1']);
});

t.test('a name in use is looked up every 5 s, and a change is reported', async (t) => {
  const { resolver, clock, questions, answers, next } = setUp();
  resolver.want(names('a.test'));
  await next().answer(['10.0.0.1']);
  resolver.touch('a.test');
  clock.advance(4_999);
  t.equal(questions.length, 0);
  clock.advance(1);
  await next().answer(['10.0.0.2']);
  t.same(answers, ['a.test 10.0.0.1', 'a.test 10.0.0.2']);
  clock.advance(5_000);
  t.equal(questions.length, 1);
});

t.test('where DNS tells a TTL the next look-up comes after it, not before 1 s and not after 60 s', async (t) => {
  const { resolver, clock, questions, next } = setUp();
  resolver.want(names('a.test'));
  /** Returns the milliseconds from an answer with this TTL to the next look-up. */
  const restAfter = async (ttl: number | null): Promise<number> => {
    await next().answer(['10.0.0.1'], ttl);
    resolver.touch('a.test');
    let waited = 0;
    while (questions.length === 0 && waited < 100_000) {
      clock.advance(500);
      waited += 500;
    }
    return waited;
  };
  t.equal(await restAfter(20), 20_000);
  t.equal(await restAfter(0), 1_000);
  t.equal(await restAfter(3), 3_000);
  t.equal(await restAfter(86_400), 60_000);
  t.equal(await restAfter(null), 5_000, 'nothing is known of it');
  t.equal(await restAfter(20), 20_000);
  await next().fail('ENOTFOUND');
  clock.advance(5_000);
  t.equal(questions.length, 1, 'a look-up that failed is not repeated after the TTL of an older answer');
});

t.test('a name without use for 10 minutes is looked up every 10 minutes, and at once when it is used again', async (t) => {
  const { resolver, clock, questions, next } = setUp();
  resolver.want(names('a.test'));
  await next().answer(['10.0.0.1']);
  clock.advance(599_999);
  t.equal(questions.length, 0);
  clock.advance(1);
  t.equal(questions.length, 1);
  await next().answer(['10.0.0.1']);
  clock.advance(60_000);
  resolver.touch('a.test');
  t.equal(questions.length, 1);
  await next().answer(['10.0.0.1']);
  let lookups = 0;
  for (let i = 0; i < 240; i++) {
    clock.advance(5_000);
    while (questions.length > 0) {
      lookups++;
      await next().answer(['10.0.0.1']);
    }
  }
  t.ok(lookups >= 119 && lookups <= 122, `${lookups} look-ups in 20 minutes, of which 10 in use`);
});

t.test('the last good answer stays when a look-up fails, and the failure is reported', async (t) => {
  const { resolver, clock, answers, failures, next } = setUp();
  resolver.want(names('a.test'));
  await next().answer(['10.0.0.1']);
  resolver.touch('a.test');
  for (const code of ['ENOTFOUND', 'EAI_AGAIN', 'ESERVFAIL']) {
    clock.advance(5_000);
    await next().fail(code);
  }
  clock.advance(5_000);
  await next().answer([]);
  t.same(answers, ['a.test 10.0.0.1']);
  t.match(failures, [/no such name \(ENOTFOUND\)/, /EAI_AGAIN/, /ESERVFAIL/, /no address/]);
  t.match(await resolver.resolve('a.test', 'v4'), { kind: 'resolved' });
  clock.advance(5_000);
  await next().answer(['10.0.0.2']);
  t.equal(answers.at(-1), 'a.test 10.0.0.2');
});

t.test('a name that never resolved is tried again: soon when it is used, less and less when not', async (t) => {
  const { resolver, clock, questions, answers, next } = setUp();
  resolver.want(names('a.test'));
  await next().fail('ENOTFOUND');
  t.same(answers, ['a.test failed: no such name (ENOTFOUND)']);
  for (const waitMs of [10_000, 20_000, 40_000, 60_000, 60_000]) {
    clock.advance(waitMs - 1);
    t.equal(questions.length, 0, `not before ${waitMs}`);
    clock.advance(1);
    await next().fail('ENOTFOUND');
  }
  t.equal(answers.length, 1, 'the same failure is told once');
  t.match(await resolver.resolve('a.test', 'v4'), { kind: 'failed' });
  t.equal(questions.length, 0, 'a fresh failure is an answer');
  clock.advance(5_000);
  const asked = resolver.resolve('a.test', 'v4');
  await next().answer(['10.0.0.1']);
  t.match(await asked, { kind: 'resolved' });
});

t.test('no more look-ups run at once than there are places, and names with waiting callers go first', async (t) => {
  const { resolver, questions, next } = setUp({ maxConcurrent: 2 });
  resolver.want(names('a.test', 'b.test', 'c.test', 'd.test'));
  t.same(
    questions.map(({ name }) => name),
    ['a.test', 'b.test'],
  );
  const cold = resolver.resolve('cold.test', 'v4');
  const waited = resolver.resolve('d.test', 'v4');
  await next().answer(['10.0.0.1']);
  await next().answer(['10.0.0.2']);
  t.same(
    questions.map(({ name }) => name),
    ['cold.test', 'd.test'],
  );
  await next().answer(['10.0.0.3']);
  await next().answer(['10.0.0.4']);
  t.match(await cold, { addresses: ['10.0.0.3'] });
  t.match(await waited, { addresses: ['10.0.0.4'] });
  t.same(
    questions.map(({ name }) => name),
    ['c.test'],
  );
});

t.test('a look-up has 5 s; what it says later still counts', async (t) => {
  const { resolver, clock, questions, answers, failures, next } = setUp({ maxConcurrent: 1 });
  resolver.want(names('slow.test', 'other.test'));
  clock.advance(5_000);
  t.equal(answers[0], 'slow.test failed: no answer within 5000 ms');
  t.same(failures, ['slow.test no answer within 5000 ms']);
  const slow = next();
  t.match(questions, [{ name: 'other.test' }], 'its place is free for the next one');
  await next().answer(['10.0.0.2']);
  clock.advance(20_000);
  await slow.answer(['10.0.0.1']);
  t.equal(answers.at(-1), 'slow.test 10.0.0.1');
  t.equal(failures.length, 1);
});

t.test(
  'names whose look-up hangs do not hold up the others: those that failed have half of the places, and their turn last',
  async (t) => {
    const { resolver, clock, questions, next } = setUp({ maxConcurrent: 4 });
    const dead = Array.from({ length: 24 }, (_, i) => `dead${i}.test`);
    resolver.want(names(...dead, 'good.test'));
    const asked: string[] = [];
    /** Lets the dead ones fail, and answers for the good one. */
    const turn = async (): Promise<void> => {
      for (const { name, answer } of questions.splice(0)) {
        asked.push(name);
        if (name === 'good.test') await answer(['10.0.0.1']);
      }
      clock.advance(5_000);
      await settled();
    };
    for (let turns = 0; turns < 7; turns++) await turn();
    t.ok(asked.includes('good.test'));

    resolver.touch('good.test');
    for (const name of dead) {
      resolver.touch(name);
      void resolver.resolve(name, 'v4');
    }
    for (let turns = 0; turns < 20; turns++) {
      clock.advance(5_000);
      const now = questions.splice(0).filter(({ name, answer }) => name !== 'good.test' || void answer(['10.0.0.1']));
      await settled();
      t.ok(now.length <= 2, 'half of the places');
      const cold = resolver.resolve(`cold${turns}.test`, 'v4');
      await next().answer(['10.0.0.9']);
      t.match(await cold, { addresses: ['10.0.0.9'] }, 'at once, whoever else waits');
    }
  },
);

t.test('a caller waits 5 s at most, and each caller of the name gets an answer, even in the queue', async (t) => {
  const { resolver, clock, questions, answers, next } = setUp({ maxConcurrent: 1 });
  const first = resolver.resolve('a.test', 'v4');
  clock.advance(1_000);
  for (const name of ['b.test', 'c.test', 'd.test', 'e.test']) void resolver.resolve(name, 'v4');
  const last = resolver.resolve('f.test', 'v4');
  t.equal(questions.length, 1);
  clock.advance(4_000);
  t.match(await first, { kind: 'failed', message: 'no answer within 5000 ms' });
  clock.advance(1_000);
  t.match(await last, { kind: 'failed', message: 'no answer within 5000 ms' });
  t.ok(answers.includes('f.test failed: no answer within 5000 ms'), 'it was never looked up');
  answers.length = 0;
  next();
  await next().answer(['10.0.0.1']);
  t.same(answers, ['b.test 10.0.0.1'], 'what comes later is told too');
});

t.test('a stale answer is given at once and looked up behind it', async (t) => {
  const { resolver, clock, questions, next } = setUp();
  resolver.want(names('a.test'));
  await next().answer(['10.0.0.1']);
  clock.advance(300_000);
  t.match(await resolver.resolve('a.test', 'v4'), { addresses: ['10.0.0.1'] });
  t.equal(questions.length, 1);
});

t.test(
  'a name that the configuration dropped is not looked up any more; when it is wanted again its answer is told at once',
  async (t) => {
    const { resolver, clock, questions, answers, next } = setUp();
    resolver.want(names('a.test', 'b.test'));
    await next().answer(['10.0.0.1']);
    await next().answer(['10.0.0.2']);
    resolver.touch('a.test');
    resolver.want(names('b.test'));
    resolver.touch('a.test');
    clock.advance(60_000);
    t.equal(questions.length, 0);
    t.same([...resolver.answers().keys()], ['b.test']);
    answers.length = 0;
    resolver.want(names('a.test', 'b.test'));
    t.same(answers, ['a.test 10.0.0.1']);
    t.match(questions, [{ name: 'a.test' }]);
  },
);

t.test('answers of names outside of the configuration are bounded', async (t) => {
  const { resolver, questions, next } = setUp({ maxOthers: 10 });
  for (let i = 0; i < 50; i++) {
    const asked = resolver.resolve(`n${i}.test`, 'v4');
    await next().answer(['10.0.0.1']);
    await asked;
  }
  await resolver.resolve('n49.test', 'v4');
  t.equal(questions.length, 0);
  void resolver.resolve('n0.test', 'v4');
  t.match(questions, [{ name: 'n0.test' }], 'the first one is forgotten');
});

t.test('a name wanted for both families is looked up again for the wider one', async (t) => {
  const { resolver, questions, next } = setUp();
  resolver.want(names('a.test'));
  await next().answer(['10.0.0.1']);
  resolver.want(new Map([['a.test', 'any']]));
  t.match(questions, [{ name: 'a.test', family: 'any' }]);
  await next().answer(['10.0.0.1', '2001:db8::1']);
  t.match(await resolver.resolve('a.test', 'any'), { addresses: ['10.0.0.1', '2001:db8::1'] });
  t.match(await resolver.resolve('a.test', 'v4'), { addresses: ['10.0.0.1'] });
});

const NOT_NAMES = [
  ...[
    '',
    '.',
    'a..b',
    '.a',
    '-a.test',
    'a-.test',
    'a b',
    'a\0.test',
    'localhost\0.example.com',
    '127.0.0.1',
    '::1',
    '127.1',
    '2130706433',
  ],
  ...[
    '0x7f000001',
    '0177.0.0.1',
    '0x7f.1',
    'a.0x',
    '①②⑦.⓪.⓪.①',
    '127。0。0。1',
    'ａ.test',
    'é.test',
    'a/b',
    'a:80',
    '[::1]',
    'a%b',
    '*.test',
  ],
  ...['a.test..', `${'a'.repeat(64)}.test`, `${'a.'.repeat(126)}ab`, 'http://a.test', 'a,b', 'a\n', ' a', '1.2.3.4.'],
];

t.test('what is no DNS name is never looked up', async (t) => {
  const { resolver, clock, questions, answers, failures } = setUp();
  for (const name of NOT_NAMES) {
    t.notOk(isDnsName(name), JSON.stringify(name));
    t.same(await resolver.resolve(name, 'any'), { kind: 'failed', message: 'not a DNS name' }, JSON.stringify(name));
  }
  answers.length = 0;
  resolver.want(names('a\0.test'));
  t.same(answers, ['a\0.test failed: not a DNS name']);
  resolver.touch('a\0.test');
  clock.advance(3_600_000);
  t.equal(questions.length, 0);
  t.ok(failures.length > 0);
  t.equal(clock.timers, 0);
});

t.test('usual names are names', async (t) => {
  const usual = [
    'localhost',
    'a',
    'api.example.com',
    'api.example.com.',
    '_sip._tcp.a.test',
    'A-1.TEST',
    '1.a',
    'xn--mller-kva.test',
    '0x7g.test',
    'a_b',
  ];
  for (const name of [...usual, `${'a'.repeat(63)}.test`, `${'a.'.repeat(126)}a`]) t.ok(isDnsName(name), name);
  fc.assert(
    fc.property(fc.domain(), (name) => isDnsName(name)),
    { numRuns: 1000 },
  );
});

t.test('close answers who waits, takes every timer away, and does not tell what comes later', async (t) => {
  const { resolver, clock, answers, next } = setUp();
  resolver.want(names('a.test', 'b.test', 'c.test'));
  const asked = resolver.resolve('d.test', 'v4');
  await next().answer(['10.0.0.1']);
  t.ok(clock.timers > 0);
  resolver.close();
  resolver.close();
  t.match(await asked, { kind: 'failed', message: 'the egress is closing' });
  t.equal(clock.timers, 0);
  answers.length = 0;
  await next().answer(['10.0.0.2']);
  t.same(answers, []);
  resolver.want(names('e.test'));
  t.match(await resolver.resolve('a.test', 'v4'), { kind: 'failed' });
  t.equal(clock.timers, 0);
});

t.test('without a look-up of its own it asks the operating system, which knows localhost', async (t) => {
  const clock = new FakeClock();
  const resolver = createResolver({ clock, onAnswer: () => undefined });
  t.teardown(() => resolver.close());
  const found = await resolver.resolve('localhost', 'v4');
  t.same(found, { kind: 'resolved', addresses: ['127.0.0.1'] });
  t.match(await resolver.resolve('nothing.invalid', 'v4'), {
    kind: 'failed',
    message: /ENOTFOUND|ESERVFAIL|ETIMEOUT|ECONNREFUSED/,
  });
});
