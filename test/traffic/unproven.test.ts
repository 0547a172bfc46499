import type { Socket } from 'node:net';
import t from 'tap';
import { Unproven } from '../../src/traffic/unproven.ts';

/** Only the number of received bytes of a socket counts here. */
function socket(bytesRead = 0): Socket & { bytesRead: number } {
  return { bytesRead } as Socket & { bytesRead: number };
}

t.test('the source that holds most gives way, with its oldest', (t) => {
  const { unproven, gone, enter } = setUp();
  enter('flood', 0, 'flood 1');
  enter('honest', 1, 'honest');
  enter('flood', 2, 'flood 2');
  enter('flood', 3, 'flood 3');
  for (let i = 0; i < 3; i++) t.equal(unproven.makeRoom(1_000), true);
  t.strictSame(gone.slice(0, 2), ['flood 1', 'flood 2']);
  t.equal(gone.length, 3);
  t.equal(unproven.size, 1);
  t.equal(unproven.makeRoomIn('elsewhere', 1_000), false, 'nobody comes from there');
  t.equal(unproven.makeRoom(1_000), true);
  t.equal(unproven.makeRoom(1_000), false, 'nobody is left');
  t.end();
});

t.test('one that sent nothing for a second is ended before an older one that did', (t) => {
  const { unproven, gone, enter } = setUp();
  const talks = enter('one', 0, 'talks');
  enter('one', 10, 'silent');
  talks.bytesRead = 7;
  t.equal(unproven.makeRoom(900), true);
  t.strictSame(gone, ['talks'], 'the silent one has not had its second');
  const again = enter('one', 0, 'talks too');
  again.bytesRead = 1;
  t.equal(unproven.makeRoom(1_010), true);
  t.strictSame(gone, ['talks', 'silent']);
  t.end();
});

t.test('who has left is not asked, and leaves once', (t) => {
  const unproven = new Unproven();
  const held = [0, 1, 2].map((nowMs) => unproven.enter('one', { socket: socket(), nowMs, giveUp: () => t.fail('it has left') }));
  for (const each of [...held, ...held]) each.leave();
  t.equal(unproven.size, 0);
  t.equal(unproven.makeRoom(10_000), false);
  t.end();
});

t.test('among thousands of sources each step is small, and the numbers stay right', (t) => {
  const { unproven, gone, enter } = setUp();
  for (let i = 0; i < 20_000; i++) enter(`10.0.${i % 5_000}`, i / 100, `${i % 5_000}`);
  for (let i = 0; i < 15_000; i++) if (!unproven.makeRoom(1_000_000)) t.fail(`no room at ${i}`);
  t.equal(unproven.size, 5_000);
  const each = new Map<string, number>();
  for (const name of gone) each.set(name, (each.get(name) ?? 0) + 1);
  t.equal(each.size, 5_000);
  t.strictSame([...new Set(each.values())], [3], 'every source has given up as many as the others');
  t.end();
});

function setUp(): {
  readonly unproven: Unproven;
  readonly gone: readonly string[];
  readonly enter: (source: string, nowMs: number, what: string) => { bytesRead: number };
} {
  const unproven = new Unproven();
  const gone: string[] = [];
  return {
    unproven,
    gone,
    enter(source, nowMs, what) {
      const made = socket();
      unproven.enter(source, { socket: made, nowMs, giveUp: () => gone.push(what) });
      return made;
    },
  };
}
