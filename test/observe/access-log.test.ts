import t from 'tap';
import fc from 'fast-check';
import { createAccessLog, SESSIONS } from '../../src/observe/access-log.ts';
import type { AccessLogOptions } from '../../src/observe/access-log.ts';
import { createLog } from '../../src/observe/log.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { sessionRecord, unmatched } from './record.ts';

function setUp(options: Partial<AccessLogOptions> = {}) {
  const raw: string[] = [];
  const suppressed: string[] = [];
  const clock = new FakeClock();
  const log = createLog({ level: 'info', destination: { write: (line) => void raw.push(line) } });
  const access = createAccessLog(SESSIONS, { log, clock, onSuppressed: (reason) => void suppressed.push(reason), ...options });
  const lines = () => raw.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { access, clock, raw, lines, suppressed };
}

t.test('a session that ended well is one info line with all that its record says', async (t) => {
  const { access, lines } = setUp();
  const record = sessionRecord({ reason: 'client-reset' });
  access.write(record);
  t.equal(lines().length, 1);
  t.match(lines()[0], { ...record, level: 'info', msg: 'session ended', startedAt: '2026-01-01T00:00:00.000Z' });
});

t.test('of sessions that ended well one of N has a line that says so; refused ones are not sampled', async (t) => {
  const { access, lines } = setUp({ sample: 10 });
  for (let i = 0; i < 25; i++) access.write(sessionRecord({ reason: 'closed' }));
  t.equal(lines().length, 3, 'the first, the eleventh, the twenty-first');
  t.ok(lines().every(({ sample }) => sample === 10));
  for (let i = 0; i < 3; i++) access.write(unmatched());
  t.equal(lines().length, 6);
  const none = setUp({ sample: 0 });
  none.access.write(sessionRecord({ reason: 'closed' }));
  none.access.write(unmatched());
  t.strictSame(
    none.lines().map(({ msg }) => msg),
    ['session refused'],
  );
});

t.test('a refused session is one warn line', async (t) => {
  const { access, lines } = setUp();
  access.write(unmatched());
  t.match(lines(), [{ level: 'warn', msg: 'session refused', reason: 'no-route', clientAddress: '10.0.0.7' }]);
  t.notOk('suppressed' in (lines()[0] ?? {}));
});

t.test(
  'the eleventh refusal of one client for one reason within 10 s has no line; the next line that passes has the count',
  async (t) => {
    const { access, clock, lines, suppressed } = setUp();
    for (let i = 0; i < 25; i++) access.write(unmatched());
    t.equal(lines().length, 10);
    t.equal(suppressed.length, 15);
    clock.advance(9_999);
    access.write(unmatched());
    t.equal(lines().length, 10);
    clock.advance(1);
    access.write(unmatched());
    access.write(unmatched());
    t.equal(lines().length, 12);
    t.equal(lines()[10]?.suppressed, 16);
    t.equal(lines()[11]?.suppressed, undefined, 'counted once');
  },
);

t.test('where no later line tells what was left out, a line of its own does, once and for each reason', async (t) => {
  const { access, clock, lines } = setUp({ burst: 1, maxKeys: 2 });
  for (let client = 0; client < 5; client++) {
    for (let i = 0; i < 4; i++) access.write(unmatched({ clientAddress: `10.0.0.${client}` }));
  }
  access.write(unmatched({ reason: 'no-sni' }));
  access.write(unmatched({ reason: 'no-sni' }));
  const refused = lines().length;
  t.equal(
    lines().reduce((sum, line) => sum + Number(line.suppressed ?? 0), 0),
    9,
    'a client that is forgotten is told by the next line of its reason',
  );
  clock.advance(19_999);
  t.equal(lines().length, refused);
  clock.advance(1);
  t.match(
    lines()
      .slice(refused)
      .sort((a, b) => String(a.reason).localeCompare(String(b.reason))),
    [
      { level: 'warn', msg: 'refused sessions were left out of the log', reason: 'no-route', suppressed: 6 },
      { reason: 'no-sni', suppressed: 1 },
    ],
  );
  clock.advance(100_000);
  t.equal(lines().length, refused + 2);
  t.equal(clock.timers, 0);
});

t.test('at the end of the process nothing that was left out stays untold', async (t) => {
  const { access, clock, lines } = setUp({ burst: 1 });
  for (let i = 0; i < 4; i++) access.write(unmatched());
  access.tell();
  t.match(lines()[1], { reason: 'no-route', suppressed: 3 });
  access.tell();
  t.equal(lines().length, 2);
  access.write(unmatched());
  access.close();
  t.equal(clock.timers, 0);
});

t.test('another client, another reason and sessions that ended well are not held back', async (t) => {
  const { access, lines } = setUp({ burst: 1 });
  for (let i = 0; i < 3; i++) {
    access.write(unmatched());
    access.write(unmatched({ clientAddress: '10.0.0.8' }));
    access.write(unmatched({ reason: 'no-sni' }));
    access.write(sessionRecord());
  }
  t.equal(lines().filter(({ level }) => level === 'warn').length, 3);
  t.equal(lines().filter(({ level }) => level === 'info').length, 3);
});

t.test('refusals of one reason are bounded over all clients, and so is what is remembered of them', async (t) => {
  const { access, clock, lines, suppressed } = setUp({ burstOfReason: 20, maxKeys: 10 });
  for (let i = 0; i < 500; i++) access.write(unmatched({ clientAddress: `10.0.${i >> 8}.${i & 255}` }));
  t.equal(lines().length, 20);
  t.equal(suppressed.length, 480);
  clock.advance(10_000);
  access.write(unmatched({ clientAddress: '10.9.9.9' }));
  t.equal(lines()[20]?.suppressed, 480);
});

t.test('whatever a client sends as names, a line is JSON in printable ASCII and has a bound', async (t) => {
  const { access, raw } = setUp({ burst: 1e9, burstOfReason: 1e9 });
  const text = fc.string({ unit: 'binary', maxLength: 600 });
  fc.assert(
    fc.property(text, text, fc.array(text, { maxLength: 40 }), (sni, detail, list) => {
      raw.length = 0;
      access.write(unmatched({ sni, detail, alpn: list, uris: list, spiffeIds: list, certificateIssuer: detail }));
      const line = raw[0] ?? '';
      const parsed = JSON.parse(line) as { sni: string };
      return raw.length === 1 && /^[\x20-\x7e]*\n$/.test(line) && parsed.sni.length <= 255 && line.length < 32_768;
    }),
    { numRuns: 1000 },
  );
  raw.length = 0;
  access.write(unmatched({ sni: 'a\r\n\x1b[31m"é\u2028' }));
  const [line] = raw.map((line) => JSON.parse(line) as { sni: string });
  t.equal(line?.sni, 'a\\x0d\\x0a\\x1b[31m"\\xe9\\x2028');
  raw.length = 0;
  access.write(unmatched({ sni: 'x'.repeat(300) }));
  t.equal((JSON.parse(raw[0] ?? '') as { sni: string }).sni.length, 255);
});

t.test('a name that was made printable before comes out as it is', async (t) => {
  const { access, lines } = setUp();
  access.write(unmatched({ sni: 'a\\x0db' }));
  t.equal(lines()[0]?.sni, 'a\\x0db');
});
