import { Buffer } from 'node:buffer';
import t from 'tap';
import { parseClientHello } from '../../src/wire/client-hello.ts';
import type { ClientHello, HelloResult } from '../../src/wire/client-hello.ts';
import { corpus, helloMessage, messageOf, randomFrom, records } from './fixtures/hello-bytes.ts';

const samples = corpus();
const accepted: { readonly name: string; readonly bytes: Buffer; readonly hello: ClientHello }[] = [];
for (const { name, bytes } of [...samples, { name: 'by hand', bytes: records(helloMessage(), [1, 2, 3, 40]) }]) {
  const result = parseClientHello(bytes);
  if (result.kind === 'hello') accepted.push({ name, bytes, hello: result.hello });
}
const seed = Number(process.env['HELLO_SEED'] ?? Date.now() % 2 ** 31);
const random = randomFrom(seed);
t.comment(`seed ${seed} (HELLO_SEED=${seed} repeats the run)`);

t.test('every sample of the public corpus has a verdict that passes, with its name and its ALPN', async (t) => {
  let hellos = 0;
  for (const sample of samples) {
    const result = parseClientHello(sample.bytes);
    t.ok(sample.accept.includes(verdict(result)), `${sample.name}: ${verdict(result)}, one of ${sample.accept.join(', ')}`);
    if (result.kind !== 'hello') continue;
    hellos++;
    const lenient = sample.outcome === 'malformed';
    const name = lenient ? sample.lenientSni : sample.sni;
    t.equal(fold(result.hello.serverName), fold(name), `${sample.name}: name`);
    if (!lenient) t.same(result.hello.alpn, sample.alpn ?? [], `${sample.name}: ALPN`);
  }
  t.comment(`${samples.length} samples, ${hellos} of them hellos`);
});

t.test(
  'every strict prefix of an accepted hello is incomplete, and asks for more than it has and not for more than there is',
  async (t) => {
    let prefixes = 0;
    for (const { name, bytes, hello } of accepted) {
      const wrong: string[] = [];
      for (let length = 0; length < hello.length; length++) {
        const result = parseClientHello(bytes.subarray(0, length));
        prefixes++;
        if (result.kind !== 'incomplete') wrong.push(`${length} bytes: ${result.kind}`);
        else if (result.needed <= length || result.needed > hello.length) wrong.push(`${length} bytes: needs ${result.needed}`);
      }
      t.same(wrong, [], name);
    }
    t.comment(`${accepted.length} hellos, ${prefixes} prefixes`);
  },
);

t.test(
  'a hello that comes byte by byte, or cut at random, gives the same result to a reader that honours `needed`',
  async (t) => {
    let cuts = 0;
    for (const { name, bytes, hello } of accepted) {
      const whole = { kind: 'hello', hello } as const;
      t.same(
        feed(bytes, () => 1),
        whole,
        `${name}: byte by byte`,
      );
      for (let run = 0; run < 20; run++) {
        const result = feed(bytes, () => {
          cuts++;
          return 1 + random(Math.max(1, hello.length >> 1));
        });
        t.same(result, whole, `${name}: run ${run}`);
      }
    }
    t.comment(
      `${accepted.length} hellos byte by byte, and ${accepted.length * 20} times cut at random into ${cuts} pieces in all`,
    );
  },
);

t.test('what is refused as a whole is refused byte by byte too, by a reader that honours `needed`', async (t) => {
  const refused = samples.filter(({ bytes }) => !['hello', 'incomplete'].includes(parseClientHello(bytes).kind));
  for (const { name, bytes } of refused) {
    t.equal(feed(bytes, () => 1).kind, parseClientHello(bytes).kind, name);
  }
  t.comment(`${refused.length} refused samples`);
});

t.test('a hello says the same in records of any size, down to one byte', async (t) => {
  let resplits = 0;
  for (const { name, bytes, hello } of accepted) {
    const message = messageOf(bytes);
    const random1 = Array.from({ length: message.length }, () => 1 + random(40));
    for (const [how, sizes] of [
      ['1', all(message, 1)],
      ['2', all(message, 2)],
      ['7', all(message, 7)],
      ['random', random1],
    ] as const) {
      const split = records(message, sizes);
      const result = parseClientHello(split, 65_536);
      resplits++;
      if (result.kind !== 'hello') {
        t.fail(`${name}: ${result.kind} in records of ${how}`);
        continue;
      }
      t.same(result.hello, { ...hello, length: split.length }, `${name}: records of ${how}`);
    }
  }
  t.comment(`${resplits} hellos in other records`);
});

t.test('bytes behind the hello change nothing', async (t) => {
  for (const { name, bytes, hello } of accepted) {
    for (const tail of [Buffer.from('1403030001011703030001ff', 'hex'), bytes, Buffer.alloc(20_000, 0xff)]) {
      t.same(parseClientHello(Buffer.concat([bytes.subarray(0, hello.length), tail])), { kind: 'hello', hello }, name);
    }
  }
});

t.test('every changed byte of a hello ends in a verdict', async (t) => {
  const verdicts = new Map<string, number>();
  for (const { bytes } of spread(accepted, 8)) {
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= flip;
        const kind = verdict(parseClientHello(flipped));
        verdicts.set(kind, (verdicts.get(kind) ?? 0) + 1);
      }
    }
  }
  t.ok((verdicts.get('malformed') ?? 0) > 0, 'some flips break the hello');
  t.ok((verdicts.get('hello') ?? 0) > 0, 'some flips are in bytes that do not matter, such as the random');
  t.comment(`flips: ${[...verdicts].map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
});

/**
 * Feeds the parser as a connection does: appends what comes, and asks it again only when `needed`
 * bytes are there.
 */
function feed(bytes: Buffer, size: () => number): HelloResult {
  let needed = 0;
  let result: HelloResult = { kind: 'incomplete', needed: 0 };
  for (let length = 0; length < bytes.length && result.kind === 'incomplete';) {
    length = Math.min(bytes.length, length + size());
    if (length < needed) continue;
    result = parseClientHello(bytes.subarray(0, length));
    if (result.kind === 'incomplete') needed = result.needed;
  }
  return result;
}

function verdict(result: HelloResult): string {
  return result.kind === 'incomplete' ? 'need-more' : result.kind;
}

function fold(name: string | null): string {
  return (name ?? '').replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function all(message: Buffer, size: number): number[] {
  return new Array<number>(Math.ceil(message.length / size)).fill(size);
}

function spread<T>(list: readonly T[], count: number): readonly T[] {
  const step = Math.max(1, Math.floor(list.length / count));
  return list.filter((_, index) => index % step === 0);
}
