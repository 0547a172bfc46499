import t from 'tap';
import type { DecisionQuery } from '../../src/observe/decisions.ts';
import { RecordFeed } from '../../src/observe/record-feed.ts';
import { createObserver } from '../../src/observe/observer.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { requestRecord, sessionRecord, unmatched } from './record.ts';

function observed() {
  const clock = new FakeClock();
  const observer = createObserver({ clock, level: 'off', process: false });
  return { clock, observer, feed: new RecordFeed(observer, clock) };
}

function follow(feed: RecordFeed, query: DecisionQuery): AsyncIterator<string> {
  const lines = feed.follow(query);
  if (lines === null) throw new Error('too many follow');
  return lines[Symbol.asyncIterator]();
}

const idsIn = (lines: string): string =>
  lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { id?: string; count?: number }).id ?? 'missed')
    .join(' ');

t.test('a follower gets what it asks for of the past, the oldest first, then what comes', async (t) => {
  const { observer, feed } = observed();
  for (const id of ['a', 'b', 'c']) observer.record(sessionRecord({ id, startedAt: id.charCodeAt(0) }));
  const lines = follow(feed, { limit: 2, mesh: 'default' });
  t.equal(idsIn((await lines.next()).value as string), 'b c');
  const next = lines.next();
  observer.record(unmatched({ id: 'x' }));
  observer.record(sessionRecord({ id: 'd' }));
  observer.recordRequest(requestRecord({ id: 'served' }));
  observer.recordRequest(requestRecord({ id: 'refused', reason: 'denied' }));
  t.equal(idsIn((await next).value as string), 'd refused');
  await lines.return?.();
  observer.close();
});

t.test('a quiet follower gets an empty line, one that does not read learns how much it missed, and few may follow', async (t) => {
  const { clock, observer, feed } = observed();
  const lines = follow(feed, { limit: 0 });
  const quiet = lines.next();
  clock.advance(5_000);
  t.equal((await quiet).value, '\n');
  for (let i = 0; i < 1_500; i++) observer.record(sessionRecord({ id: `0.${i}` }));
  const all = (await lines.next()).value as string;
  t.equal(all.split('\n').length, 1_002, 'a thousand records, the line of the others, and the end');
  t.match(all, /\n{"kind":"missed","count":500}\n$/);

  const more = Array.from({ length: 7 }, () => follow(feed, {}));
  const begun = more.map((each) => each.next());
  t.equal(feed.follow({}), null, 'eight follow already');
  observer.record(sessionRecord({ id: 'for all' }));
  for (const each of await Promise.all(begun)) t.equal(idsIn(each.value as string), 'for all');
  for (const each of more) await each.return?.();
  t.not(feed.follow({}), null, 'and they have left');
  await lines.return?.();
  observer.close();
});

t.test('a line gives no orders to a terminal, and says the same', async (t) => {
  const { observer, feed } = observed();
  const sni = 'a\x1b\x9b31m\x85\u2028é';
  observer.record(sessionRecord({ sni }));
  const lines = follow(feed, { limit: 1 });
  const line = (await lines.next()).value as string;
  t.match(line, '"sni":"a\\u001b\\u009b31m\\u0085\\u2028é"');
  t.match(JSON.parse(line), { sni });
  await lines.return?.();
  observer.close();
});
