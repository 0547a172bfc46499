import t from 'tap';
import { helpText } from '../../src/cli/help.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import type { RunOptions } from '../../src/cli/run-options.ts';

type Env = Readonly<Record<string, string>>;

function parsed(argv: readonly string[], env: Env = {}): RunOptions {
  const command = parseCommand(['run', ...argv], env);
  if (command.kind !== 'command') throw new Error(JSON.stringify(command));
  return command.parsed as RunOptions;
}

function refusal(argv: readonly string[], env: Env = {}): string {
  const command = parseCommand(['run', ...argv], env);
  return command.kind === 'usage-error' ? command.message : `taken: ${JSON.stringify(command)}`;
}

t.test('a folder or a control plane: what is given says which', async (t) => {
  t.match(parsed(['--resources=z']), { resources: 'z', controlPlane: null });
  t.match(
    parsed(['--resources=z', '--proxy-type=egress']),
    { resources: 'z', controlPlane: null },
    'the type alone decides nothing',
  );
  t.match(parsed(['--cp-address=https://cp:5678', '--name=e']), { resources: null, controlPlane: { url: 'https://cp:5678' } });
  t.match(parsed(['--proxy-type=egress', '--name=e']), { controlPlane: { url: 'https://localhost:5678', name: 'e' } });
  t.match(parsed(['--dataplane-file=f']), { controlPlane: { url: 'https://localhost:5678', resourceFile: 'f' } });
  t.match(parsed([], { KUMA_CONTROL_PLANE_URL: 'https://cp', KUMA_DATAPLANE_NAME: 'e' }), {
    controlPlane: { url: 'https://cp' },
  });
  t.match(refusal([]), /needs --resources DIR.*or --cp-address URL/);
  t.equal(
    refusal(['--resources=z', '--cp-address=https://cp']),
    '--resources and --cp-address: a folder or a control plane is the source, not both; leave one of them out',
  );
  t.match(
    refusal(['--resources=z'], { KUMA_DATAPLANE_RUNTIME_TOKEN_PATH: '/t' }),
    /^--resources and KUMA_DATAPLANE_RUNTIME_TOKEN_PATH: /,
  );
  t.match(refusal(['--identities=d', '--cp-address=https://cp', '--name=e']), /^--identities: is for a folder/);
});

t.test('each flag and variable of kuma-dp arrives, and the variable wins', async (t) => {
  const argv = [
    '--cp-address=https://flag:5678',
    '--ca-cert-file=flag.pem',
    '--skip-verify=false',
    '--dataplane-token-file=flag.token',
    '--dataplane-token=flag-token',
    '--dataplane=flag-resource',
    '-d',
    'flag.yaml',
    '--work-dir=flag-dir',
    '--drain-time=5s',
  ];
  t.match(parsed(argv).controlPlane, {
    url: 'https://flag:5678',
    caCert: null,
    caCertFile: 'flag.pem',
    skipVerify: false,
    tokenFile: 'flag.token',
    token: 'flag-token',
    resource: 'flag-resource',
    resourceFile: 'flag.yaml',
    workDir: 'flag-dir',
    drainTimeMs: 5_000,
    retryBackoffMs: 3_000,
    retryMaxMs: 300_000,
    readinessPort: 9_902,
    ipv6: true,
    maxMemoryBytes: 0,
    delta: false,
    systemCaPath: null,
    hostIp: null,
  });
  const env = {
    KUMA_CONTROL_PLANE_URL: 'https://env:5678',
    KUMA_CONTROL_PLANE_CA_CERT: '-----BEGIN',
    KUMA_CONTROL_PLANE_CA_CERT_FILE: 'env.pem',
    KUMA_CONTROL_PLANE_TLS_SKIP_VERIFY: 'true',
    KUMA_CONTROL_PLANE_RETRY_BACKOFF: '1s',
    KUMA_CONTROL_PLANE_RETRY_MAX_DURATION: '1m',
    KUMA_DATAPLANE_RUNTIME_TOKEN_PATH: 'env.token',
    KUMA_DATAPLANE_RUNTIME_TOKEN: 'env-token',
    KUMA_DATAPLANE_RUNTIME_RESOURCE: 'env-resource',
    KUMA_DATAPLANE_RUNTIME_RESOURCE_PATH: 'env.yaml',
    KUMA_DATAPLANE_RUNTIME_WORK_DIR: 'env-dir',
    KUMA_DATAPLANE_RUNTIME_DYNAMIC_SYSTEM_CA_PATH: '/ca.pem',
    KUMA_DATAPLANE_RUNTIME_IPV6_ENABLED: 'false',
    KUMA_DATAPLANE_RESOURCES_MAX_MEMORY_BYTES: '17179869184',
    KUMA_DATAPLANE_RUNTIME_ENVOY_XDS_TRANSPORT_PROTOCOL_VARIANT: 'DELTA_GRPC',
    KUMA_DATAPLANE_DRAIN_TIME: '6s',
    KUMA_READINESS_PORT: '9903',
    HOST_IP: '192.0.2.7',
  };
  t.match(parsed(argv, env).controlPlane, {
    url: 'https://env:5678',
    caCert: '-----BEGIN',
    caCertFile: 'env.pem',
    skipVerify: true,
    tokenFile: 'env.token',
    token: 'env-token',
    resource: 'env-resource',
    resourceFile: 'env.yaml',
    workDir: 'env-dir',
    drainTimeMs: 6_000,
    retryBackoffMs: 1_000,
    retryMaxMs: 60_000,
    readinessPort: 9_903,
    ipv6: false,
    maxMemoryBytes: 17_179_869_184,
    delta: true,
    systemCaPath: '/ca.pem',
    hostIp: '192.0.2.7',
  });
});

t.test('the environment of Kuma’s own Deployment is all that is needed', async (t) => {
  const env = {
    POD_NAME: 'kuma-egress-7d9',
    POD_NAMESPACE: 'kuma-system',
    KUMA_CONTROL_PLANE_URL: 'https://kuma-control-plane.kuma-system:5678',
    KUMA_CONTROL_PLANE_CA_CERT_FILE: '/var/run/secrets/kuma.io/cp-ca/ca.crt',
    KUMA_DATAPLANE_DRAIN_TIME: '30s',
    KUMA_DATAPLANE_RUNTIME_TOKEN_PATH: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    KUMA_DATAPLANE_PROXY_TYPE: 'egress',
  };
  const wanted = { controlPlane: { name: 'kuma-egress-7d9.kuma-system', resource: null, resourceFile: null } };
  t.match(parsed(['--log-level=info'], env), wanted);
  t.match(
    parsed([], { ...env, KUMA_DATAPLANE_NAME: '$(POD_NAME).$(POD_NAMESPACE)' }),
    wanted,
    'a name that nobody filled in is none',
  );
});

t.test('switches are spelled as Go takes them, and the last one counts', async (t) => {
  const skips = (...argv: readonly string[]): unknown =>
    parsed(['--cp-address=https://cp', '--name=e', ...argv]).controlPlane?.skipVerify;
  t.equal(skips('--skip-verify'), true);
  for (const yes of ['1', 't', 'T', 'true', 'TRUE', 'True']) t.equal(skips(`--skip-verify=${yes}`), true, yes);
  for (const no of ['0', 'f', 'F', 'false', 'FALSE', 'False']) t.equal(skips('--skip-verify', `--skip-verify=${no}`), false, no);
  t.equal(skips('--skip-verify=false', '--skip-verify'), true);
  t.match(
    refusal(['--cp-address=https://cp', '--name=e', '--skip-verify=maybe']),
    '--skip-verify "maybe": allowed is true or false',
  );
});

t.test('variables of the template: repeated, between commas, with commas in them', async (t) => {
  const vars = (...argv: readonly string[]): unknown => parsed(['-d=-', ...argv]).controlPlane?.vars;
  t.same(vars('-v', 'a=1', '--dataplane-var=b=2'), [
    ['a', '1'],
    ['b', '2'],
  ]);
  t.same(vars('-v', 'a=1,b=2=3'), [
    ['a', '1'],
    ['b', '2=3'],
  ]);
  t.same(vars('-v=a=1,2'), [['a', '1,2']], 'with one = there is one pair');
  t.same(vars('-v', '"a=1,2",b="x""y"'), [
    ['a', '1,2'],
    ['b', '"x""y"'],
  ]);
  t.equal(refusal(['-d=-', '-v', 'a']), 'a must be formatted as key=value');
  t.equal(refusal(['-d=-', '-v', 'a=1,b=2,c']), 'c must be formatted as key=value');
});

t.test('what kuma-dp refuses is refused', async (t) => {
  const both =
    '--name and --mesh cannot be specified when a dataplane definition is provided, mesh and name will be read from the dataplane definition';
  t.equal(refusal(['-d=f', '--name=e']), both);
  t.equal(refusal(['-d=f', '--mesh=m']), both);
  t.equal(refusal(['-d=f'], { KUMA_DATAPLANE_NAME: 'e' }), both);
  const cases: readonly [readonly string[], Env, RegExp][] = [
    [['--dataplane-file=a', '-d', '-'], {}, /^--dataplane-file is given 2 times, once as -: standard input can be the only one/],
    [['--cp-address=https://cp'], {}, /needs --dataplane-file.*or --name/],
    [['--cp-address=ftp://cp', '--name=e'], {}, /unsupported URL scheme "ftp", must be http or https/],
    [['--cp-address=cp:5678', '--name=e'], {}, /unsupported URL scheme "cp"/],
    [['--cp-address=//cp', '--name=e'], {}, /allowed is a URL such as https:\/\/localhost:5678/],
    [['--cp-address=https://me:secret@cp', '--name=e'], {}, /^--cp-address: a user or password in the URL is not taken$/],
    [['--proxy-type=egress', '--name=$(POD)'], {}, /--name "\$\(POD\)": contains invalid characters/],
    [['--proxy-type=egress', '--name=e', '--readiness-port=0'], {}, /--readiness-port 0: allowed is 1 to 65535/],
    [
      ['--proxy-type=egress', '--name=e'],
      { KUMA_CONTROL_PLANE_RETRY_BACKOFF: '0s' },
      /^KUMA_CONTROL_PLANE_RETRY_BACKOFF 0s: allowed is more than 0/,
    ],
    [['--proxy-type=sidecar'], {}, /--proxy-type sidecar: this is a zone egress; allowed are egress and dataplane/],
    [
      ['--proxy-type=dataplane', '--resources=z'],
      {},
      /--proxy-type dataplane: is for a control plane; with --resources it cannot be given/,
    ],
    [['--resources=z'], { KUMA_DATAPLANE_PROXY_TYPE: 'ingress' }, /KUMA_DATAPLANE_PROXY_TYPE ingress: this is a zone egress/],
    [
      ['--proxy-type=egress', '--name=e'],
      { KUMA_DATAPLANE_RUNTIME_ENVOY_XDS_TRANSPORT_PROTOCOL_VARIANT: 'REST' },
      /"REST": allowed are GRPC and DELTA_GRPC/,
    ],
  ];
  for (const [argv, env, message] of cases) t.match(refusal(argv, env), message, argv.join(' '));
});

t.test('flags and variables of kuma-dp without an effect are accepted and logged', async (t) => {
  const { ignored, resources } = parsed(
    [
      '--proxy-type=egress',
      '--envoy-log-level',
      'debug',
      '--resources=z',
      '--bind-outbounds',
      '--dns-enabled=false',
      '--dns-coredns-port=15053',
      '--transparent-proxy',
      '--transparent-proxy-config=a,b',
      '--log-max-age=3',
      '--mesh=default',
    ],
    { KUMA_DNS_CORE_DNS_BINARY_PATH: '/x', KUMA_DATAPLANE_RUNTIME_STRICT_INBOUND_PORTS_ENABLED: 'true' },
  );
  t.equal(resources, 'z');
  t.same(
    [...ignored].sort(),
    [
      '--bind-outbounds',
      '--dns-coredns-port',
      '--dns-enabled',
      '--envoy-log-level',
      '--log-max-age',
      '--mesh',
      '--transparent-proxy',
      '--transparent-proxy-config',
      'KUMA_DATAPLANE_RUNTIME_STRICT_INBOUND_PORTS_ENABLED',
      'KUMA_DNS_CORE_DNS_BINARY_PATH',
    ].sort(),
  );
  t.same(parsed(['--resources=z']).ignored, []);
});

t.test('a token in the wrong place is not printed', async (t) => {
  const token = 'eyJhbGciOiJSUzI1NiJ9.eyJab25lIjoiYSJ9.c2lnbmF0dXJl';
  for (const argv of [
    [token],
    ['--dataplane-tokn', token],
    [`--dataplane-tokn=${token}`],
    ['--drain-time', token],
    [`--cp-address=${token}`],
  ])
    t.notMatch(refusal([...argv, '--name=e', '--proxy-type=egress']), /eyJ|c2ln/, argv.join(' '));
});

t.test('help shows what has a flag by it, and what has none by its variable', async (t) => {
  const text = helpText('run');
  t.match(text, /--dataplane-file FILE, -d FILE .*KUMA_DATAPLANE_RUNTIME_RESOURCE_PATH/);
  t.match(text, /\n {2}KUMA_CONTROL_PLANE_RETRY_BACKOFF .*default 3s/);
  t.notMatch(text, /dns-coredns/);
});
