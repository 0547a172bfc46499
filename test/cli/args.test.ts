import t from 'tap';
import { COMMANDS } from '../../src/cli/commands.ts';
import { helpText } from '../../src/cli/help.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import { sessionLimit } from '../../src/cli/run.ts';
import { FILE_OPTIONS } from '../../src/cli/run-options.ts';
import { strayVariables } from '../../src/cli/variables.ts';
import { durationMs } from '../../src/base/duration.ts';

t.test('run: defaults are those that the reference names', async (t) => {
  t.match(parseCommand(['run', '--resources', 'zone'], {}), {
    name: 'run',
    parsed: {
      resources: 'zone',
      name: null,
      zone: null,
      adminBind: '127.0.0.1',
      readinessPort: 9902,
      concurrency: 0,
      drainTimeMs: 30_000,
      drainExitCode: 1,
      setupTimeoutMs: 15_000,
      idleTimeoutMs: 3_600_000,
      maxHelloBytes: 16_384,
      maxHandshakes: 512,
      maxSessionsPerSource: 0,
      logLevel: 'info',
    },
  });
});

t.test('the environment wins over flags, as in kuma-dp', async (t) => {
  const command = parseCommand(['run', '--resources=zone', '--drain-time=5s', '--name', 'from-flag'], {
    KUMA_DATAPLANE_DRAIN_TIME: '1m30s',
    KUMA_DATAPLANE_NAME: 'from-env',
    KUMA_READINESS_PORT: '0',
    ZONE_EGRESS_ADMIN_HOSTS: 'a.test, b.test',
  });
  t.match(command, {
    name: 'run',
    parsed: { drainTimeMs: 90_000, name: 'from-env', readinessPort: 0, adminHosts: ['a.test', 'b.test'] },
  });
});

t.test('sessions are recorded where that is asked for, to files of the size that is asked for', async (t) => {
  t.match(parseCommand(['run', '--resources=z'], {}), { parsed: { record: null, recordMaxBytes: 100_000_000 } });
  const given = ['run', '--resources=z', '--record', 'x.ndjson', '--record-max-size'];
  for (const [size, bytes] of [
    ['2GB', 2e9],
    ['1kb', 1_000],
    ['5000', 5_000],
  ] as const)
    t.match(parseCommand([...given, size], {}), { parsed: { record: 'x.ndjson', recordMaxBytes: bytes } }, size);
  for (const size of ['0', '999', '1.5MB', 'MB', '1TB', '-1'])
    t.match(
      parseCommand([...given.slice(0, -1), `--record-max-size=${size}`], {}),
      { kind: 'usage-error', message: /a size such as 100MB/ },
      size,
    );
});

t.test('an empty variable is as good as none', async (t) => {
  t.match(parseCommand(['run', '--resources=zone', '--name=n'], { KUMA_DATAPLANE_NAME: '' }), {
    name: 'run',
    parsed: { name: 'n' },
  });
});

t.test('the zone of the control plane’s variable counts, the egress’s own first', async (t) => {
  t.match(parseCommand(['run', '--resources=z'], { KUMA_MULTIZONE_ZONE_NAME: 'east' }), { parsed: { zone: 'east' } });
  t.match(parseCommand(['run', '--resources=z'], { KUMA_MULTIZONE_ZONE_NAME: 'east', ZONE_EGRESS_ZONE: 'west' }), {
    parsed: { zone: 'west' },
  });
});

t.test('what cannot be is refused with what is allowed', async (t) => {
  const cases: readonly [string[], RegExp][] = [
    [['run'], /run needs --resources DIR/],
    [['run', '--resources=z', '--drain-time=soon'], /--drain-time "soon": allowed is a duration/],
    [['run', '--resources=z', '--concurrency=-1'], /concurrency/],
    [['run', '--resources=z', '--readiness-port=70000'], /allowed is a port/],
    [['run', '--resources=z', '--log-level=loud'], /allowed are debug, info/],
    [['run', '--resources=z', '--max-hello-bytes=100'], /allowed is 512 to 65536/],
    [['run', '--resources=z', '--drain-exit-code=256'], /--drain-exit-code "256": allowed is 0 to 255/],
    [['run', '--resources=z', '--concurrency=257'], /--concurrency "257": allowed is 0 to 256/],
    [
      ['run', '--resources=z', '--allow-resolved=127.0.0.0/8,10.0.0.0\\8'],
      /--allow-resolved "10.0.0.0\\\\8": allowed is a CIDR block/,
    ],
    [['run', '--resources=z', '--allow-resolved=127.0.0.0/33'], /"127.0.0.0\/33": allowed is a CIDR block/],
    [['run', '--resources=z', '--allow-resolved=localhost'], /"localhost": allowed is a CIDR block/],
    [['run', '--resources=z', '--frobnicate'], /frobnicate/],
    [['run', '--resources=z', 'extra'], /takes no arguments beside its flags/],
    [['run', '--proxy-type=ingress', '--resources=z'], /this is a zone egress; allowed are egress and dataplane/],
    [['validate'], /validate needs the folder/],
    [['validate', 'a', 'b'], /one folder only/],
    [['generate', 'keys'], /allowed are certs, zone, .* and dataplane-token$/],
    [['generate', 'certs', 'dir', '--key-type=dsa'], /allowed are rsa and ec/],
    [['generate', 'certs', 'dir', '--mesh=../x'], /a mesh name is/],
    [['generate', 'certs', 'dir', '--service=ok,a/../../evil'], /--service "a\/..\/..\/evil": a service name is/],
    [['generate', 'certs', 'dir', '--service=a\0'], /a service name is/],
    [['generate', 'certs', 'dir', '--service=ca'], /the names of the CA/],
    [['serve'], /unknown command "serve": allowed are run/],
  ];
  for (const [argv, message] of cases) t.match(parseCommand(argv, {}), { kind: 'usage-error', message }, argv.join(' '));
});

t.test('what lies in the range is taken, also of the environment', async (t) => {
  const env = { ZONE_EGRESS_ALLOW_RESOLVED: '127.0.0.0/8, fe80::/10,169.254.1.1' };
  t.match(parseCommand(['run', '--resources=z', '--drain-exit-code=255', '--concurrency=256'], env), {
    name: 'run',
    parsed: { drainExitCode: 255, concurrency: 256, allowedResolved: ['127.0.0.0/8', 'fe80::/10', '169.254.1.1'] },
  });
  t.match(parseCommand(['run', '--resources=z'], { ZONE_EGRESS_ALLOW_RESOLVED: 'all' }), {
    kind: 'usage-error',
    message: /^ZONE_EGRESS_ALLOW_RESOLVED "all": allowed is a CIDR block/,
  });
  t.match(parseCommand(['generate', 'certs', 'dir', '--service=a.b_c-d:80'], {}), { parsed: { services: ['a.b_c-d:80'] } });
});

t.test('durations are Go’s', async (t) => {
  t.equal(durationMs('1h'), 3_600_000);
  t.equal(durationMs('1m30s'), 90_000);
  t.equal(durationMs('1.5s'), 1_500);
  t.equal(durationMs('500ms'), 500);
  for (const bad of ['', '5', '1d', 's', '-1s', '1s2']) t.equal(durationMs(bad), null, bad);
});

t.test('help lists every option of run with its default and its variable', async (t) => {
  const text = helpText('run');
  t.match(text, /--drain-time DUR .*default 30s; KUMA_DATAPLANE_DRAIN_TIME/);
  t.match(text, /--resources DIR/);
  t.match(helpText(''), /zone-egress generate zone DIR/);
});

t.test('a misspelt command, flag or topic of help gets the nearest existing one, for every command', async (t) => {
  const slip = (word: string): string => word + word.slice(-1);
  for (const [name, { options }] of Object.entries(COMMANDS)) {
    const words = name.split(' ');
    const wrong = [...words.slice(0, -1), slip(words.at(-1) ?? '')];
    const meant = words.at(-1) ?? '';
    for (const argv of [wrong, [...wrong, 'dir'], ['help', ...wrong], [...wrong, '--help']])
      t.match(parseCommand(argv, {}), { kind: 'usage-error', message: `did you mean "${meant}"?` }, argv.join(' '));
    t.strictSame(parseCommand(['help', ...words], {}), { kind: 'help', topic: name });
    t.strictSame(parseCommand([...words, '--help'], {}), { kind: 'help', topic: name });
    t.ok(helpText(name).startsWith(`zone-egress ${name}`), `help ${name}`);
    for (const [option, { variableOnly }] of Object.entries(options)) {
      if (variableOnly === true) continue;
      const command = parseCommand([...words, `--${slip(option)}`, 'x'], {});
      t.match(
        command,
        { kind: 'usage-error', message: /^unknown option --[^]*, did you mean "--[a-z-]+"\?; zone-egress help / },
        option,
      );
    }
  }
});

t.test('what help, version and flags do not know is a usage error', async (t) => {
  for (const [argv, message] of [
    [['help', 'nothing'], /^unknown command "nothing": allowed are run/],
    [['help', 'run', 'validate'], /^help takes one command, got "validate" too/],
    [['help', 'generate', 'keys'], /^generate keys: allowed are certs, zone, /],
    [['nothing', '--help'], /^unknown command "nothing"/],
    [['toString'], /^unknown command "toString"/],
    [['help', 'constructor'], /^unknown command "constructor"/],
    [['generate'], /^generate: allowed are certs, zone, /],
    [['version', 'x'], /^version takes nothing, got "x"/],
    [['run', '--resources=z', '-x'], /^unknown option -x; zone-egress help run lists them/],
    [['run', '--resources=z', '--frobnicate=1'], /^unknown option --frobnicate; zone-egress help run lists them/],
  ] as const)
    t.match(parseCommand(argv, {}), { kind: 'usage-error', message }, argv.join(' '));
  for (const argv of [['help'], ['--help'], [], ['help', 'help'], ['help', 'version'], ['version', '--help']])
    t.match(parseCommand(argv, {}), { kind: 'help' }, argv.join(' '));
  t.match(helpText('generate'), /generate certs[^]*generate zone/);
  t.notMatch(helpText('generate'), /zone-egress run/);
});

t.test('a folder or an admin address in the wrong place is an error with the right one', async (t) => {
  for (const [argv, message] of [
    [['validate', '--resources', 'zone'], /--resources; the folder stands without an option: zone-egress validate DIR/],
    [['routes', '--resources=zone'], /--resources; the folder stands without an option: zone-egress routes DIR/],
    [['diff', '--old', 'zone', '--new', 'zone'], /--old; the folders stand without an option: zone-egress diff OLD NEW/],
    [['migrate', '--resources', 'zone'], /--resources; the folder stands without an option: zone-egress migrate DIR/],
    [['routes', '--admin', 'http://127.0.0.1:9901'], /--admin; a running egress has its routes at \/routes\?output=table/],
    [['validate', '--admin', 'http://127.0.0.1:9901'], /--admin; a running egress has its problems at \/config_errors/],
    [['sessions', '--resources', 'zone'], /--resources; sessions are in a running egress: --admin URL/],
    [['sessions'], /^sessions needs --admin URL: the admin pages of the egress, e\.g\. http:/],
    [['decisions'], /^decisions needs --admin URL: /],
    [['explain', 'my zone', '--sni', 'x'], /got "my zone"; a folder of resources goes with --resources: --resources "my zone"/],
    [['simulate', 'zone'], /got "zone"; a folder of resources goes with --resources: --resources "zone"/],
    [['fake', 'zone'], /got "zone"; a folder of resources goes with --resources: --resources "zone"/],
    [['run', 'zone'], /got "zone"; a folder of resources goes with --resources: --resources "zone"/],
  ] as const)
    t.match(parseCommand(argv, {}), { kind: 'usage-error', message }, argv.join(' '));
});

t.test('help has every option that run and its file read', async (t) => {
  for (const name of Object.keys(FILE_OPTIONS)) {
    const spec = FILE_OPTIONS[name];
    const shown = spec?.variableOnly === true ? (spec.env?.[0] ?? name) : `--${name}`;
    for (const command of ['run', 'config print']) t.ok(helpText(command).includes(`  ${shown}`), `help ${command}: ${shown}`);
  }
});

t.test('a variable that resembles one of ours is reported; others are not', async (t) => {
  const env = {
    ZONE_EGRESS_DRAIN_EXITCODE: '1',
    ZONE_EGRESS_SOMETHING_ELSE: '1',
    KUMA_DATAPLANE_DRAINTIME: '1s',
    KUMA_READINESS_PORT: '0',
    KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT: '5685',
    ZONE_EGRESS_SERVICE_HOST: '10.0.0.1',
    ZONE_EGRESS_SERVICE_PORT_TLS: '10002',
    ZONE_EGRESS_PORT_10002_TCP_ADDR: '10.0.0.1',
    ZONE_EGRESS_PORT: 'tcp://10.0.0.1:10002',
    HOME: '/',
  };
  t.strictSame(strayVariables(env), [
    'the variable ZONE_EGRESS_DRAIN_EXITCODE has no effect, did you mean "ZONE_EGRESS_DRAIN_EXIT_CODE"?',
    'the variable ZONE_EGRESS_SOMETHING_ELSE has no effect',
    'the variable KUMA_DATAPLANE_DRAINTIME has no effect, did you mean "KUMA_DATAPLANE_DRAIN_TIME"?',
  ]);
});

t.test('sessions stay below the descriptor limit', async (t) => {
  t.equal(sessionLimit(0, 20_000).maxSessions, 9_872);
  t.equal(sessionLimit(0, 1_024).maxSessions, 384);
  t.equal(sessionLimit(0, 256).maxSessions, 16);
  t.equal(sessionLimit(0, null).maxSessions, 10_000);
});
