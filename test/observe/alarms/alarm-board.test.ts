// When alarms begin, change and end, and what counts as many refusals.
import t from 'tap';
import type { AlarmFinding } from '../../../src/observe/alarms/alarm-facts.ts';
import { AlarmBoard } from '../../../src/observe/alarms/alarm-board.ts';
import { Incidents } from '../../../src/observe/alarms/incidents.ts';
import { createObserver } from '../../../src/observe/observer.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import { RefusalRates } from '../../../src/observe/alarms/refusal-rates.ts';

const WALL = Date.UTC(2026, 0, 1);
const finding = (name: AlarmFinding['name'], changes: Partial<AlarmFinding> = {}): AlarmFinding => ({
  name,
  severity: 'warning',
  subject: 'egress',
  says: 'it is so',
  ...changes,
});

function board() {
  const board = new AlarmBoard();
  const at = (now: number, ...findings: readonly AlarmFinding[]): readonly string[] =>
    board.update(findings, { now, wall: WALL + now }).map(({ kind, alarm }) => `${kind} ${alarm.severity} ${alarm.name}`);
  return { board, at };
}

t.test('what comes and goes does not make an alarm come and go', async (t) => {
  const { board: list, at } = board();
  const away = finding('control-plane-away');
  t.same(at(0, away), [], 'it waits');
  t.same(at(10_000, away), []);
  t.same(at(14_000), [], 'it was over before it began');
  t.same(at(16_000, away), []);
  t.same(at(31_000, away), ['begins warning control-plane-away']);
  t.match(list.list(), [{ name: 'control-plane-away', since: '2026-01-01T00:00:16.000Z', do: /check the control plane/ }]);
  t.same(at(36_000), [], 'it is on for a while');
  t.equal(list.list().length, 1);
  t.same(at(40_000, away), [], 'it is not told twice');
  t.same(at(45_000), []);
  t.same(at(50_000), ['ends warning control-plane-away']);
  t.same(list.list(), []);
});

t.test('others begin and end at once, and two of one name are two', async (t) => {
  const { board: list, at } = board();
  const one = finding('destination-broken', { severity: 'critical', subject: 'default/a' });
  const other = finding('destination-broken', { severity: 'critical', subject: 'default/b' });
  t.same(at(0, finding('kept-configuration')), ['begins warning kept-configuration']);
  t.same(at(5_000, finding('kept-configuration'), one, other).length, 2);
  t.same(
    list.list().map(({ name, subject }) => `${name} ${subject}`),
    ['destination-broken default/a', 'destination-broken default/b', 'kept-configuration egress'],
    'the critical ones first, then the oldest',
  );
  t.same(at(5_000, finding('kept-configuration'), other), ['ends critical destination-broken']);
});

t.test('another severity is a change, with the time at which the alarm began', async (t) => {
  const { board: list, at } = board();
  at(0, finding('certificate-expires'));
  t.same(at(1_000, finding('certificate-expires', { severity: 'critical' })), ['changes critical certificate-expires']);
  t.equal(list.isOn('certificate-expires', 'egress'), 'critical');
  t.match(list.list(), [{ severity: 'critical', since: '2026-01-01T00:00:00.000Z' }]);
});

const REFUSED = { reason: 'denied', mesh: 'default', destination: 'api' } as const;

t.test('refusals are compared with the past of their own destination', async (t) => {
  const rates = new RefusalRates(0);
  let now = 0;
  const minutes = (number: number, perMinute: number): void => {
    for (let i = 0; i < number; i++) {
      for (let n = 0; n < perMinute; n++) rates.add(REFUSED);
      now += 60_000;
      rates.list(now);
    }
  };
  for (let n = 0; n < 1_000; n++) rates.add({ ...REFUSED, reason: 'closed' });
  minutes(4, 30);
  t.same(rates.list(now), [], 'the past is too short');
  minutes(26, 30);
  for (let n = 0; n < 300; n++) rates.add({ ...REFUSED, reason: n < 10 ? 'denied' : 'over-limit' });
  for (let n = 0; n < 7; n++) rates.add({ reason: 'no-route', mesh: '', destination: '' });
  const [api, none, ...more] = rates.list(now + 5_000);
  t.same(more, []);
  t.match(api, { subject: 'default/api', inLastMinute: 300, commonest: 'over-limit' });
  t.ok(api!.usual > 25 && api!.usual < 35, `${api!.usual}`);
  t.match(none, { subject: 'connections without a route', inLastMinute: 7, usual: 0 });
  now += 60_000;
  t.same(rates.list(now), [], 'a minute later they are the past');
  minutes(60, 300);
  for (let n = 0; n < 300; n++) rates.add(REFUSED);
  const [later] = rates.list(now);
  t.ok(later!.usual > 150, `what lasts becomes usual: ${later!.usual}`);
});

t.test('incidents count for ten minutes', async (t) => {
  const incidents = new Incidents();
  incidents.dropped('log', 3, 0);
  incidents.dropped('log', 4, 5_000);
  incidents.dropped('recording', 1, 300_000);
  incidents.internalError('boom\n    at here', 400_000);
  const lines = (now: number) => incidents.facts(now).dropped.map(({ lines }) => lines);
  t.same(lines(500_000), [7, 0, 1, 0]);
  t.same(incidents.facts(500_000).internalErrors, { count: 1, last: 'boom' });
  t.same(lines(700_000), [0, 0, 1, 0]);
  t.same(lines(1_000_000), [0, 0, 0, 0]);
  t.match(incidents.facts(1_000_001).internalErrors, { count: 0 });
});

t.test('what a collector does not get counts too', async (t) => {
  const observer = createObserver({ clock: new FakeClock(), level: 'off', process: false });
  t.teardown(() => observer.close());
  observer.metrics.otlp('spans', 'sent', 5);
  t.ok(observer.incidents.facts(0).dropped.every(({ lines }) => lines === 0));
  observer.metrics.otlp('spans', 'dropped', 3);
  observer.metrics.otlp('logs', 'dropped', 1);
  t.match(
    observer.incidents.facts(0).dropped.filter(({ lines }) => lines > 0),
    [{ of: 'collector', lines: 4 }],
  );
});
