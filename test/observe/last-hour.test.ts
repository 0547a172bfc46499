import t from 'tap';
import { lastHour } from '../../src/observe/last-hour.ts';
import { createObserver } from '../../src/observe/observer.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { requestRecord, sessionRecord, unmatched } from './record.ts';

t.test('the last hour has the numbers of each interval, and no more than an hour', (t) => {
  const clock = new FakeClock();
  const observer = createObserver({ clock, level: 'off', process: false });
  t.teardown(() => observer.close());
  let open = 3;
  const hour = lastHour(observer, clock, () => open);
  t.strictSame(hour.samples(), [], 'none before the first interval is over');
  observer.record(sessionRecord({ bytesUp: 10, bytesDown: 20 }));
  observer.record(unmatched());
  observer.record(sessionRecord({ requests: 2, bytesUp: 999 }));
  observer.recordRequest(requestRecord({ reason: 'denied', bytesUp: 1, bytesDown: 2 }));
  observer.recordRequest(requestRecord({ reason: 'closed', bytesUp: 3, bytesDown: 4 }));
  clock.advance(hour.intervalMs);
  t.match(
    hour.samples(),
    [{ at: clock.wall(), open: 3, ended: 3, refused: 2, bytes: 40 }],
    'bytes of HTTP come from its requests',
  );
  open = 0;
  clock.advance(hour.intervalMs);
  t.match(hour.samples()[1], { open: 0, ended: 0, refused: 0, bytes: 0 });
  t.ok(hour.samples().every(({ cpu, resident }) => cpu >= 0 && resident > 0));
  for (let i = 0; i < 300; i++) clock.advance(hour.intervalMs);
  t.equal(hour.samples().length * hour.intervalMs, 3_600_000);
  const [oldest] = hour.samples();
  t.equal(oldest?.at, clock.wall() - 239 * hour.intervalMs, 'the oldest went');
  hour.close();
  observer.record(sessionRecord());
  clock.advance(2 * hour.intervalMs);
  t.equal(hour.samples().at(-1)?.ended, 0, 'it listens and counts no more');
  t.equal(hour.samples()[0], oldest);
  t.end();
});
