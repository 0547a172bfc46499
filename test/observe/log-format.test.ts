// The forms of a log line: the same facts, one line each, whatever clients send.
import t from 'tap';
import { createLog } from '../../src/observe/log.ts';
import type { RootLog } from '../../src/observe/log.ts';
import { LOG_FORMATS } from '../../src/observe/log-format.ts';
import type { LogFormat } from '../../src/observe/log-format.ts';
import { sessionFields } from '../../src/observe/session-line.ts';
import { sessionRecord } from './record.ts';

function logged(format: LogFormat, write: (log: RootLog) => void): readonly string[] {
  const lines: string[] = [];
  write(createLog({ level: 'info', format, destination: { write: (line) => void lines.push(line) } }));
  return lines;
}

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/.source;
const failed = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });

function everything(log: RootLog): void {
  log.info({ port: 10_002, also: [{ name: 'b' }], empty: '', at: { address: '::1', port: 1 } }, 'zone egress is ready');
  log.error({ err: failed }, 'it failed');
  log.line(
    'warn',
    sessionFields(sessionRecord({ sni: 'a "b"\n=c', reason: 'denied', detail: 'x = "y"' }), '2026-01-01T00:00:00.000Z'),
    'session refused',
  );
}

t.test('text is for people', async (t) => {
  const [ready, error, session] = logged('text', everything);
  t.match(ready, new RegExp(`^${TIME} INFO  zone egress is ready port=10002 also="\\{.*\\}" at\\.address=::1 at\\.port=1\\n$`));
  t.match(error, new RegExp(`^${TIME} ERROR it failed err\\.type=Error err\\.message="read ECONNRESET"`));
  t.match(session, / WARN {2}session refused id=\S+ reason=denied detail="x = \\"y\\"" /);
});

t.test('logfmt has a pair for each field', async (t) => {
  const [ready, , session] = logged('logfmt', everything);
  t.match(ready, new RegExp(`^time=${TIME} level=info msg="zone egress is ready" service=zone-egress port=10002 `));
  t.match(session, / sni="a \\"b\\"\\\\x0a=c" /);
  for (const line of logged('logfmt', everything)) {
    const rest = line.trimEnd().replace(/(?:^| )[\w.@/-]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]*)(?= |$)/g, '');
    t.equal(rest, '', `only pairs: ${line}`);
  }
});

t.test('ecs has the names of the Elastic Common Schema, and its own fields under one name', async (t) => {
  const [ready, error, session] = logged('ecs', everything).map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(ready, {
    '@timestamp': new RegExp(`^${TIME}$`),
    'log.level': 'info',
    message: 'zone egress is ready',
    'ecs.version': '8.11.0',
    'service.name': 'zone-egress',
    zone_egress: { port: 10_002 },
  });
  t.match(error, { 'error.type': 'Error', 'error.message': 'read ECONNRESET', 'error.stack_trace': /log-format\.test/ });
  t.match(session, {
    'event.reason': 'denied',
    'event.outcome': 'failure',
    'client.ip': /^\d/,
    'tls.client.server_name': 'a "b"\\x0a=c',
    zone_egress: { detail: 'x = "y"' },
  });
  t.type(session?.['event.duration'], 'number');
  for (const line of [ready, error, session])
    t.notOk(['time', 'level', 'msg', 'err'].some((name) => Object.hasOwn(line ?? {}, name)));
});

t.test('each line is one line, and no form brings a secret back', async (t) => {
  const key = '-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----';
  for (const format of LOG_FORMATS) {
    const lines = logged(format, (log) => {
      log.warn({ text: `a\nb\u001b[31m\u2028\u202e${key}`, 'odd name\n=': 1 }, 'line\nbreak');
      everything(log);
    });
    t.equal(lines.length, 4, format);
    for (const line of lines) {
      t.match(line, /^[^\n]*\n$/, format);
      t.notMatch(line, /MIIE/, format);
      if (format === 'text' || format === 'logfmt') t.notMatch(line.trimEnd(), /[\p{Cc}\p{Cf}\u2028]/u, format);
    }
  }
});

t.test('the level counts at once, also for logs that were made before', async (t) => {
  const lines: string[] = [];
  const log = createLog({ level: 'info', destination: { write: (line) => void lines.push(line) } });
  const child = log.with({ part: 'a' });
  child.debug({}, 'hidden');
  log.setLevel('debug');
  child.debug({}, 'shown');
  log.setLevel('error');
  child.warn({}, 'hidden');
  log.line('warn', '"a":1', 'hidden');
  log.always('info', {}, 'always');
  t.equal(log.level, 'error');
  log.setLevel('off');
  log.error({}, 'hidden');
  log.always('info', {}, 'always');
  t.same(
    lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    ['shown', 'always', 'always'],
  );
  const silent = createLog({ level: 'off', destination: { write: (line) => void t.fail(line) } });
  silent.setLevel('debug');
  silent.always('info', {}, 'hidden');
  silent.info({}, 'hidden');
  t.equal(silent.level, 'off', 'a log that an embedder switched off stays off');
});
