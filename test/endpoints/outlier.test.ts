import t from 'tap';
import { ClusterOutliers } from '../../src/endpoints/outlier.ts';
import { OUTLIER_DEFAULTS } from '../../src/model/cluster.ts';
import type { OutlierDetection } from '../../src/model/cluster.ts';
import type { AttemptOutcome } from '../../src/model/messages.ts';

const SECOND = 1_000;

/** Without the rates, so that a test is only about what it names. */
const CONSECUTIVE: Partial<OutlierDetection> = {
  maxEjectionPercent: 100,
  successRate: { ...OUTLIER_DEFAULTS.successRate, enforcing: 0 },
};

function watched(settings: Partial<OutlierDetection>, hosts: number, draw = 0) {
  const ejected = new Set<string>();
  const detections: string[] = [];
  const outliers = new ClusterOutliers(
    { ...OUTLIER_DEFAULTS, ...settings },
    {
      draw: () => draw,
      onChange: (key, isEjected) => void (isEjected ? ejected.add(key) : ejected.delete(key)),
      onDetected: (detector, result) => detections.push(`${detector} ${result}`),
    },
  );
  const keys = Array.from({ length: hosts }, (_, i) => `10.0.0.${i + 1}:443`);
  outliers.setHosts(new Set(keys));
  return {
    outliers,
    keys,
    detections,
    ejected: () => [...ejected],
    report: (key: string, outcome: AttemptOutcome, times = 1, nowMs = 0): void => {
      for (let i = 0; i < times; i++) outliers.report(key, outcome, nowMs);
    },
  };
}

const [A, B] = ['10.0.0.1:443', '10.0.0.2:443'];

t.test(
  'five failures to connect in a row eject an endpoint, whatever their kind; a success in between starts the row again',
  async (t) => {
    const { report, ejected } = watched(CONSECUTIVE, 2);
    report(A, 'connect-failed', 2);
    report(A, 'timeout', 1);
    report(A, 'tls-failed', 1);
    report(A, 'ok');
    report(A, 'connect-failed', 4);
    t.same(ejected(), []);
    report(A, 'timeout');
    t.same(ejected(), [A]);
  },
);

t.test('an ejection ends at the first sweep after the base time, and the counters start again', async (t) => {
  const { outliers, report, ejected } = watched(CONSECUTIVE, 2);
  report(A, 'connect-failed', 7);
  outliers.sweep(29.9 * SECOND);
  t.same(ejected(), [A], 'not before 30 s');
  outliers.sweep(30 * SECOND);
  t.same(ejected(), []);
  report(A, 'connect-failed', 4, 31 * SECOND);
  t.same(ejected(), [], 'it takes five again');
  report(A, 'connect-failed', 1, 31 * SECOND);
  t.same(ejected(), [A]);
});

t.test('each ejection lasts longer by the base time, up to 300 s; every quiet interval makes the next one shorter', async (t) => {
  const { outliers, report, ejected } = watched(CONSECUTIVE, 2);
  let now = 0;
  const lasts = (): number => {
    report(A, 'connect-failed', 5, now);
    const from = now;
    while (ejected().length > 0) outliers.sweep((now += SECOND));
    return (now - from) / SECOND;
  };
  t.same([lasts(), lasts(), lasts()], [30, 60, 90]);
  outliers.sweep(now);
  outliers.sweep(now);
  t.equal(lasts(), 60, 'two intervals without an ejection');
  for (let i = 0; i < 12; i++) lasts();
  t.equal(lasts(), 300);
});

t.test('never more endpoints are ejected than the limit allows: with Envoy’s 10 % none of fewer than ten', async (t) => {
  const nine = watched({ ...CONSECUTIVE, maxEjectionPercent: 10 }, 9);
  nine.report(A, 'connect-failed', 5);
  t.same([nine.ejected(), nine.detections], [[], ['consecutive_gateway_failure overflow', 'consecutive_5xx overflow']]);
  const ten = watched({ ...CONSECUTIVE, maxEjectionPercent: 10 }, 10);
  ten.report(A, 'connect-failed', 5);
  ten.report(B, 'connect-failed', 5);
  t.same(ten.ejected(), [A]);
});

t.test('where local failures count on their own they are no 5xx, and only their own detector ejects', async (t) => {
  const settings = { ...CONSECUTIVE, splitLocalErrors: true, consecutiveLocalFailures: { threshold: 3, enforcing: 100 } };
  const { report, ejected, detections } = watched(settings, 2);
  report(A, 'connect-failed', 2);
  t.same(ejected(), []);
  report(A, 'connect-failed');
  t.same([ejected(), detections], [[A], ['consecutive_local_origin_failure ejected']]);
});

t.test('a detector that is enforced in part ejects that share of what it finds', async (t) => {
  const half = { ...CONSECUTIVE, consecutiveTotalFailures: { threshold: 5, enforcing: 50 } };
  const unlucky = watched(half, 2, 0.49);
  unlucky.report(A, 'connect-failed', 5);
  t.same(unlucky.ejected(), [A]);
  const lucky = watched(half, 2, 0.5);
  lucky.report(A, 'connect-failed', 9);
  t.same(lucky.ejected(), []);
  lucky.report(A, 'connect-failed');
  t.equal(lucky.detections.filter((each) => each === 'consecutive_5xx not_enforced').length, 2, 'every fifth is found again');
});

t.test('an endpoint whose success rate is far below the others’ is ejected at the end of the interval', async (t) => {
  const settings = { maxEjectionPercent: 100, consecutiveTotalFailures: { threshold: 1_000, enforcing: 100 } };
  const { outliers, keys, report, ejected, detections } = watched(settings, 5);
  for (const key of keys) {
    report(key, 'ok', key === A ? 50 : 100);
    if (key === A) report(key, 'connect-failed', 50);
  }
  t.same(ejected(), []);
  outliers.sweep(10 * SECOND);
  t.same(ejected(), [A]);
  t.same(
    detections.filter((each) => each.startsWith('success')),
    ['success_rate ejected'],
  );
});

t.test('rates need enough endpoints and enough attempts in one interval', async (t) => {
  const settings = {
    maxEjectionPercent: 100,
    consecutiveTotalFailures: { threshold: 1_000, enforcing: 100 },
    failurePercentage: { threshold: 85, minimumHosts: 2, requestVolume: 10, enforcing: 100 },
  };
  const { outliers, report, ejected } = watched(settings, 2);
  report(A, 'connect-failed', 9);
  report(B, 'ok', 10);
  outliers.sweep(10 * SECOND);
  t.same(ejected(), [], 'nine attempts');
  report(A, 'connect-failed', 9);
  report(A, 'ok', 1);
  outliers.sweep(20 * SECOND);
  t.same(ejected(), [], 'one endpoint with enough attempts');
  report(A, 'connect-failed', 9);
  report(A, 'ok', 1);
  report(B, 'ok', 10);
  outliers.sweep(30 * SECOND);
  t.same(ejected(), [A], '90 % failed');
});

t.test(
  'an active check that finds an ejected endpoint healthy ends its ejection; an endpoint that is gone makes room for another',
  async (t) => {
    const { outliers, report, ejected } = watched({ ...CONSECUTIVE, maxEjectionPercent: 50 }, 2);
    report(A, 'connect-failed', 5);
    outliers.checkedHealthy(A);
    t.same(ejected(), []);
    report(A, 'connect-failed', 5);
    report(B, 'connect-failed', 5);
    t.same(ejected(), [A], 'half are ejected');
    outliers.setHosts(new Set([B, '10.0.0.3:443']));
    report(B, 'connect-failed', 5);
    t.same([ejected(), outliers.ejected], [[B], 1]);
  },
);
