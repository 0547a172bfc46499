// The file of --config: what wins over what, what is refused, the schema, and `config print`.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { configSchema } from '../../src/cli/config-schema.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import { FILE_OPTIONS } from '../../src/cli/run-options.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

const SCHEMA = new URL('../../docs/config.schema.json', import.meta.url);

function fileOf(t: Test, text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-config-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'egress.yaml'), text);
  return join(dir, 'egress.yaml');
}

async function output(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  grace: Terminal['grace'] = () => null,
): Promise<string> {
  const command = parseCommand(argv, env);
  if (command.kind !== 'command') throw new Error(JSON.stringify(command));
  let text = '';
  const terminal = { out: (more: string) => void (text += more), grace } as Terminal;
  if ((await command.execute(terminal)) !== 0) throw new Error(text);
  return text;
}

t.test('a variable wins over a flag, a flag over the file, and the file over the default', async (t) => {
  const file = fileOf(
    t,
    'resources: zone\nname: of-file\ndrain-time: 1m30s\nconcurrency: 3\nstrict: true\nadmin-host: [a.test, b.test]\nlog-level: off\nmax-sessions: 7\n',
  );
  const command = parseCommand(['run', '--config', file, '--max-sessions=8', '--log-sample', '9', '--name=of-flag'], {
    KUMA_DATAPLANE_NAME: 'of-variable',
  });
  t.match(command, {
    name: 'run',
    parsed: {
      resources: 'zone',
      name: 'of-variable',
      drainTimeMs: 90_000,
      concurrency: 3,
      strict: true,
      adminHosts: ['a.test', 'b.test'],
      logLevel: 'off',
      maxSessions: 8,
      logSample: 9,
      setupTimeoutMs: 15_000,
    },
  });
  t.match(parseCommand(['run'], { ZONE_EGRESS_CONFIG: file }), { parsed: { name: 'of-file', maxSessions: 7 } });
});

t.test('a control plane is joined with what the file says', async (t) => {
  const file = fileOf(
    t,
    'cp-address: https://cp:5678\nname: egress-1\ndataplane-token: secret\nretry-backoff: 5s\nproxy-type: egress\n',
  );
  t.match(parseCommand(['run', `--config=${file}`], {}), {
    parsed: {
      resources: null,
      controlPlane: { url: 'https://cp:5678', name: 'egress-1', token: 'secret', retryBackoffMs: 5_000 },
    },
  });
  const vars = fileOf(t, "dataplane: '{{ a }}'\ndataplane-var: { a: one, b.c: 'x=1,2', d: 3 }\n");
  t.match(parseCommand(['run', `--config=${vars}`], {}), {
    parsed: {
      controlPlane: {
        vars: [
          ['a', 'one'],
          ['b.c', 'x=1,2'],
          ['d', '3'],
        ],
      },
    },
  });
});

t.test('each fault is a line with its file, line, column, option and what is allowed, and the exit code is 78', async (t) => {
  for (const [text, problem] of [
    ['drain-time: soon', '1:13 drain-time: "soon": allowed is a duration such as 500ms, 30s, 5m, 1h or 1m30s'],
    ['resources: z\ndrain-time: 30', '2:13 drain-time: allowed is a text: write it in quotes, as "30"'],
    ['drain-tme: 30s', '1:1 drain-tme: unknown option, did you mean "drain-time"?'],
    ['concurrency: 1.5', '1:14 concurrency: "1.5": allowed is a whole number from 0'],
    ['concurrency: 1000', '1:14 concurrency: "1000": allowed is 0 to 256'],
    ['readiness-port: 70000', '1:17 readiness-port: "70000": allowed is a port from 0 to 65535'],
    ['strict: perhaps', '1:9 strict: "perhaps": allowed is true or false'],
    ['http: maybe', '1:7 http: "maybe": allowed is on or off'],
    ['log-level: loud', '1:12 log-level: "loud": allowed are debug, info, warn, error and off'],
    ['name:', '1:6 name: has no value; leave the option out to use its default'],
    ['name: [a]', '1:7 name: allowed is one value, not a list'],
    ['name: {a: b}', '1:7 name: allowed is one value, not a map'],
    ['admin-host: [a, [b]]', '1:17 admin-host: allowed is a text'],
    [
      'allow-resolved: [127.0.0.0/8, all]',
      '1:31 allow-resolved: "all": allowed is a CIDR block such as 127.0.0.0/8 or fe80::/10',
    ],
    ['record-max-size: 10', '1:18 record-max-size: "10": allowed is a size such as 100MB, 512KB, 2GB, from 1KB on'],
    ['config: other.yaml', '1:1 config: unknown option'],
    ['- a', '1:1 a file of options is a map, as in `drain-time: 30s`'],
    ['name: a\n---\nname: b', '3:1 a file of options has one document, and this is another'],
  ] as const) {
    const file = fileOf(t, `${text}\n`);
    const result = parseCommand(['run', '--config', file, '--resources', 'z'], {});
    t.match(result, { kind: 'usage-error', code: 78 }, text);
    t.equal(result.kind === 'usage-error' ? result.message : '', `${file}:${problem}`, text);
  }
  const several = fileOf(t, 'drain-time: soon\nname: []\nnmae: c\n');
  const result = parseCommand(['run', '--config', several], {});
  t.ok(result.kind === 'usage-error' && result.message.split('\n').length === 3, 'all of them at once');
});

t.test('a file that cannot be read is 66, an empty one is none, and a fault found later names its place', async (t) => {
  t.match(parseCommand(['run', '--config=/nowhere/x.yaml'], {}), {
    kind: 'usage-error',
    code: 66,
    message: /^--config \/nowhere\/x\.yaml: no such file or folder/,
  });
  t.match(parseCommand(['run', '--config', fileOf(t, '# nothing\n'), '--resources=z'], {}), { parsed: { resources: 'z' } });
  for (const [text, message] of [
    ['max-hello-bytes: 99', /egress\.yaml:2:18 max-hello-bytes 99: allowed is 512 to 65536$/],
    ['setup-timeout: 0s', /egress\.yaml:2:16 setup-timeout 0s: allowed is more than 0/],
    ['state-dir: x', /egress\.yaml:2:12 state-dir: is for a control plane/],
    ['cp-address: https://cp', /egress\.yaml:1:12 resources and .*egress\.yaml:2:13 cp-address: a folder or a control plane/],
  ] as const)
    t.match(parseCommand(['run', '--config', fileOf(t, `resources: z\n${text}\n`)], {}), { kind: 'usage-error', message }, text);
});

t.test('no value of a secret option is in an error', async (t) => {
  for (const text of ['dataplane-token: [hunter2]', 'dataplane-var: [[hunter2]]', "dataplane-token: ''"]) {
    const result = parseCommand(['run', '--config', fileOf(t, `${text}\n`)], {});
    t.match(result, { kind: 'usage-error', code: 78, message: /this value is not allowed, and it is not shown/ });
    t.notMatch(JSON.stringify(result), /hunter2/);
  }
});

t.test('config print shows each option with where it comes from, as a file that gives the same', async (t) => {
  const token = 'eyJhbGciOiJSUzI1NiJ9.eyJaIjoieiJ9.c2lnbmF0dXJl';
  const file = fileOf(t, `cp-address: https://cp:5678\nadmin-host: [a.test]\ndataplane-token: ${token}\nzone: '7'\n`);
  const argv = ['--config', file, '--name', 'egress-1', '--dataplane-var=a=hunter2', '--state-dir=/a b'];
  const env = { KUMA_DATAPLANE_DRAIN_TIME: '5s', KUMA_DATAPLANE_RUNTIME_CONCURRENCY: '2' };
  const text = await output(['config', 'print', ...argv], env);
  const line = (name: string): string => text.split('\n').find((each) => each.replace('# ', '').startsWith(`${name}:`)) ?? '';
  for (const [name, shown] of [
    ['cp-address', `cp-address: https://cp:5678 # ${file}:1:13`],
    ['admin-host', `admin-host: ["a.test"] # ${file}:2:13`],
    ['name', 'name: egress-1 # --name'],
    ['drain-time', 'drain-time: 5s # KUMA_DATAPLANE_DRAIN_TIME'],
    ['concurrency', 'concurrency: 2 # KUMA_DATAPLANE_RUNTIME_CONCURRENCY'],
    ['zone', `zone: "7" # ${file}:4:7`],
    ['state-dir', 'state-dir: /a b # --state-dir'],
    ['idle-timeout', 'idle-timeout: 1h # default'],
    ['strict', '# strict: # not set'],
    ['dataplane-token', `# dataplane-token: not shown # ${file}:3:18`],
    ['dataplane-var', '# dataplane-var: not shown # --dataplane-var'],
  ] as const)
    t.equal(line(name).replace(/ {2,}/g, ' '), shown);
  t.notMatch(text, /hunter2|eyJ/);
  t.equal(text.trimEnd().split('\n').length, Object.keys(FILE_OPTIONS).length);

  const again = fileOf(t, text);
  const values = async (args: readonly string[], from: Readonly<Record<string, string>>) => {
    const { options } = JSON.parse(await output(['config', 'print', '-o', 'json', ...args], from)) as {
      options: { name: string; value?: unknown; from: string }[];
    };
    return options.filter(({ value }) => value !== undefined && value !== null).map(({ name, value }) => [name, value]);
  };
  t.strictSame(await values(['--config', again], {}), await values(argv, env));
  t.notMatch(await output(['config', 'print', '-o', 'json', ...argv], env), /hunter2|eyJ/);
  t.match(parseCommand(['config', 'print'], {}), { kind: 'usage-error', message: /^run needs --resources/ });
});

t.test('config print shows the drain time that run has where a container leaves less', async (t) => {
  const inDocker = () => ({ ms: 10_000, of: 'docker', assumed: true });
  const line = async (argv: readonly string[], form: readonly string[] = []): Promise<string> => {
    const text = await output(['config', 'print', '--resources=z', ...argv, ...form], {}, inDocker);
    return (text.split('\n').find((each) => each.startsWith('drain-time:')) ?? text).replace(/ {2,}/g, ' ');
  };
  t.equal(await line([]), 'drain-time: 8s # default, made shorter to fit the 10s of docker');
  t.equal(await line(['--drain-time=20s']), 'drain-time: 20s # --drain-time');
  t.equal(await line(['--grace-period=60s']), 'drain-time: 30s # default');
  t.equal(
    await line(['--grace-period=20s']),
    'drain-time: 18s # default, made shorter to fit the 20s of the supervisor (--grace-period)',
  );
  const { options } = JSON.parse(await line([], ['-o', 'json'])) as {
    options: { name: string; value?: unknown; from: string }[];
  };
  t.match(
    options.find(({ name }) => name === 'drain-time'),
    { value: '8s', from: 'default, made shorter to fit the 10s of docker' },
  );
});

t.test('the schema that is checked in is that of the options', async (t) => {
  const made = await output(['config', 'schema']);
  t.equal(made, configSchema());
  if (process.env.UPDATE_README === '1') writeFileSync(SCHEMA, made);
  t.equal(readFileSync(SCHEMA, 'utf8'), made, 'UPDATE_README=1 writes it');
  const { properties } = JSON.parse(made) as { properties: Record<string, { type?: unknown; description?: string }> };
  t.strictSame(Object.keys(properties), Object.keys(FILE_OPTIONS));
  for (const [name, { description }] of Object.entries(properties)) t.match(description, /\S{3}/, name);
});
