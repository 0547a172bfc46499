import { chmodSync, writeFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import { loadControlPlane } from '../../src/cli/control-plane.ts';
import type { Machine } from '../../src/cli/control-plane.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import type { RunOptions } from '../../src/cli/run-options.ts';
import type { ControlPlaneOptions } from '../../src/xds/bootstrap/control-plane-options.ts';

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (claims: unknown = { Zone: 'zone-1' }, header: unknown = { alg: 'RS256', kid: '1', typ: 'JWT' }): string =>
  `${part(header)}.${part(claims)}.c2lnbmF0dXJl`;
const RESOURCE = 'type: ZoneEgress\nname: egress-1\nnetworking: {address: 127.0.0.2, port: 10002, admin: {port: 9901}}\n';

function load(
  argv: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly machine?: Partial<Machine> } = {},
): Promise<ControlPlaneOptions> {
  const command = parseCommand(['run', '--proxy-type=egress', ...argv], options.env ?? {});
  if (command.kind !== 'command') throw new Error(JSON.stringify(command));
  const { controlPlane } = command.parsed as RunOptions;
  if (controlPlane === null) throw new Error('no control plane');
  const files = new Map<string, string>();
  return loadControlPlane(controlPlane, {
    readFile: (path) => Promise.resolve(files.get(path) ?? ''),
    readInput: () => Promise.resolve(''),
    systemTrust: () => 'the system’s',
    systemCaPath: () => Promise.resolve('/etc/ssl/certs/ca-certificates.crt'),
    hasIpv6: () => true,
    ...options.machine,
  });
}

function from(files: Readonly<Record<string, string>>): { readonly machine: Partial<Machine> } {
  return {
    machine: {
      readFile: (path) => {
        const text = files[path];
        return text === undefined ? Promise.reject(Object.assign(new Error('gone'), { code: 'ENOENT' })) : Promise.resolve(text);
      },
    },
  };
}

t.test('the resource is rendered, checked and sent as JSON', async (t) => {
  const template = 'type: ZoneEgress\nname: {{ name }}\nnetworking:\n  address: {{ address }}\n  port: 10002\n';
  const options = await load(['-d', '/r.yaml', '-v', 'name=e1', '-v', 'address=192.0.2.1'], from({ '/r.yaml': template }));
  t.equal(options.name, 'e1');
  t.same(JSON.parse(options.resource ?? ''), {
    type: 'ZoneEgress',
    name: 'e1',
    networking: { address: '192.0.2.1', port: 10_002, admin: { port: 9_901 } },
  });
  t.same(options.warnings, []);
});

t.test('the resource comes from standard input, from a file, or from a text, in this order', async (t) => {
  const machine = {
    ...from({ '/r': RESOURCE.replace('egress-1', 'file') }).machine,
    readInput: () => Promise.resolve(RESOURCE.replace('egress-1', 'input')),
  };
  const text = RESOURCE.replace('egress-1', 'text');
  t.equal((await load(['-d', '-', '--dataplane', text], { machine })).name, 'input');
  t.equal((await load(['-d', '/r', '--dataplane', text], { machine })).name, 'file');
  t.equal((await load(['--dataplane', text], { machine })).name, 'text');
  t.equal(
    (await load(['--dataplane', JSON.stringify({ type: 'ZoneEgress', name: 'json', zone: 'z', networking: { port: 1 } })])).name,
    'json',
  );
  t.match(await load(['--name=there']), { name: 'there', resource: null });
});

t.test('a resource that cannot be is refused in the words of Kuma', async (t) => {
  const cases: readonly [resource: string, message: string | RegExp][] = [
    [
      'type: Dataplane\nname: d\nmesh: default\n',
      /^invalid proxy resource type "Dataplane", expected ZoneEgress; .*--proxy-type=dataplane$/,
    ],
    ['type: ZoneIngress\nname: d\n', 'invalid proxy resource type "ZoneIngress", expected ZoneEgress'],
    [RESOURCE.replace('10002', '0'), /^--dataplane:3:\d+ networking\.port: port must be in the range \[1, 65535\]$/],
    [RESOURCE.replace('127.0.0.2', '0.0.0.0'), /networking\.address\.address: must not be 0\.0\.0\.0 or ::/],
    [RESOURCE.replace('127.0.0.2', '127.0.0.1').replace('9901', '10002'), /networking\.admin\.port: must differ from port/],
    [RESOURCE.replace('egress-1', 'Not_A_Name!'), /name: invalid characters\. A lowercase RFC 1123 subdomain/],
    [RESOURCE.replace('egress-1', '{{ nothing }}'), /name: cannot be empty|name/],
    [`${RESOURCE}---\n${RESOURCE}`, '--dataplane: has 2 documents; allowed is one, the ZoneEgress'],
    ['name: e\n', /type: has to be defined/],
    ['[a', /^--dataplane:1:/],
    ['{{ name', '--dataplane: line 1: unmatched open tag'],
    ['# nothing\n', '--dataplane: has no resource in it; a ZoneEgress is needed, or --name'],
    [
      'apiVersion: kuma.io/v1alpha1\nkind: ZoneEgress\nmetadata: {name: e}\nspec: {networking: {port: 1}}\n',
      /is in Kubernetes form/,
    ],
  ];
  for (const [resource, message] of cases) await t.rejects(load(['--dataplane', resource]), { message }, resource);
  await t.rejects(load(['-d', '/gone'], from({})), { message: 'could not read resource /gone: ENOENT' });
});

const DATAPLANE = `type: Dataplane
mesh: mesh-b
name: egress-b
labels: {kuma.io/workload: egress-b}
networking:
  address: 192.0.2.8
  listeners:
  - {type: ZoneEgress, address: 192.0.2.8, port: 10002, name: egress-port}
`;

t.test('a Dataplane with a ZoneEgress listener is checked and sent as it was written', async (t) => {
  const options = await load(['--proxy-type=dataplane', '--dataplane', DATAPLANE]);
  t.match(options, { name: 'egress-b', mesh: 'mesh-b', warnings: [] });
  t.same(JSON.parse(options.resource ?? ''), {
    type: 'Dataplane',
    mesh: 'mesh-b',
    name: 'egress-b',
    labels: { 'kuma.io/workload': 'egress-b' },
    networking: {
      address: '192.0.2.8',
      listeners: [{ type: 'ZoneEgress', address: '192.0.2.8', port: 10_002, name: 'egress-port' }],
    },
  });
  t.match(await load(['--proxy-type=dataplane', '--name=e', '--mesh=m']), { name: 'e', mesh: 'm', resource: null });
  t.match(await load(['--proxy-type=dataplane', '--name=e']), { mesh: 'default' }, 'as kuma-dp has it');
  t.notOk('mesh' in (await load(['--name=e', '--mesh=m'])), 'a ZoneEgress is of no mesh');
});

t.test('a Dataplane that cannot be a zone egress is refused with its place, and what is not served is a warning', async (t) => {
  const wrong: readonly (readonly [resource: string, message: string | RegExp])[] = [
    [RESOURCE, /^--dataplane:1:7 type: must be Dataplane for --proxy-type=dataplane; a ZoneEgress goes with --proxy-type=egress/],
    [DATAPLANE.replace('mesh: mesh-b', 'mesh: ""'), /mesh: must not be empty/],
    [DATAPLANE.replace('name: egress-b', 'name: ""'), /name: must not be empty/],
    [DATAPLANE.replace('ZoneEgress', 'ZoneIngress'), /networking\.listeners: must have one with `type: ZoneEgress`/],
    [DATAPLANE.replace('ZoneEgress', 'Other'), /listeners\[0\]\.type: must be one of ZoneEgress, ZoneIngress/],
    [DATAPLANE.replace('10002', '0'), /listeners\[0\]\.port: port must be in the range \[1, 65535\]/],
    [DATAPLANE.replace('address: 192.0.2.8\n', 'address: 0.0.0.0\n'), /networking\.address: must not be 0\.0\.0\.0 or ::/],
    [`${DATAPLANE}  - {type: ZoneEgress, port: 10002}\n`, /192\.0\.2\.8:10002 is that of another listener of this Dataplane/],
    ['apiVersion: kuma.io/v1alpha1\nkind: Dataplane\nmesh: m\n', /a proxy brings a resource in Universal form/],
    ['[]\n', /is not a map, which a Dataplane has to be/],
    [`${DATAPLANE}---\n${DATAPLANE}`, /has 2 documents; allowed is one, the Dataplane/],
    ['# nothing\n', '--dataplane: has no resource in it; a Dataplane is needed, or --name'],
  ];
  for (const [resource, message] of wrong)
    await t.rejects(load(['--proxy-type=dataplane', '--dataplane', resource]), { message }, resource);
  const { warnings } = await load([
    '--proxy-type=dataplane',
    '--dataplane',
    `${DATAPLANE.replace('labels: {kuma.io/workload: egress-b}\n', '')}  - {type: ZoneIngress, port: 10003}\n  - {type: ZoneEgress, port: 10004}\n  inbound: []\n`,
  ]);
  t.match(warnings, [
    /labels: has no kuma\.io\/workload/,
    /ZoneIngress is not served/,
    /second ZoneEgress/,
    /inbound: is not served/,
  ]);
});

t.test('what is unknown in a resource is a warning', async (t) => {
  const { warnings } = await load(['--dataplane', `${RESOURCE}extra: 1\n`]);
  t.match(warnings, [/^--dataplane:4:1 warning: extra: /]);
});

t.test('the token is read anew for each connection, trimmed', async (t) => {
  const dir = t.testdir({ token: '' });
  const path = `${dir}/token`;
  const [first, second] = [jwt({ n: 1 }), jwt({ n: 2 })];
  writeFileSync(path, `\n ${first}\r\n`);
  const options = await fromDisk(t, path);
  t.equal(await options.token(), first);
  writeFileSync(path, second);
  t.equal(await options.token(), second);
  t.equal(options.tokenPath, path);
  writeFileSync(path, '');
  await t.rejects(options.token(), { message: `token under file ${path} is empty` });
});

async function fromDisk(t: Test, path: string): Promise<ControlPlaneOptions> {
  chmodSync(path, 0o600);
  const command = parseCommand(['run', '--proxy-type=egress', '--name=e', '--dataplane-token-file', path], {});
  if (command.kind !== 'command') throw new Error(JSON.stringify(command));
  const { controlPlane } = command.parsed as RunOptions;
  if (controlPlane === null) throw new Error('no control plane');
  t.ok(controlPlane);
  return loadControlPlane(controlPlane);
}

t.test('an inline token wins over a file, and no path is sent', async (t) => {
  const options = await load(
    ['--name=e', `--dataplane-token= ${jwt()} `, '--dataplane-token-file=/t'],
    from({ '/t': jwt({ n: 2 }) }),
  );
  t.equal(await options.token(), jwt());
  t.notOk('tokenPath' in options);
  t.equal(await (await load(['--name=e'])).token(), null, 'none where there is none');
});

t.test('a fault of a token is reported at the start, with kuma-dp’s text, without the token', async (t) => {
  const prefix =
    /^dataplane token is invalid, in Kubernetes you must mount a serviceAccount token, in universal you must start your proxy with a generated token\.: /;
  const whole = jwt();
  const cases: readonly [file: string | undefined, message: RegExp][] = [
    ['', /token under file \/t is empty$/],
    [' \n', /token under file \/t is empty$/],
    [undefined, /could not read token file \/t: ENOENT$/],
    [
      `${whole.slice(0, 9)}\n${whole.slice(9)}`,
      /Token shouldn't contain line breaks within the token, only at the start or end$/,
    ],
    [
      whole.split('.').slice(0, 2).join('.'),
      /not valid JWT token\. Can't parse it\.: token is malformed: token contains an invalid number of segments$/,
    ],
    [`x${whole}`, /token is malformed: could not JSON decode header$/],
    [jwt('claims'), /token is malformed: could not JSON decode claim$/],
    [jwt({}, { typ: 'JWT' }), /signing method \(alg\) is unspecified$/],
    [`Bearer ${whole}`, /tokenstring should not contain 'bearer '$/],
  ];
  for (const [file, message] of cases) {
    const files = file === undefined ? {} : { '/t': file };
    const error: unknown = await load(['--name=e', '--dataplane-token-file=/t'], from(files)).catch((thrown: unknown) => thrown);
    const text = error instanceof Error ? error.message : 'taken';
    t.match(text, prefix);
    t.match(text, message);
    t.notMatch(text, /eyJ|c2ln/);
  }
});

t.test('the trust is the given file or text, else that of the system', async (t) => {
  t.match(await load(['--name=e', '--ca-cert-file=/ca'], from({ '/ca': 'PEM' })), { caCert: 'PEM', systemTrust: null });
  const env = { KUMA_CONTROL_PLANE_CA_CERT: 'INLINE' };
  t.match(await load(['--name=e', '--ca-cert-file=/ca'], { env }), { caCert: 'INLINE' });
  const options = await load(['--name=e']);
  t.notOk('caCert' in options);
  t.equal(options.systemTrust, 'the system’s');
  await t.rejects(load(['--name=e', '--ca-cert-file=/gone'], from({})), {
    message: 'could not read certificate file /gone: ENOENT',
  });
});

t.test('TLS without verification, and no TLS, is a warning', async (t) => {
  t.match(await load(['--name=e', '--skip-verify']), {
    skipVerify: true,
    warnings: [/^--skip-verify: the certificate .* gets the token$/],
  });
  t.match((await load(['--name=e', '--cp-address=http://cp:5678'])).warnings, [
    /^--cp-address http:\/\/cp:5678: without TLS anyone/,
  ]);
  t.same((await load(['--name=e'])).warnings, []);
});

t.test('facts of the machine go into the options', async (t) => {
  const env = { HOST_IP: '192.0.2.7', KUMA_DATAPLANE_RUNTIME_IPV6_ENABLED: 'true' };
  t.match(await load(['--name=e'], { env, machine: { hasIpv6: () => false } }), {
    ipv6Enabled: false,
    dynamicMetadata: { HOST_IP: '192.0.2.7' },
    systemCaPath: '/etc/ssl/certs/ca-certificates.crt',
    maxHeapSizeBytes: 0,
  });
});
