import { once } from 'node:events';
import { connect } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createFakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { freePort } from '../free-ports.ts';
import { realHello } from './real-hello.ts';
import { dialling } from './dialling.ts';
import { FAR_MS, until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

/** Addresses that a name must not resolve to, and the reasons why they could be mistaken. */
const INSIDE = {
  loopback: '127.0.0.1',
  metadata: '169.254.169.254',
  loopback6: '::1',
  anywhere: '0.0.0.0',
  group: '224.0.0.1',
  mapped: '::ffff:127.0.0.1',
  nat64: '64:ff9b::7f00:1',
  broadcast: '255.255.255.255',
};

const SELF = { literal: '127.0.0.1', any: '0.0.0.0', name: 'self.test', anyname: 'anywhere.test', mapped: '::ffff:127.0.0.1' };

/** Ports without a listener. */
const CLOSED = await Promise.all(Array.from({ length: 9 }, freePort));

const BLOCKED_LISTENER = `
const { parentPort, workerData } = require('node:worker_threads');
const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  setImmediate(() => Atomics.wait(new Int32Array(workerData), 0, 0));
});
`;

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('several endpoints get the shares that their weights say', async (t) => {
      await using zone = await startZone(t, { concurrency });
      const destination = { ...zone.mesh.client('spread'), trust: zone.mesh.ca.cert };
      await using light = await createFakeZoneIngress(destination);
      await using heavy = await createFakeZoneIngress(destination);
      await load(zone, [ingressOf('light', light.port, 1), ingressOf('heavy', heavy.port, 3)]);
      const sessions = 60;
      for (let i = 0; i < sessions; i += 10) {
        await Promise.all(Array.from({ length: 10 }, () => pingOnce(zone, 'spread{mesh=default}')));
      }
      t.equal(light.connections.length + heavy.connections.length, sessions, 'every session has one connection');
      // Each data side has its own turns: even to within one session per side.
      t.ok(Math.abs(light.connections.length - sessions / 4) <= 3, `1 of 4 goes to the light one: ${light.connections.length}`);
    });

    t.test(
      'an endpoint that refuses is followed by the next, and the record names the one that carried the session',
      async (t) => {
        await using zone = await startZone(t, {
          concurrency,
          resources: ({ tcp }) => mes('next', [...closed(2), { ...ip(tcp), priority: 2 }]),
        });
        await pingOnce(zone, sni('next'));
        t.match(await recordOf(zone, 'next'), { reason: 'closed', attempts: 3, endpoint: `127.0.0.1:${zone.ports.tcp}` });
      },
    );

    t.test('an endpoint whose TLS cannot be trusted is followed by the next too', async (t) => {
      await using zone = await startZone(t, { concurrency });
      await using impostor = await createFakeExternalService({
        tls: zone.otherMesh.issue({ uris: [], dns: ['api.partner.test'] }),
      });
      const tls = `tls: { enabled: true, verification: { serverName: api.partner.test, caCert: ${inline(zone.external.ca.cert)} } }`;
      await using honest = await createFakeExternalService({
        tls: zone.external.issue({ uris: [], dns: ['api.partner.test'] }),
      });
      await load(zone, [mes('trust', [ip(impostor.port), { ...ip(honest.port), priority: 1 }], tls)]);
      await pingOnce(zone, sni('trust'));
      t.match(await recordOf(zone, 'trust'), { reason: 'closed', attempts: 2, endpoint: `127.0.0.1:${honest.port}` });
    });

    t.test('when every endpoint refuses, the session ends as connect-refused after at most five attempts', async (t) => {
      await using zone = await startZone(t, {
        concurrency,
        resources: () => [mes('two', closed(2)), mes('many', closed(9))].join('---\n'),
      });
      await refusedOnce(zone, sni('two'));
      t.match(await recordOf(zone, 'two'), {
        reason: 'connect-refused',
        attempts: 2,
        detail: /127\.0\.0\.1:\d+: .*ECONNREFUSED/,
      });
      await refusedOnce(zone, sni('many'));
      t.match(await recordOf(zone, 'many'), { reason: 'connect-refused', attempts: 5 });
    });

    t.test('all of it has one deadline: a session that is still connecting at its end is a connect-timeout', async (t) => {
      await using hole = await blackhole();
      await using zone = await startZone(t, {
        concurrency,
        traffic: { setupTimeoutMs: 3_000 },
        resources: () => mes('dark', [ip(hole.port)]),
      });
      await refusedOnce(zone, sni('dark'));
      t.match(await recordOf(zone, 'dark'), { reason: 'connect-timeout', detail: 'connect dark: not done 3000 ms after accept' });
    });

    t.test('a client that goes away while the endpoint is being connected ends the attempt', async (t) => {
      await using hole = await blackhole();
      await using zone = await startZone(t, {
        concurrency,
        resources: () => [mes('dark', [ip(hole.port)]), ingressOf('dark', hole.port, 1)].join('---\n'),
      });
      // In TLS 1.2 the server is done before the client is.
      const below = zone.raw();
      await zone.connect(sni('dark'), zone.mesh.client('frontend'), { socket: below, maxVersion: 'TLSv1.2' });
      below.resetAndDestroy();
      t.match(await recordOf(zone, 'dark'), { reason: 'client-gone' });
      const passed = zone.raw();
      await once(passed, 'connect');
      const before = dialling(hole.port);
      passed.write(await realHello('spread{mesh=default}'));
      await until('the attempt', () => dialling(hole.port) > before);
      passed.resetAndDestroy();
      const record = await recordOf(zone, 'spread');
      t.match(record, { reason: 'client-gone', attempts: 1 });
      t.equal(record.detail.includes('nothing after'), false, `and does not wait for the endpoint: ${record.detail}`);
    });

    t.test('a name is looked up once, however many sessions ask, and its address is dialled', async (t) => {
      const asked: string[] = [];
      const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
      await using zone = await startZone(t, {
        concurrency,
        traffic: { allowedResolved: ['127.0.0.0/8'] },
        async lookup(name) {
          asked.push(name);
          await mayAnswer;
          return ['127.0.0.1'];
        },
        resources: ({ tcp }) => mes('named', [{ address: 'named.test', port: tcp }]),
      });
      const sockets = await Promise.all(
        Array.from({ length: 30 }, () => zone.connect(sni('named'), zone.mesh.client('frontend'))),
      );
      t.equal(zone.tcp.connections(), 0, 'nothing is dialled before the answer');
      answer();
      t.strictSame(await Promise.all(sockets.map(ping)), Array(30).fill('ping'));
      t.strictSame(asked, ['named.test']);
      await finish(sockets);
      t.match(await recordOf(zone, 'named'), { reason: 'closed', endpoint: `127.0.0.1:${zone.ports.tcp}` });
    });

    t.test('a name that has never been resolved is dns-failed, and is served as soon as it resolves', async (t) => {
      let addresses: string[] | null = null;
      await using zone = await startZone(t, {
        concurrency,
        traffic: { allowedResolved: ['127.0.0.1'] },
        async lookup() {
          if (addresses === null) throw Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENOTFOUND' });
          return addresses;
        },
        resources: ({ tcp }) => mes('late', [{ address: 'late.test', port: tcp }]),
      });
      await refusedOnce(zone, sni('late'));
      t.match(await recordOf(zone, 'late'), {
        reason: 'dns-failed',
        detail: 'resolve late.test: no such name (ENOTFOUND)',
        attempts: 0,
        endpoint: '',
      });
      addresses = ['127.0.0.1'];
      // Removing the name and adding it again causes a new look-up.
      await load(zone, [mes('other', closed(1))], 'zone');
      await load(zone, [mes('again', [{ address: 'late2.test', port: zone.ports.tcp }])], 'zone');
      await pingOnce(zone, sni('again'));
      t.equal((await recordOf(zone, 'again')).reason, 'closed');
    });

    t.test('no name may lead inside the machine, to its neighbours on the link or to a multicast address', async (t) => {
      const answers = new Map<string, string>(Object.entries(INSIDE).map(([name, address]) => [`${name}.test`, address]));
      await using zone = await startZone(t, {
        concurrency,
        // An egress that uses v6 addresses of names too.
        name: 'six',
        bind: '127.0.0.1',
        lookup: async (name) => [answers.get(name) ?? '192.0.2.1'],
        resources: ({ tcp }) =>
          [
            'type: ZoneEgress\nname: six\nzone: east\nnetworking: { address: "::1", port: 10002, admin: { port: 9901 } }\n',
            ...Object.keys(INSIDE).map((name) => mes(name, [{ address: `${name}.test`, port: tcp }])),
            mes('literal', [ip(tcp)]),
          ].join('---\n'),
      });
      for (const [name, address] of Object.entries(INSIDE)) {
        await refusedOnce(zone, sni(name));
        t.match(await recordOf(zone, name), {
          reason: 'forbidden-address',
          detail: `${name}.test resolved to ${address}, which no name may lead to`,
          attempts: 0,
          endpoint: '',
        });
      }
      await pingOnce(zone, sni('literal'));
      t.equal((await recordOf(zone, 'literal')).reason, 'closed', 'a literal is the word of the operator');
      t.equal(zone.tcp.connections(), 1, 'nobody else was dialled');
    });

    t.test('a spelling of an address is no name: it is never looked up', async (t) => {
      const asked: string[] = [];
      await using zone = await startZone(t, {
        concurrency,
        async lookup(name) {
          asked.push(name);
          return ['127.0.0.1'];
        },
        traffic: { allowedResolved: ['127.0.0.0/8'] },
      });
      const spellings = ['127.1', '0x7f000001', '2130706433', '0177.0.0.1'];
      for (const [i, address] of spellings.entries()) {
        zone.write('spelled.yaml', mes(`spelled${i}`, [{ address, port: zone.ports.tcp }]));
        if ((await zone.egress.reload()).kind === 'rejected') continue;
        await refusedOnce(zone, sni(`spelled${i}`));
        t.match(await recordOf(zone, `spelled${i}`), { reason: 'misconfigured', attempts: 0 }, address);
      }
      t.strictSame(asked, []);
      t.equal(zone.tcp.connections(), 0);
    });

    t.test('allowedResolved opens one block and nothing beside it', async (t) => {
      await using zone = await startZone(t, {
        concurrency,
        traffic: { allowedResolved: ['127.0.0.0/30'] },
        lookup: async (name) => [name === 'inside.test' ? '127.0.0.1' : '127.0.0.9'],
        resources: ({ tcp }) =>
          [mes('inside', [{ address: 'inside.test', port: tcp }]), mes('beside', [{ address: 'beside.test', port: tcp }])].join(
            '---\n',
          ),
      });
      await pingOnce(zone, sni('inside'));
      t.equal((await recordOf(zone, 'inside')).reason, 'closed');
      await refusedOnce(zone, sni('beside'));
      t.match(await recordOf(zone, 'beside'), { reason: 'forbidden-address', detail: /127\.0\.0\.9/ });
    });

    t.test('the egress never dials itself, in whatever way its listeners are written', async (t) => {
      await using zone = await startZone(t, {
        concurrency,
        traffic: { allowedResolved: ['127.0.0.0/8', '0.0.0.0/8'] },
        lookup: async (name) => [name === 'self.test' ? '127.0.0.1' : '0.0.0.0'],
        readiness: { port: 0 },
      });
      const { port, adminPort, readinessPort } = zone.egress;
      const ways: Record<string, { address: string; port: number }> = {};
      for (const [listener, at] of Object.entries({ data: port, admin: adminPort, ready: readinessPort })) {
        for (const [way, address] of Object.entries(SELF)) ways[`${listener}-${way}`] = { address, port: at };
      }
      await load(
        zone,
        Object.entries(ways).map(([name, endpoint]) => mes(name, [endpoint])),
      );
      for (const [name, endpoint] of Object.entries(ways)) {
        await refusedOnce(zone, sni(name));
        t.match(
          await recordOf(zone, name),
          { reason: 'forbidden-address', detail: `is the egress itself`, attempts: 0 },
          `${endpoint.address}:${endpoint.port}`,
        );
      }
    });

    t.test('nothing is dialled before the decision', async (t) => {
      await using zone = await startZone(t, { concurrency, traffic: { setupTimeoutMs: FAR_MS } });
      const stranger = await zone.connect('legacy{mesh=default}', zone.mesh.client('batch'));
      await gone(stranger);
      const foreigner = await zone.connect('legacy{mesh=default}', zone.otherMesh.client('frontend'));
      await gone(foreigner);
      const nobody = await zone.connect('legacy{mesh=default}', { cert: '', key: '' }, { cert: undefined, key: undefined });
      await gone(nobody);
      const stalled = zone.raw();
      await once(stalled, 'connect');
      stalled.write(await realHello('legacy{mesh=default}'));
      await once(stalled, 'data');
      stalled.destroy();
      const reasons = ['denied', 'wrong-mesh', 'no-client-certificate', 'handshake-failed'];
      for (const reason of reasons) {
        t.match(await zone.record((record) => record.reason === reason), { attempts: 0, endpoint: '', connectMs: -1 }, reason);
      }
      const { totalMs } = await zone.record(({ reason }) => reason === 'handshake-failed');
      t.ok(
        totalMs < FAR_MS / 2,
        `a client that ends amid its handshake does not wait for the deadline: ${Math.round(totalMs)} ms`,
      );
      await pingOnce(zone, 'legacy{mesh=default}');
      t.equal(zone.tcp.connections(), 1, 'only the one that is allowed reached the endpoint');
    });
  });
}

t.test('an endpoint that says nothing is given up after 5 s, and the next one carries the session', async (t) => {
  await using hole = await blackhole();
  await using mute = await createFakeExternalService({
    onConnection: (socket) => socket.resume().on('end', () => socket.end()),
  });
  await using zone = await startZone(t, {
    concurrency: 2,
    resources: ({ tcp }) =>
      [
        mes('dark', [ip(hole.port), { ...ip(tcp), priority: 1 }]),
        mes('darker', [ip(hole.port)]),
        mes('mute', [ip(mute.port)], 'tls: { enabled: true, verification: { mode: SkipAll } }'),
      ].join('---\n'),
  });
  // Three at once, so that the real time of the limit passes only once.
  await Promise.all([pingOnce(zone, sni('dark')), refusedOnce(zone, sni('darker')), refusedOnce(zone, sni('mute'))]);
  const dark = await recordOf(zone, 'dark');
  t.match(dark, { reason: 'closed', attempts: 2, endpoint: `127.0.0.1:${zone.ports.tcp}` });
  t.ok(dark.connectMs >= 4_990, `the first one had its 5 s: ${Math.round(dark.connectMs)} ms`);
  for (const name of ['darker', 'mute']) {
    t.match(await recordOf(zone, name), { reason: 'connect-timeout', attempts: 1, detail: /nothing after 5000 ms/ });
  }
});

t.test('the last good answer is kept when a refresh fails', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  let fails = false;
  let failed = 0;
  await using zone = await startZone(t, {
    clock,
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    async lookup() {
      if (!fails) return ['127.0.0.1'];
      failed++;
      throw Object.assign(new Error('queryA EAI_AGAIN'), { code: 'EAI_AGAIN' });
    },
    resources: ({ tcp }) => mes('kept', [{ address: 'kept.test', port: tcp }]),
  });
  await pingOnce(zone, sni('kept'));
  await recordOf(zone, 'kept');
  fails = true;
  for (let i = 1; i <= 3; i++) {
    clock.advance(5_000);
    await until('the look-up to fail', () => failed >= i);
    await pingOnce(zone, sni('kept'));
  }
  await zone.record(() => zone.records.length === 4);
  t.strictSame(
    zone.records.map(({ reason }) => reason),
    Array(4).fill('closed'),
  );
});

function closed(count: number): EndpointYaml[] {
  return CLOSED.slice(0, count).map(ip);
}

interface EndpointYaml {
  readonly address: string;
  readonly port: number;
  readonly priority?: number;
}

function ip(port: number): EndpointYaml {
  return { address: '127.0.0.1', port };
}

function mes(name: string, endpoints: readonly EndpointYaml[], more = ''): string {
  return `type: MeshExternalService
mesh: default
name: ${name}
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: ${JSON.stringify(endpoints)}
  ${more}
`;
}

function ingressOf(name: string, port: number, instances: number): string {
  return `type: ZoneIngress
name: ${name}
zone: ${name}
networking: { address: 127.0.0.1, port: ${port}, advertisedAddress: 127.0.0.1, advertisedPort: ${port} }
availableServices:
- { mesh: default, instances: ${instances}, tags: { kuma.io/service: spread, kuma.io/zone: ${name} } }
`;
}

function inline(pem: string): string {
  return `{ inlineString: ${JSON.stringify(pem)} }`;
}

function sni(name: string): string {
  return encodeHashSni({ kind: 'mes', name, mesh: 'default', port: 9_000 });
}

async function load(zone: Zone, documents: readonly string[], file = 'more'): Promise<void> {
  zone.write(`more-${file}.yaml`, documents.join('---\n'));
  const result = await zone.egress.reload();
  if (result.kind === 'rejected') throw new Error(result.problems.map(({ message }) => message).join('\n'));
}

/** Makes one whole session that carries a byte there and back. */
async function pingOnce(zone: Zone, name: string): Promise<void> {
  const socket = await zone.connect(name, zone.mesh.client('frontend'));
  const answer = await ping(socket);
  if (answer !== 'ping') throw new Error(`${name} answered ${answer}: ${JSON.stringify(zone.records.at(-1))}`);
  await finish([socket]);
}

/** Returns the answer: `nothing` when the connection ends first. */
function ping(socket: TLSSocket): Promise<string> {
  return Promise.race([ask(socket, 'ping'), gone(socket).then(() => 'nothing')]);
}

async function finish(sockets: readonly TLSSocket[]): Promise<void> {
  for (const socket of sockets) socket.end();
  await Promise.all(sockets.map(gone));
}

/** Makes one whole session that must end without a byte. */
async function refusedOnce(zone: Zone, name: string): Promise<void> {
  const socket = await zone.connect(name, zone.mesh.client('frontend'));
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
  await gone(socket);
  if (bytes > 0) throw new Error(`${name} answered ${bytes} bytes`);
}

function recordOf(zone: Zone, name: string): ReturnType<Zone['record']> {
  return zone.record(({ destination }) => destination === name);
}

interface Blackhole extends AsyncDisposable {
  readonly port: number;
}

/**
 * Makes a port where not even the kernel answers: the accept queue is full, and the thread that
 * would empty it is blocked.
 */
async function blackhole(): Promise<Blackhole> {
  const gate = new SharedArrayBuffer(4);
  const worker = new Worker(BLOCKED_LISTENER, { eval: true, workerData: gate, execArgv: [] });
  const [port] = (await once(worker, 'message')) as [number];
  const fillers = Array.from({ length: 6 }, () => connect({ port, host: '127.0.0.1' }));
  for (const filler of fillers) filler.on('error', () => {});
  await until('two fillers', () => fillers.filter(({ connecting }) => !connecting).length >= 2);
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const filler of fillers) filler.destroy();
      Atomics.store(new Int32Array(gate), 0, 1);
      Atomics.notify(new Int32Array(gate), 0);
      await worker.terminate();
    },
  };
}
