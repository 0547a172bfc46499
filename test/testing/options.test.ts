// Callers from JavaScript have no compiler: the public functions check their options.
import t from 'tap';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import * as entry from '../../src/testing/public.ts';

const {
  FakeClock,
  createFakeControlPlane,
  createFakeEgress,
  createFakeExternalService,
  createFakeZoneIngress,
  createTestMesh,
  fakeConfiguration,
} = entry;

/** As JavaScript calls it. */
type Loose = (...args: readonly unknown[]) => unknown;
const loose = (fn: unknown): Loose => fn as Loose;

/** An option, and the text of the error. */
type Refused = readonly [given: unknown, message: string | RegExp];

const pair = { cert: 'c', key: 'k' };
const at = { address: '127.0.0.1', port: 1, meshes: [] };

const FUNCTIONS: Readonly<Record<string, { readonly call: Loose; readonly refused: readonly Refused[] }>> = {
  startEgress: {
    call: loose(startEgress),
    refused: [
      [
        { resource: [] },
        /^startEgress: unknown option "resource", did you mean "resources"\? \(allowed: resources, controlPlane, /,
      ],
      [{ resources: [], port: '80' }, 'startEgress: port: "80" is not allowed: a whole number from 0 to 65535 is wanted'],
      [{ resources: [{ path: 'a', txt: '' }] }, /^startEgress: resources\[0\]: unknown option "txt", did you mean "text"\?/],
      [{ resources: 7 }, /^startEgress: resources: 7 is not allowed: a folder, a list of/],
      [{ resources: [], admin: { prot: 1 } }, /^startEgress: admin: unknown option "prot", did you mean "port"\?/],
      [{ resources: [], admin: true }, /^startEgress: admin: true is not allowed/],
      [{ resources: [], readiness: {} }, 'startEgress: readiness: port is missing'],
      [{ resources: [], traffic: { idleTimeout: 5 } }, /^startEgress: traffic: unknown option "idleTimeout".* idleTimeoutMs/],
      [
        { resources: [], traffic: { idleTimeoutMs: '5s' } },
        'startEgress: traffic.idleTimeoutMs: "5s" is not allowed: a number from 0 on is wanted',
      ],
      [{ resources: [], logLevel: 'inof' }, /^startEgress: logLevel "inof": allowed are .*, did you mean "info"\?/],
      [{ resources: [], clock: {} }, /^startEgress: clock: an object is not allowed: a clock/],
      [{ resources: [], concurrency: 0 }, /^startEgress: concurrency: 0 is not allowed/],
      [undefined, 'startEgress: undefined is not allowed: an object with options is wanted'],
      ['resources', /^startEgress: "resources" is not allowed/],
    ],
  },
  createFakeEgress: {
    call: loose(createFakeEgress),
    refused: [
      [{ permision: [] }, /^createFakeEgress: unknown option "permision", did you mean "permissions"\?/],
      [
        { permissions: [{ form: 'web', to: 'api' }] },
        'createFakeEgress: permissions[0]: unknown option "form", did you mean "from"? (allowed: from, to)',
      ],
      [{ permissions: [{ from: 'web' }] }, 'createFakeEgress: permissions[0]: to is missing'],
      [{ permissions: { from: 'web', to: 'api' } }, 'createFakeEgress: permissions: an object is not allowed: a list is wanted'],
      [
        { external: { api: { behavior: 'http' } } },
        /^createFakeEgress: external\.api: unknown option "behavior", did you mean "behaviour"\?/,
      ],
      [
        { external: { api: { behaviour: 'htpp' } } },
        /^createFakeEgress: external\.api\.behaviour "htpp": allowed are .*, did you mean "http"\?/,
      ],
      [
        { external: { api: { tls: { serverNme: 'x' } } } },
        /^createFakeEgress: external\.api\.tls: unknown option "serverNme", did you mean "serverName"\?/,
      ],
      [{ external: { api: { tls: { client: { cert: 'x' } } } } }, 'createFakeEgress: external.api.tls.client: key is missing'],
      [{ external: { api: { to: { host: 'x', port: 1 } } } }, /^createFakeEgress: external\.api\.to: unknown option "host"/],
      [{ external: { api: { kind: 'MeshExternalServices' } } }, /did you mean "MeshExternalService"\?/],
      [{ external: { api: { protocol: 'gprc' } } }, /did you mean "grpc"\?/],
      [{ external: ['api'] }, 'createFakeEgress: external: a list is not allowed: an object is wanted'],
      [
        { meshes: { default: { service: {} } } },
        /^createFakeEgress: meshes\.default: unknown option "service", did you mean "services"\?/,
      ],
      [
        { meshes: { default: { services: { b: { zne: 'west' } } } } },
        /^createFakeEgress: meshes\.default\.services\.b: unknown option "zne"/,
      ],
      [{ meshes: 'default' }, /^createFakeEgress: meshes: "default" is not allowed/],
      [
        { overrides: { api: { adress: 'x', port: 1 } } },
        /^createFakeEgress: overrides\.api: unknown option "adress", did you mean "address"\?/,
      ],
      [{ dns: { 'api.test': '127.0.0.1' } }, 'createFakeEgress: dns.api.test: "127.0.0.1" is not allowed: a list is wanted'],
      [{ traffic: { idleTimeout: 1 } }, /^createFakeEgress: traffic: unknown option "idleTimeout"/],
      [{ admin: { port: 0 } }, 'createFakeEgress: admin: an object is not allowed: true or false is wanted'],
      [{ signal: {} }, /^createFakeEgress: signal: an object is not allowed: an AbortSignal is wanted/],
    ],
  },
  createTestMesh: {
    call: (given) => loose(createTestMesh)('m', given),
    refused: [
      [{ keytype: 'ec' }, /^createTestMesh: unknown option "keytype", did you mean "keyType"\?/],
      [{ keyType: 'ecc' }, /^createTestMesh: keyType "ecc": allowed are .*, did you mean "ec"\?/],
      [{ ca: { cert: 'x' } }, 'createTestMesh: ca: key is missing'],
    ],
  },
  createFakeExternalService: {
    call: loose(createFakeExternalService),
    refused: [
      [{ behaviuor: 'echo' }, /^createFakeExternalService: unknown option "behaviuor", did you mean "behaviour"\?/],
      [{ behaviour: 'ecko' }, /^createFakeExternalService: behaviour "ecko": allowed are .*, did you mean "echo"\?/],
      [
        { tls: { ...pair, clientCA: 'x' } },
        /^createFakeExternalService: tls: unknown option "clientCA", did you mean "clientCa"\?/,
      ],
      [{ tls: true }, /^createFakeExternalService: tls: true is not allowed/],
    ],
  },
  createFakeZoneIngress: {
    call: loose(createFakeZoneIngress),
    refused: [
      [{ ...pair, trus: 'x' }, /^createFakeZoneIngress: unknown option "trus", did you mean "trust"\?/],
      [{ ...pair }, 'createFakeZoneIngress: trust is missing'],
    ],
  },
  createFakeControlPlane: {
    call: loose(createFakeControlPlane),
    refused: [
      [{ versoin: '2.14' }, /^createFakeControlPlane: unknown option "versoin", did you mean "version"\?/],
      [{ version: 2.14 }, /^createFakeControlPlane: version 2\.14: allowed are/],
      [{ resources: { cluster: [] } }, /^createFakeControlPlane: resources: unknown option "cluster", did you mean "clusters"\?/],
      [{ authentication: 'off' }, /^createFakeControlPlane: authentication "off": allowed are/],
    ],
  },
  fakeConfiguration: {
    call: loose(fakeConfiguration),
    refused: [
      [{ address: 'x', port: 1 }, 'fakeConfiguration: meshes is missing'],
      [{ ...at, extrenal: {} }, /^fakeConfiguration: unknown option "extrenal", did you mean "external"\?/],
      [
        { ...at, external: { a: { address: 'x', port: 1, alow: [] } } },
        /^fakeConfiguration: external\.a: unknown option "alow", did you mean "allow"\?/,
      ],
      [
        { ...at, meshExternal: { a: { port: 1, endpoints: [{ address: 'x' }] } } },
        'fakeConfiguration: meshExternal.a.endpoints[0]: port is missing',
      ],
      [
        { ...at, passthrough: { a: { remotes: [{ address: 'x', port: 1, zones: 'x' }] } } },
        /^fakeConfiguration: passthrough\.a\.remotes\[0\]: unknown option "zones", did you mean "zone"\?/,
      ],
    ],
  },
  FakeClock: {
    call: (given) => new FakeClock(given as { wall: number }),
    refused: [[{ wal: 1 }, /^FakeClock: unknown option "wal", did you mean "wall"\?/]],
  },
};

/** Returns the error of a function, also of one that rejects. */
async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return null;
}

async function refuses(t: Test, call: () => unknown, message: string | RegExp): Promise<void> {
  const error = await errorOf(call);
  const name = String(message);
  t.ok(error instanceof TypeError, `a TypeError: ${name}`);
  t.match(error instanceof Error ? error.message : '', message, name);
  if (typeof message === 'string') t.equal((error as Error | null)?.message, message);
}

t.test('every function of the two entries is looked at here', async (t) => {
  const functions = Object.entries(entry).filter(([, value]) => typeof value === 'function');
  // The fakes make these errors, not their users.
  const errors = ['ConfigError', 'ConnectionRefused'];
  t.same(
    functions
      .map(([name]) => name)
      .filter((name) => !errors.includes(name))
      .sort(),
    Object.keys(FUNCTIONS)
      .filter((name) => name !== 'startEgress')
      .sort(),
  );
});

for (const [name, { call, refused }] of Object.entries(FUNCTIONS)) {
  t.test(`${name} refuses what it does not know, and what is of another kind`, async (t) => {
    for (const [given, message] of refused) await refuses(t, () => call(given), message);
  });
}

t.test('so does everything that a fake egress offers', async (t) => {
  await using egress = await createFakeEgress({ external: { api: {} }, permissions: [{ from: 'web', to: 'api' }] });
  const client = egress.client({ service: 'web' });
  const mesh = egress.mesh();
  const cases: readonly (readonly [() => unknown, string | RegExp])[] = [
    [() => loose(egress.client.bind(egress))({ servce: 'web' }), /^client: unknown option "servce", did you mean "service"\?/],
    [() => loose(egress.client.bind(egress))({}), 'client: service is missing'],
    [
      () => loose(egress.client.bind(egress))({ service: 'web', certificate: 'expird' }),
      /^client: certificate "expird": allowed are .*, did you mean "expired"\?/,
    ],
    [
      () => loose(egress.client.bind(egress))({ service: 'web', certificate: { crt: 'x', key: 'y' } }),
      /^client: certificate: unknown option "crt", did you mean "cert"\?/,
    ],
    [
      () => loose(egress.client.bind(egress))({ service: 'web', tags: { version: 1 } }),
      'client: tags.version: 1 is not allowed: a text is wanted',
    ],
    [() => client.connect({ sin: 'x' } as never), /^connect: unknown option "sin", did you mean "sni"\?/],
    [() => client.connect(undefined as never), /^connect: undefined is not allowed/],
    [() => client.sni(7 as never), /^connect: 7 is not allowed/],
    [
      () => loose(egress.expectRefused.bind(egress))({ reason: 'denyed' }),
      /^expectRefused: reason "denyed": allowed are .*, did you mean "denied"\?/,
    ],
    [() => loose(egress.expectRefused.bind(egress))({ reason: 'closed' }), /^expectRefused: reason "closed": allowed are/],
    [
      () => loose(egress.expectRefused.bind(egress))({ reasn: 'denied' }),
      /^expectRefused: unknown option "reasn", did you mean "reason"\?/,
    ],
    [
      () => loose(egress.expectRefused.bind(egress))({ reason: 'denied' }, { timeuot: 1 }),
      /^expectRefused: unknown option "timeuot", did you mean "timeout"\?/,
    ],
    [() => loose(egress.expectRefused.bind(egress))(), /^expectRefused: undefined is not allowed/],
    [() => loose(egress.expectSession.bind(egress))({ reason: 'denied' }), /^expectSession: reason "denied": allowed are/],
    [
      () => loose(egress.expectSession.bind(egress))({ destinaton: 'api' }),
      /^expectSession: unknown option "destinaton", did you mean "destination"\?/,
    ],
    [
      () => loose(egress.expectSession.bind(egress))({ bytesUp: '4' }),
      'expectSession: bytesUp: a number, a pattern or a function is wanted',
    ],
    [() => loose(egress.expectSession.bind(egress))({ from: 4 }), /^expectSession: from: 4 is not allowed/],
    [
      () => loose(egress.sessions.waitFor.bind(egress.sessions))({ raeson: 'denied' }),
      /^waitFor: unknown option "raeson", did you mean "reason"\?/,
    ],
    [() => loose(egress.refusals.waitFor.bind(egress.refusals))({ reason: 'denyed' }), /^waitFor: reason "denyed": allowed are/],
    [
      () => loose(egress.fault.bind(egress))('api', { type: 'latncy', latency: 5 }),
      /^fault "latncy": allowed are .*, did you mean "latency"\?/,
    ],
    [
      () => loose(egress.fault.bind(egress))('api', { type: 'latency', latncy: 5 }),
      /^fault latency has no latncy, did you mean "latency"\?/,
    ],
    [() => loose(egress.fault.bind(egress))('api'), /^fault: a toxic is wanted/],
    [() => loose(egress.fault.bind(egress))('apl', { type: 'refuse' }), /^there is no destination "apl"/],
    [() => loose(egress.apply.bind(egress))({ externals: {} }), /^apply: unknown option "externals", did you mean "external"\?/],
    [
      () => loose(egress.apply.bind(egress))({ permissions: [{ from: 'web', too: 'api' }] }),
      /^apply: permissions\[0\]: unknown option "too", did you mean "to"\?/,
    ],
    [() => loose(egress.explain.bind(egress))({ snl: 'x' }), /^explain: unknown option "snl", did you mean "sni"\?/],
    [() => loose(egress.explain.bind(egress))({ sni: 'x', form: [] }), /^explain: unknown option "form", did you mean "from"\?/],
    [() => loose(egress.drain.bind(egress))('1s'), 'drain: drainTimeMs: "1s" is not allowed: a number from 0 on is wanted'],
    [() => loose(egress.mesh.bind(egress))('defualt'), /^there is no mesh "defualt": there are default/],
    [() => loose(egress.rotate.bind(egress))('defualt'), /^there is no mesh "defualt": there are default/],
    [
      () => loose(egress.events.on.bind(egress.events))('sesion', () => undefined),
      /^events\.on "sesion": allowed are .*, did you mean "session"\?/,
    ],
    [() => loose(mesh.client.bind(mesh))('web', { tag: {} }), /^client: unknown option "tag", did you mean "tags"\?/],
    [() => loose(mesh.badClient.bind(mesh))('expird'), /^badClient: kind "expird": allowed are .*, did you mean "expired"\?/],
    [() => loose(mesh.issue.bind(mesh))({ uri: [] }), /^issue: unknown option "uri", did you mean "uris"\?/],
  ];
  for (const [call, message] of cases) await refuses(t, call, message);
  // A refused call leaves no expectation and no listener.
  await egress.verify();
  const controlPlane = await createFakeControlPlane();
  await refuses(
    t,
    () => loose(controlPlane.set.bind(controlPlane))({ listner: [] }),
    /^set: unknown option "listner", did you mean "listeners"\?/,
  );
  await refuses(
    t,
    () => loose(controlPlane.waitFor.bind(controlPlane))({ type: 'listener' }),
    /^waitFor: fits: an object is not allowed: a function is wanted/,
  );
  await controlPlane.close();
});

t.test('what is undefined is absent, and a key in a wrong place is not printed', async (t) => {
  await using egress = await createFakeEgress({ external: undefined, permissions: undefined, zone: undefined } as never);
  t.ok(egress.port > 0);
  const key = `-----BEGIN PRIVATE KEY-----\n${'A'.repeat(200)}`;
  const error = await errorOf(() => loose(createFakeEgress)({ external: { api: { protocol: key } } }));
  t.match(error, { message: /^createFakeEgress: external\.api\.protocol / });
  t.notMatch((error as Error).message, /AAAA/);
});
