// The zone egress for tests of other projects: real sockets, real mutual TLS, the engine of real
// traffic.
import { AssertionError } from 'node:assert';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import {
  CHANNELS,
  ConfigError,
  ConnectionRefused,
  FakeClock,
  createFakeEgress,
  createTestMesh,
} from '../../src/testing/public.ts';
import type { FakeEgress, FakeEgressOptions } from '../../src/testing/public.ts';
import { activeResources, ask, gone, leftovers } from '../egress/zone.ts';

/** A small zone, closed at the end of the test, which fails when something is left. */
async function start(t: Test, options: FakeEgressOptions = {}): Promise<FakeEgress> {
  const before = activeResources();
  const egress = await createFakeEgress({
    meshes: { default: { services: { backend: {} } } },
    external: { httpbin: {}, secure: { tls: true }, picky: { tls: { client: true } } },
    permissions: [{ from: 'web', to: '*' }],
    ...options,
  });
  const dispose = async (): Promise<void> => {
    await egress.close();
    t.strictSame(await leftovers(before), [], 'nothing is left');
  };
  return Object.defineProperty(egress, Symbol.asyncDispose, { value: dispose });
}

/** Returns the AssertionError of a promise. */
async function failure(promise: Promise<unknown>): Promise<AssertionError> {
  const error: unknown = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (error instanceof AssertionError) return error;
  throw error;
}

t.test(
  'what is declared is there: another zone, a plain service, one with TLS, one that wants a client certificate',
  async (t) => {
    await using egress = await start(t);
    const web = egress.client({ service: 'web' });
    for (const name of ['backend', 'httpbin', 'secure', 'picky']) {
      const socket = await web.connect(name);
      t.equal(await ask(socket, `ping ${name}`), `ping ${name}`, name);
      socket.end();
      const session = await egress.expectSession({ destination: name, from: 'web' });
      t.match(session, { reason: 'closed', mode: name === 'backend' ? 'passthrough' : 'terminate', refused: false, note: '' });
    }
    t.equal(egress.externalService('picky')?.connections(), 1);
    t.equal(egress.zoneIngress('backend')?.connections.length, 1);
    await egress.verify();
  },
);

t.test('what is not declared is refused and recorded, with what would have matched', async (t) => {
  await using egress = await start(t);
  const error: unknown = await egress
    .client({ service: 'web' })
    .connect('htpbin')
    .catch((reason: unknown) => reason);
  t.type(error, ConnectionRefused);
  t.match(error, { message: /^connect web -> htpbin\{mesh=default\}: refused by the egress: no-route: / });
  const refusal = await egress.expectRefused({ sni: /^htpbin/, reason: 'no-route', from: 'web' });
  t.match(refusal.explain(), { outcome: 'refused', endsAt: 'route', nearest: [{ name: 'httpbin{mesh=default}' }] });
  t.match(String(refusal.explain()), /near: "httpbin\{mesh=default\}"/);
  t.equal(egress.refusals.length, 1);
  t.equal(egress.refusals.at(0), egress.sessions.at(-1));
});

t.test('without a permission every client is refused: the socket ends, and the refusal says what to change', async (t) => {
  await using egress = await start(t);
  const socket = await egress.client({ service: 'batch' }).connect('httpbin');
  await gone(socket);
  const refusal = await egress.expectRefused({ from: 'batch', reason: 'denied' });
  t.match(refusal.explain().advice, { text: /TrafficPermission/ });
  t.match(egress.explain({ sni: refusal.sni, from: ['spiffe://default/web'] }), { outcome: 'allowed' });
});

t.test('bad certificates on purpose are refused, each for its own reason', async (t) => {
  await using egress = await start(t, {
    meshes: ['default', 'other'],
    external: { httpbin: { mesh: 'default' } },
    permissions: [{ from: 'web', to: 'httpbin' }],
  });
  for (const [certificate, reason] of [
    ['expired', 'client-not-trusted'],
    ['wrong-ca', 'client-not-trusted'],
    ['self-signed', 'client-not-trusted'],
    ['wrong-mesh', 'wrong-mesh'],
  ] as const) {
    const client = egress.client({ mesh: 'default', service: 'web', certificate });
    const socket = await client.connect('httpbin').catch(() => null);
    if (socket !== null) await gone(socket);
    t.equal((await egress.expectRefused({ reason })).reason, reason, certificate);
  }
  const { certificate } = egress.client({ mesh: 'other', service: 'web' });
  const socket = await egress.client({ mesh: 'default', service: 'web', certificate }).connect('httpbin');
  await gone(socket);
  await egress.expectRefused({ reason: 'wrong-mesh', from: 'web' });
  await egress.verify();
});

t.test('an address that is not on loopback is not dialled: the refusal says how to allow it', async (t) => {
  await using egress = await start(t, { external: { far: { to: '192.0.2.1:443' }, near: {} } });
  await gone(await egress.client({ service: 'web' }).connect('far'));
  const refusal = await egress.expectRefused({ destination: 'far', reason: 'no-endpoint' });
  t.equal(refusal.note, '192.0.2.1:443 is not on loopback: give overrides, or allowOutside');
  t.match(String(refusal.explain()), /fake: 192\.0\.2\.1:443 is not on loopback/);
});

t.test(
  'resources of a real zone: a CA where there is none, other addresses where it is told, and the files in explain',
  async (t) => {
    const before = activeResources();
    const dir = mkdtempSync(join(tmpdir(), 'zone-egress-resources-'));
    t.teardown(() => rmSync(dir, { recursive: true, force: true }));
    writeFileSync(
      join(dir, 'zone.yaml'),
      `type: Mesh
name: shop
mtls: { enabledBackend: vault-1, backends: [{ name: vault-1, type: builtin }] }
---
type: ZoneEgress
name: real
zone: north
networking: { address: 10.0.0.1, port: 10002 }
---
type: ExternalService
mesh: shop
name: api
tags: { kuma.io/service: api }
networking: { address: 'api.partner.example:443' }
---
type: TrafficPermission
mesh: shop
name: till-out
sources: [{ match: { kuma.io/service: till } }]
destinations: [{ match: { kuma.io/service: api } }]
`,
    );
    const server = createServer((socket: Socket) => void socket.on('error', () => {}).end('hello from the override\n'));
    t.teardown(() => server.close());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    {
      await using egress = await createFakeEgress({ resources: dir, overrides: { api: `127.0.0.1:${port}` } });
      t.equal(egress.snapshot().zone, 'north');
      const socket = await egress.client({ service: 'till' }).connect('api');
      const [hello] = (await once(socket, 'data')) as [Buffer];
      t.equal(String(hello), 'hello from the override\n');
      await gone(socket);
      await egress.expectSession({ destination: 'api' });
      await gone(await egress.client({ service: 'batch' }).connect('api'));
      const refusal = await egress.expectRefused({ reason: 'denied' });
      t.match(refusal.explain().route?.place, { file: join(dir, 'zone.yaml'), line: 10 });
      await egress.verify();
    }
    await t.rejects(createFakeEgress({ resources: dir, overrides: { apo: `127.0.0.1:${port}` } }), {
      message: /override "apo" fits no service: there are shop\/api/,
    });
    server.close();
    t.strictSame(await leftovers(before), []);
  },
);

t.test('names are resolved as the test says: an address, or no such name', async (t) => {
  const server = createServer((socket: Socket) => void socket.on('error', () => {}).end('named\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  await using egress = await start(t, {
    external: { named: { to: `api.test:${port}` }, gone: { to: 'gone.test:443' }, unknown: { to: 'unknown.test:443' } },
    dns: { 'api.test': ['127.0.0.1'], 'gone.test': [] },
  });
  const web = egress.client({ service: 'web' });
  const [hello] = (await once(await web.connect('named'), 'data')) as [Buffer];
  t.equal(String(hello), 'named\n');
  await gone(await web.connect('gone'));
  await egress.expectRefused({ destination: 'gone', reason: 'dns-failed' });
  await gone(await web.connect('unknown'));
  await egress.expectRefused({ destination: 'unknown', reason: 'no-endpoint', note: /allowOutside/ });
});

t.test('apply resolves when the change is live; a bad one rejects with every problem and changes nothing', async (t) => {
  await using egress = await start(t);
  const batch = egress.client({ service: 'batch' });
  await egress.apply({ permissions: [{ from: 'batch', to: 'httpbin' }] });
  t.equal(await ask(await batch.connect('httpbin'), 'now'), 'now');
  const { version } = egress.snapshot();
  const error: unknown = await egress
    .apply({ resources: 'type: ExternalService\nname: bad\nmesh: default\n' })
    .catch((reason: unknown) => reason);
  t.type(error, ConfigError);
  t.match(error, { message: /resources\.yaml:\d+/ });
  t.equal(egress.snapshot().version, version);
  await egress.apply({ external: { httpbin: {}, later: {} }, permissions: [{ from: '*', to: 'later' }] });
  t.equal(await ask(await batch.connect('later'), 'too'), 'too');
});

t.test('rotate brings a new CA: open sessions go on, clients get new certificates, old ones are refused', async (t) => {
  await using egress = await start(t);
  const web = egress.client({ service: 'web' });
  const old = web.certificate;
  const sockets = await Promise.all(['httpbin', 'backend'].map((name) => web.connect(name)));
  await egress.rotate('default');
  for (const socket of sockets) t.equal(await ask(socket, 'still'), 'still');
  for (const name of ['httpbin', 'backend']) t.equal(await ask(await web.connect(name), 'new'), 'new', name);
  await t.rejects(
    (async () => {
      const socket = await egress.client({ service: 'web', certificate: old }).connect('httpbin');
      await gone(socket);
      throw new Error('it ended');
    })(),
  );
  await egress.expectRefused({ reason: 'client-not-trusted' });
});

t.test('the dispatcher sends fetch through the mesh', async (t) => {
  await using egress = await start(t, { external: { httpbin: { behaviour: 'http', protocol: 'http' } } });
  const dispatcher = await egress.client({ service: 'web' }).dispatcher();
  const response = await fetch('http://httpbin/get?x=1', { dispatcher });
  t.match(await response.json(), { method: 'GET', path: '/get?x=1', headers: { host: 'httpbin' } });
});

t.test('certificate files are there for a child process, and gone after close', async (t) => {
  const egress = await createFakeEgress({ external: { httpbin: {} } });
  const web = egress.client({ service: 'web' });
  const { cert, key, ca } = web.files();
  t.equal(readFileSync(cert, 'utf8'), web.certificate.cert);
  t.equal(readFileSync(key, 'utf8'), web.certificate.key);
  t.equal(readFileSync(ca, 'utf8'), egress.mesh().ca.cert);
  await egress.close();
  for (const file of [cert, key, ca]) t.notOk(existsSync(file), file);
});

t.test('a failed expectation says what came nearest, and how it differs', async (t) => {
  await using egress = await start(t);
  await egress
    .client({ service: 'web' })
    .connect('bakcend')
    .catch(() => undefined);
  const error = await failure(egress.expectRefused({ sni: 'bakcend{mesh=default}', reason: 'denied' }, { timeout: 20 }));
  t.match(
    error.message,
    /^expected a refusal with sni "bakcend\{mesh=default\}", reason "denied": none in 20 ms\nnear: web -> bakcend/,
  );
  t.match(error.message, /reason: wanted "denied", was "no-route"/);
  t.match(error.message, /near: "backend\{mesh=default\}"/);
  t.strictSame(error.actual, { sni: 'bakcend{mesh=default}', reason: 'no-route' });
  t.strictSame(error.expected, { sni: 'bakcend{mesh=default}', reason: 'denied' });
});

t.test('verify tells unexpected refusals, unmet expectations, and open sockets by name', async (t) => {
  await using egress = await start(t);
  const web = egress.client({ service: 'web' });
  await egress.verify();
  const socket = await web.connect('httpbin');
  await web.connect('nowhere').catch(() => undefined);
  void egress.expectSession({ destination: 'secure' }, { timeout: 1 });
  await egress.sessions.waitFor({ refused: true });
  await t.rejects(egress.sessions.waitFor({ destination: 'secure' }, { timeout: 5 }), {
    message: /session with destination "secure": nothing after 5 ms/,
  });
  const error = await failure(egress.verify());
  t.match(error.message, /unexpected: web -> nowhere\{mesh=default\}: no-route/);
  t.match(error.message, /unmet: a session with destination "secure"/);
  t.match(error.message, /open: socket of web -> httpbin\{mesh=default\} \(127\.0\.0\.1:\d+\)/);
  t.equal((error.actual as string[]).length, 3);
  socket.destroy();
});

t.test('two expectations alike need two sessions', async (t) => {
  await using egress = await start(t);
  const web = egress.client({ service: 'web' });
  await web.connect('nowhere').catch(() => undefined);
  await egress.expectRefused({ reason: 'no-route' });
  t.match(
    (await failure(egress.expectRefused({ reason: 'no-route' }, { timeout: 10 }))).message,
    /another expectation has it already/,
  );
});

t.test('sessions can be followed, listened to, and subscribed to', async (t) => {
  await using egress = await start(t);
  const seen: string[] = [];
  const onMessage = (message: unknown): void => {
    const { egress: from, session } = message as { egress: FakeEgress; session: { reason: string } };
    if (from === egress) seen.push(`channel ${session.reason}`);
  };
  subscribe(CHANNELS.refusal, onMessage);
  egress.events.on('refusal', ({ reason }) => void seen.push(`event ${reason}`));
  const followed = (async () => {
    const reasons: string[] = [];
    for await (const { reason } of egress.sessions) reasons.push(reason);
    return reasons;
  })();
  const web = egress.client({ service: 'web' });
  await web.connect('nowhere').catch(() => undefined);
  (await web.connect('httpbin')).end();
  await egress.sessions.waitFor(({ reason }) => reason === 'closed');
  await egress.close();
  unsubscribe(CHANNELS.refusal, onMessage);
  t.strictSame(await followed, ['no-route', 'closed']);
  t.strictSame(seen, ['channel no-route', 'event no-route']);
  t.strictSame(
    [...egress.sessions].map(({ reason }) => reason),
    ['no-route', 'closed'],
    'they can be read after the end',
  );
});

for (const [when, wall] of [
  ['in the past', Date.UTC(2026, 0, 1)],
  ['from now on', Date.now()],
] as const) {
  t.test(`an injected clock, ${when}, moves idle time-outs, certificates and drains, without sleeping`, async (t) => {
    const clock = new FakeClock({ wall });
    await using egress = await start(t, { clock, traffic: { idleTimeoutMs: 60_000 } });
    const web = egress.client({ service: 'web' });
    const idle = await web.connect('httpbin');
    t.equal(await ask(idle, 'ping'), 'ping');
    clock.advance(200_000);
    await gone(idle);
    await egress.expectSession({ reason: 'idle-timeout' });
    // The egress renews at 80 % of a day, in another turn of the loop: the old certificate serves
    // until the new one is there.
    const validTo = (idle: TLSSocket): string => idle.getPeerCertificate().valid_to;
    const first = validTo(await web.connect('httpbin'));
    clock.advance(20 * 3_600_000);
    while (validTo(await web.connect('httpbin')) === first) t.ok(egress.open() < 1_000, 'it is renewed');
    clock.advance(15 * 3_600_000);
    const later = await web.connect('httpbin');
    t.equal(await ask(later, 'a day later'), 'a day later', 'the certificate of the egress was renewed');
    await clock.advanceUntil(egress.drain(5_000), 100);
    await egress.expectSession({ reason: 'drained' });
  });
}

t.test('your own mesh may be shared, and an invalid one is an error', async (t) => {
  const mesh = await createTestMesh('default');
  await using egress = await start(t, { meshes: { default: { mesh } }, external: { httpbin: {} } });
  t.equal(egress.mesh('default'), mesh);
  for (const [options, message] of [
    [{ permissions: [{ from: 'a/b', to: 'x' }] }, /permissions\[0\]\.from "a\/b"/],
    [{ meshes: ['a', 'b'], external: { x: {} } }, /which mesh\? There are a, b/],
    [{ meshes: ['a'], external: { x: { mesh: 'b' } } }, /there is no mesh "b": there are a/],
    [{ external: { x: { to: 'nowhere' } } }, /address "nowhere"/],
    [{ external: { x: { kind: 'MeshExternalService' } }, permissions: [{ from: '*', to: 'x' }] }, /open to its mesh/],
    [{ resources: 'no-such-folder' }, /no such folder/],
  ] as const)
    await t.rejects(createFakeEgress(options), { message }, String(message));
});

t.test('a MeshExternalService is open to its mesh', async (t) => {
  await using egress = await start(t, {
    external: { ledger: { kind: 'MeshExternalService' }, vault: { kind: 'MeshExternalService', tls: { client: true } } },
    permissions: [],
  });
  const web = egress.client({ service: 'web' });
  for (const name of ['ledger', 'vault']) t.equal(await ask(await web.connect(name), name), name);
});

t.test(
  'a mesh of the resources that brings its CA keeps it: clients are of that CA, and it is not for the fake to rotate',
  async (t) => {
    const mesh = await createTestMesh('shop');
    await using egress = await start(t, {
      meshes: [],
      resources: mesh.resources,
      external: { httpbin: {} },
      permissions: [{ from: 'till', to: 'httpbin' }],
    });
    t.equal(egress.mesh('shop').ca.cert, mesh.ca.cert);
    t.equal(await ask(await egress.client({ service: 'till' }).connect('httpbin'), 'mine'), 'mine');
    const certificate = mesh.client('till');
    t.equal(await ask(await egress.client({ service: 'till', certificate }).connect('httpbin'), 'too'), 'too');
    await t.rejects(egress.rotate('shop'), { message: /its CA is among the resources/ });
  },
);

t.test('a client accepts only an egress of its mesh', async (t) => {
  await using egress = await start(t);
  const other = await createTestMesh('default');
  egress.zoneIngress('backend')?.renew({ ...other.client('backend'), trust: egress.mesh().ca.cert });
  await t.rejects(egress.client({ service: 'web' }).connect('backend'), { message: /is not of the CA of mesh default/ });
});
