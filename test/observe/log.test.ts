import { execFileSync, spawnSync } from 'node:child_process';
import t from 'tap';
import { createLog } from '../../src/observe/log.ts';
import type { LogLevel } from '../../src/observe/log.ts';

function written(level: LogLevel, use: (log: ReturnType<typeof createLog>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  use(createLog({ level, base: { zone: 'east' }, destination: { write: (line) => void lines.push(line) } }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

t.test('a line is JSON with an ISO time, the level as a word, the service and the base fields', async (t) => {
  const [line] = written('info', (log) => log.warn({ port: 10002 }, 'look here'));
  t.match(line, { level: 'warn', service: 'zone-egress', zone: 'east', port: 10002, msg: 'look here' });
  t.match(line?.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

t.test('what is below the level is not written, and off writes nothing', async (t) => {
  const all = (log: ReturnType<typeof createLog>): void => {
    log.debug({}, 'a');
    log.info({}, 'b');
    log.warn({}, 'c');
    log.error({}, 'd');
  };
  for (const [level, expected] of [
    ['debug', 'abcd'],
    ['info', 'bcd'],
    ['warn', 'cd'],
    ['error', 'd'],
    ['off', ''],
  ] as const) {
    t.equal(
      written(level, all)
        .map(({ msg }) => msg)
        .join(''),
      expected,
      level,
    );
  }
});

t.test('fields that are known later are on every line from then on', async (t) => {
  const lines = written('info', (log) => {
    log.info({}, 'before');
    log.bind({ egress: 'egress-1' });
    log.info({}, 'after');
    log.with({ mesh: 'default' }).info({}, 'child');
  });
  t.equal(lines[0]?.egress, undefined);
  t.equal(lines[1]?.egress, 'egress-1');
  t.match(lines[2], { egress: 'egress-1', mesh: 'default' });
});

t.test('an error keeps its stack, and a private key or a token inside a text does not get out', async (t) => {
  const key = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIcanary1\nAwEHcanary2\n-----END EC PRIVATE KEY-----\n';
  const token = 'eyJhbGciOiJSUzI1NiJ9.eyJab25lIjoiZWFzdCJ9.canary3_canary3';
  const [line] = written('info', (log) =>
    log.error({ err: new Error(`bad ${key}`), token, cut: key.slice(0, 50) }, `read ${key}`),
  );
  const text = JSON.stringify(line);
  t.notMatch(text, /canary/);
  t.match((line?.err as { stack: string }).stack, /log\.test/);
  t.equal(line?.msg, 'read [private key]\n');
  t.equal(line?.token, '[token]');
});

t.test('a line that comes as text is as one that comes as fields', async (t) => {
  const lines = written('info', (log) => {
    log.bind({ egress: 'egress-1' });
    log.info({ id: '0.1', token: 'eyJhbGciOiJSUzI1NiJ9.eyJab25lIjoiZWFzdCJ9.canary' }, 'session ended');
    log.line('info', '"id":"0.1","token":"eyJhbGciOiJSUzI1NiJ9.eyJab25lIjoiZWFzdCJ9.canary"', 'session ended');
  });
  t.equal(lines.length, 2);
  t.equal(lines[1]?.token, '[token]');
  t.strictSame({ ...lines[1], time: '' }, { ...lines[0], time: '' });
  t.strictSame(Object.keys(lines[1] ?? {}), Object.keys(lines[0] ?? {}));
  t.match(lines[1]?.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.strictSame(
    written('warn', (log) => {
      log.line('info', '"id":"0.1"', 'session ended');
      log.line('warn', '"id":"0.2"', 'session refused');
    }).map(({ id }) => id),
    ['0.2'],
  );
});

t.test(
  'lines on standard output keep their order, and those that wait for others are written though nobody flushes',
  async (t) => {
    const program = `
    import { createLog } from './src/observe/log.ts';
    const log = createLog({ level: 'info' });
    for (let i = 0; i < 100; i++) log.line('info', '"i":' + 3 * i, 'session ended'), log.info({ i: 3 * i + 1 }, 'line'), log[i % 10 === 0 ? 'warn' : 'info']({ i: 3 * i + 2 }, 'line');
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 500);
  `;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    const found = stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { i: number }).i);
    t.strictSame(
      found,
      Array.from({ length: 300 }, (_, i) => i),
    );
  },
);

t.test('without a destination lines go to standard output, and flush waits for them', async (t) => {
  const program = `
    import { createLog } from './src/observe/log.ts';
    const log = createLog({ level: 'info' });
    for (let i = 0; i < 200; i++) log.info({ i }, 'line');
    await log.flush();
    process.stdout.write('flushed\\n');
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: process.cwd(), encoding: 'utf8' });
  const lines = output.trimEnd().split('\n');
  t.equal(lines.length, 201);
  t.equal(lines.pop(), 'flushed');
  t.equal((JSON.parse(lines.pop() ?? '') as { i: number }).i, 199);
});
