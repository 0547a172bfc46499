import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { asOpenMetrics, formatFor, unknownCounters } from '../../src/observe/exposition.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import { sessionRecord } from './record.ts';

const OPEN = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';

t.test('the header Accept decides, and who says nothing gets the older format', async (t) => {
  t.equal(formatFor(OPEN), 'openmetrics');
  t.equal(formatFor('Application/OpenMetrics-Text'), 'openmetrics');
  for (const accept of [
    '',
    '*/*',
    'text/html',
    'text/plain',
    'application/openmetrics-text;q=0',
    'text/plain, application/openmetrics-text;q=0.4',
  ])
    t.equal(formatFor(accept), 'prometheus', accept);
  t.equal(formatFor(`application/openmetrics-text;q=${'9'.repeat(400)}x`), 'prometheus', 'a weight that is none');
});

t.test('OpenMetrics names a family of counters without total, and has no blank lines', async (t) => {
  const plain =
    '# HELP a_total A\n# TYPE a_total counter\na_total 1\n\n# HELP b B\n# TYPE b gauge\nb 2\n\n# TYPE c counter\nc 3\n';
  t.equal(
    asOpenMetrics(plain),
    '# HELP a A\n# TYPE a counter\na_total 1\n# HELP b B\n# TYPE b gauge\nb 2\n# TYPE c unknown\nc 3\n',
  );
  t.equal(
    unknownCounters('# TYPE envoy_a_total counter\nenvoy_a_total{x="1"} 1\n'),
    '# TYPE envoy_a_total unknown\nenvoy_a_total{x="1"} 1\n',
  );
});

t.test('both formats have the same series with the same values, and only OpenMetrics has examples', async (t) => {
  const metrics = createMetrics({ version: '1', process: false, clock: systemClock({ keepAlive: false }), openMetrics: true });
  metrics.record(sessionRecord({ id: '0.17', startedAt: 1_700_000_000_000, connectMs: 2 }));
  const open = await metrics.exposition(OPEN);
  const plain = await metrics.exposition('');
  t.equal(open.format, 'openmetrics');
  t.equal(plain.format, 'prometheus');
  const samples = (text: string): readonly string[] =>
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.replace(/ # \{.*$/, ''))
      .sort();
  t.same(samples(open.text), samples(plain.text));
  t.match(open.text, 'zone_egress_phase_seconds_bucket{phase="connect",le="0.0025"} 1 # {id="0.17"} 0.002 1700000000\n');
  t.match(open.text, 'destination="backend",le="0.005"} 1 # {id="0.17"} 0.002 1700000000\n');
  t.notMatch(plain.text, / # \{/);
  t.match(open.text, '# TYPE zone_egress_sessions counter\n');
  t.match(plain.text, '# TYPE zone_egress_sessions_total counter\n');
  t.notMatch(open.text, /\n\n/);
});

t.test('without the option there is one format, whatever is asked', async (t) => {
  const metrics = createMetrics({ version: '1', process: false, clock: systemClock({ keepAlive: false }) });
  metrics.record(sessionRecord());
  const { format, text } = await metrics.exposition(OPEN);
  t.equal(format, 'prometheus');
  t.notMatch(text, / # \{/);
});
