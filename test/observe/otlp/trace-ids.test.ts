import t from 'tap';
import { SessionTraces, remoteSpan } from '../../../src/observe/otlp/trace-ids.ts';

t.test('a share of the sessions is sampled, and each is decided alike every time', async (t) => {
  const ids = Array.from({ length: 20_000 }, (_, i) => `0.${i}`);
  const none = new SessionTraces(0);
  const all = new SessionTraces(1);
  t.ok(ids.every((id) => none.sampled(id) === null));
  t.ok(ids.every((id) => /^[0-9a-f]{32} [0-9a-f]{16}$/.test(`${all.sampled(id)?.traceId} ${all.sampled(id)?.spanId}`)));
  t.equal(new Set(ids.map((id) => all.sampled(id)?.traceId)).size, ids.length);
  const tenth = new SessionTraces(0.1);
  const found = ids.filter((id) => tenth.sampled(id) !== null);
  // 2,000 are expected; eight standard deviations are 340.
  t.ok(found.length > 1_660 && found.length < 2_340, `${found.length}`);
  t.strictSame(
    ids.filter((id) => tenth.sampled(id) !== null),
    found,
  );
  t.not(new SessionTraces(1).sampled('0.1')?.traceId, all.sampled('0.1')?.traceId, 'two egresses share no trace');
});

t.test('traceparent is read as W3C Trace Context says', async (t) => {
  const [trace, span] = ['a'.repeat(32), 'b'.repeat(16)];
  t.strictSame(remoteSpan(`00-${trace}-${span}-01`), { traceId: trace, spanId: span, isSampled: true });
  t.match(remoteSpan(`00-${trace}-${span}-02`), { isSampled: false });
  t.match(remoteSpan(`00-${trace}-${span}-ff`), { isSampled: true });
  t.match(remoteSpan(`cc-${trace}-${span}-01-more`), { traceId: trace }, 'a later version');
  for (const wrong of [
    '',
    `00-${trace}-${span}`,
    `00-${trace}-${span}-01-more`,
    `ff-${trace}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${trace}-${span}-1`,
    ` 00-${trace}-${span}-01`,
  ])
    t.equal(remoteSpan(wrong), null, wrong);
});
