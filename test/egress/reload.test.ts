import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { formatProblem } from '../../src/base/problem.ts';
import { startEgress } from '../../src/egress.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createFakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { BOUND_MS, until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const LEDGER = encodeHashSni({ kind: 'mes', name: 'ledger', mesh: 'other', port: 9_000 });

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('a new external service can be reached at once; one that is taken away has no route any more', async (t) => {
      await using zone = await startZone(t, { concurrency, watch: true });
      await t.rejects(zone.connect('archive{mesh=default}', zone.mesh.client('frontend')));
      t.match(await zone.record(({ sni }) => sni.startsWith('archive')), { reason: 'no-route' });

      await change(zone, () => zone.write('archive.yaml', plainService('archive', zone.ports.tcp)));
      const socket = await zone.connect('archive{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(socket, 'ping'), 'ping');
      socket.end();
      await gone(socket);

      await change(zone, () => rmSync(join(zone.folder, 'archive.yaml')));
      const before = zone.records.length;
      await t.rejects(zone.connect('archive{mesh=default}', zone.mesh.client('frontend')));
      await until('another record', () => zone.records.length > before);
      t.match(zone.records.at(-1), { reason: 'no-route', sni: 'archive{mesh=default}' });
    });

    t.test(
      'a client that is denied now gets no new session, and its running one ends after the drain time; no other does',
      async (t) => {
        const drainTimeMs = 4_000;
        await using zone = await startZone(t, { concurrency, watch: true, traffic: { drainTimeMs } });
        const archive = (...clients: string[]): void =>
          zone.write('archive.yaml', plainService('archive', zone.ports.tcp, clients));
        await change(zone, () => archive('frontend', 'batch'));
        const denied = await zone.connect('archive{mesh=default}', zone.mesh.client('batch'));
        const others = [
          await zone.connect('backend{mesh=default}', zone.mesh.client('batch')),
          await zone.connect('archive{mesh=default}', zone.mesh.client('frontend')),
          await zone.connect('api{mesh=default}', zone.mesh.client('frontend')),
          await zone.connect(LEDGER, zone.otherMesh.client('anybody')),
        ];
        for (const socket of [denied, ...others]) t.equal(await ask(socket, 'ping'), 'ping');

        const changedAt = performance.now();
        await change(zone, () => archive('frontend'));
        t.equal(await ask(denied, 'still'), 'still', 'the running session has the drain time');
        await gone(await zone.connect('archive{mesh=default}', zone.mesh.client('batch')));
        t.match(await zone.record(({ reason }) => reason === 'denied'), { attempts: 0, spiffeIds: ['spiffe://default/batch'] });
        await gone(denied);
        const record = await zone.record(({ reason }) => reason === 'policy-changed');
        t.match(record, { destination: 'archive', spiffeIds: ['spiffe://default/batch'], detail: /denied now/, bytesUp: 9 });
        const took = performance.now() - changedAt;
        t.ok(took >= drainTimeMs && took < BOUND_MS, `it had its ${drainTimeMs} ms: ${Math.round(took)}`);
        for (const socket of others) t.equal(await ask(socket, 'pong'), 'pong', 'the others go on');
        t.equal(zone.egress.sessions(), others.length);
      },
    );

    t.test('a session whose route is gone ends after the drain time; passed-through ones too', async (t) => {
      await using zone = await startZone(t, { concurrency, watch: true, traffic: { drainTimeMs: 200 } });
      await using depot = await createFakeZoneIngress({ ...zone.mesh.client('depot'), trust: zone.mesh.ca.cert });
      await change(zone, () =>
        zone.write('more.yaml', `${plainService('archive', zone.ports.tcp)}---\n${ingressOf('depot', depot.port)}`),
      );
      const terminated = await zone.connect('archive{mesh=default}', zone.mesh.client('frontend'));
      const passed = await zone.connect('depot{mesh=default}', zone.mesh.client('frontend'));
      const other = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
      for (const socket of [terminated, passed, other]) t.equal(await ask(socket, 'ping'), 'ping');
      await change(zone, () => rmSync(join(zone.folder, 'more.yaml')));
      await Promise.all([gone(terminated), gone(passed)]);
      t.match(await zone.record(({ destination }) => destination === 'archive'), {
        reason: 'policy-changed',
        detail: /route is gone/,
      });
      t.match(await zone.record(({ destination }) => destination === 'depot'), { reason: 'policy-changed', mode: 'passthrough' });
      t.equal(await ask(other, 'pong'), 'pong');
    });

    t.test('a session that is allowed again within the drain time goes on', async (t) => {
      const drainTimeMs = 5_000;
      await using zone = await startZone(t, { concurrency, watch: true, traffic: { drainTimeMs } });
      const services = (back: readonly string[], away: readonly string[]): void =>
        zone.write(
          'two.yaml',
          [plainService('back', zone.ports.tcp, back), plainService('away', zone.ports.tcp, away)].join('---\n'),
        );
      for (;;) {
        await change(zone, () => services(['batch'], ['batch']));
        const back = await zone.connect('back{mesh=default}', zone.mesh.client('batch'));
        const away = await zone.connect('away{mesh=default}', zone.mesh.client('batch'));
        for (const socket of [back, away]) t.equal(await ask(socket, 'ping'), 'ping');
        const [from, seen] = [performance.now(), zone.records.length];
        await change(zone, () => services(['nobody'], ['nobody']));
        await change(zone, () => services(['batch'], ['nobody']));
        const isLate = performance.now() - from >= drainTimeMs;
        // The same change denied both: when the first has ended, the time of the other is over too.
        await gone(away);
        if (isLate) {
          // The two changes took longer than the drain time: a slow machine says nothing here.
          back.destroy();
          await until('both have ended', () => zone.egress.sessions() === 0);
          continue;
        }
        t.match(await zone.record((record) => record.reason === 'policy-changed' && zone.records.indexOf(record) >= seen), {
          destination: 'away',
        });
        t.equal(await ask(back, 'pong'), 'pong');
        t.equal(zone.egress.sessions(), 1);
        return;
      }
    });

    t.test('a bad file changes nothing and is reported with its place; the next good one applies', async (t) => {
      await using zone = await startZone(t, { concurrency, watch: true });
      const running = await zone.connect('api{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(running, 'ping'), 'ping');
      const { version } = zone.egress.snapshot();
      const good = plainService('archive', zone.ports.tcp);
      const bad: readonly (readonly [what: string, text: string, problem: RegExp])[] = [
        ['syntax', good.replace('networking: {', 'networking: {{'), /more\.yaml:5:\d+ /],
        ['a document without a type', good.replace(/^type.*\n/, ''), /more\.yaml:1:1 type: has to be defined/],
        ['two of one name', `${good}---\n${good}`, /more\.yaml:15:7 name: .*already defined/],
        ['a permission that cannot be', good.replace(/^sources.*$/m, 'sources: []'), /more\.yaml:10:\d+ sources: /],
      ];
      for (const [i, [what, text, expected]] of bad.entries()) {
        zone.write('more.yaml', text);
        await until(`${what} is rejected`, async () => (await loads(zone, 'rejected')) === i + 1);
        const found = zone.egress
          .problems()
          .filter(({ severity }) => severity === 'error')
          .map(formatProblem);
        t.ok(
          found.some((problem) => expected.test(problem)),
          `${what} is told with file, line and field`,
          { found },
        );
        t.equal(zone.egress.snapshot().version, version, 'what was live stays');
        const page = JSON.parse(await adminPage(zone, '/config_errors')) as { problems: { text: string; line: number }[] };
        t.ok(
          page.problems.some(({ text: line }) => expected.test(line)),
          'the admin page has it too',
        );
      }
      t.equal(await ask(running, 'pong'), 'pong', 'running sessions notice nothing');
      const another = await zone.connect('api{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(another, 'ping'), 'ping', 'new ones neither');
      await t.rejects(zone.connect('archive{mesh=default}', zone.mesh.client('frontend')), 'nothing of a bad file is live');

      await change(zone, () => zone.write('more.yaml', good));
      t.strictSame(
        zone.egress.problems().filter(({ severity }) => severity === 'error'),
        [],
      );
      const socket = await zone.connect('archive{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(socket, 'ping'), 'ping');
      t.equal(await loads(zone, 'rejected'), bad.length, 'each bad file was rejected once');
    });

    t.test('50 running streams lose no byte to ten reloads', async (t) => {
      const received: string[] = [];
      const hashed = (socket: Socket): void => echoAndHash(socket, (hash) => received.push(hash));
      await using zone = await startZone(t, {
        concurrency,
        watch: true,
        tcp: { onConnection: hashed },
        tls: { onConnection: hashed },
      });
      await using depot = await createFakeZoneIngress({
        ...zone.mesh.client('depot'),
        trust: zone.mesh.ca.cert,
        onConnection: hashed,
      });
      await change(zone, () => zone.write('depot.yaml', ingressOf('depot', depot.port)));
      const names = ['depot{mesh=default}', 'depot{mesh=default}', 'legacy{mesh=default}', 'api{mesh=default}', LEDGER];
      const sockets = await Promise.all(
        Array.from({ length: 50 }, (_, i) => {
          const name = names[i % names.length]!;
          return zone.connect(name, name === LEDGER ? zone.otherMesh.client('anybody') : zone.mesh.client('frontend'));
        }),
      );
      let stop = false;
      const streams = sockets.map((socket) => stream(socket, () => stop));
      for (let i = 0; i < 10; i++) {
        await change(zone, () =>
          zone.write(
            'more.yaml',
            `${plainService('archive', zone.ports.tcp, [`batch-${i}`])}---\n${plainService(`archive-${i}`, zone.ports.tcp)}`,
          ),
        );
      }
      stop = true;
      const sent = await Promise.all(streams);
      await until('the other ends have everything', () => received.length === 50);
      t.equal(await loads(zone, 'applied'), 12, 'the first load, the depot, and ten reloads under the streams');
      for (const { up, down } of sent) t.equal(down, up, 'what comes back is what was sent');
      t.strictSame([...received].sort(), sent.map(({ up }) => up).sort(), 'the hashes at the other end are the same');
      await until('all sessions are recorded', () => zone.records.length === 50);
      t.ok(zone.records.every(({ reason }) => reason === 'closed'));
      const bytes = zone.records.reduce((sum, { bytesUp }) => sum + bytesUp, 0);
      t.comment(`${Math.round(bytes / 1e6)} MB each way through 50 streams during ten reloads`);
    });

    t.test(
      'the certificate is renewed before it ends: new sessions get the new one, running ones go on past the end of theirs',
      async (t) => {
        await using zone = await startZone(t, { concurrency });
        const text = readFileSync(join(zone.folder, 'zone.yaml'), 'utf8');
        zone.write('zone.yaml', text.replace('type: builtin }', 'type: builtin, dpCert: { rotation: { expiration: 10s } } }'));
        t.match(await zone.egress.reload(), { kind: 'live', changed: true });
        const running = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
        t.equal(await ask(running, 'ping'), 'ping');
        const first = running.getPeerCertificate();
        const firstEnds = Date.parse(first.valid_to);
        await until('the first certificate is over', () => Date.now() > firstEnds);
        const second = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
        t.equal(await ask(second, 'ping'), 'ping', 'there was a new one in time');
        t.not(second.getPeerCertificate().serialNumber, first.serialNumber);
        t.equal(await ask(running, 'pong'), 'pong');
        t.notOk(zone.records.some(({ reason }) => reason === 'identity-unavailable'));
      },
    );

    t.test('a new mesh CA: its clients pass, those of the old one are refused, running sessions stay', async (t) => {
      await using zone = await startZone(t, { concurrency, watch: true, traffic: { drainTimeMs: 100 } });
      const running = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
      const neighbour = await zone.connect(LEDGER, zone.otherMesh.client('anybody'));
      for (const socket of [running, neighbour]) t.equal(await ask(socket, 'ping'), 'ping');
      const next = await createTestMesh('default');
      const text = readFileSync(join(zone.folder, 'zone.yaml'), 'utf8');
      await change(zone, () => zone.write('zone.yaml', text.replace(zone.mesh.resources, next.resources)));
      const fresh = await zone.connect('legacy{mesh=default}', next.client('frontend'), { ca: next.ca.cert });
      t.equal(
        fresh.authorizationError,
        'ERR_TLS_CERT_ALTNAME_INVALID',
        'the chain leads to the new CA; the name is a SPIFFE id, not a host',
      );
      t.equal(await ask(fresh, 'ping'), 'ping');
      await gone(await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend')));
      t.match(await zone.record(({ reason }) => reason === 'client-not-trusted'), { mesh: 'default', endpoint: '' });
      for (const socket of [running, neighbour]) t.equal(await ask(socket, 'pong'), 'pong');
    });
  });
}

t.test(
  'the end of a denied session is called off when it is allowed again, and planned anew when it is denied again',
  async (t) => {
    const clock = new FakeClock({ wall: Date.now() });
    await using zone = await startZone(t, { clock, traffic: { drainTimeMs: 30_000 } });
    const allow = async (client: string): Promise<void> => {
      zone.write('archive.yaml', plainService('archive', zone.ports.tcp, [client]));
      t.match(await zone.egress.reload(), { kind: 'live', changed: true });
    };
    await allow('batch');
    const socket = await zone.connect('archive{mesh=default}', zone.mesh.client('batch'));
    t.equal(await ask(socket, 'ping'), 'ping');
    const quiet = clock.timers;
    await allow('nobody');
    t.equal(clock.timers, quiet + 1, 'its end is planned');
    clock.advance(29_999);
    await allow('batch');
    t.equal(clock.timers, quiet, 'and called off');
    clock.advance(60_000);
    t.equal(await ask(socket, 'pong'), 'pong');
    await allow('nobody');
    clock.advance(29_999);
    t.equal(await ask(socket, 'still'), 'still');
    clock.advance(1);
    await gone(socket);
    t.match(await zone.record(({ destination }) => destination === 'archive'), { reason: 'policy-changed' });
  },
);

t.test('a session that is denied while its endpoint is looked up is refused, and nothing is dialled for it', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<string[]>();
  const lookup = (): Promise<string[]> => {
    asked.resolve();
    return answer.promise;
  };
  await using zone = await startZone(t, {
    clock,
    lookup,
    traffic: { drainTimeMs: 1_000, allowedResolved: ['127.0.0.0/8'] },
  });
  const allow = async (client: string): Promise<void> => {
    zone.write('named.yaml', plainService('named', zone.ports.tcp, [client]).replace('127.0.0.1', 'named.test'));
    t.match(await zone.egress.reload(), { kind: 'live', changed: true });
  };
  await allow('batch');
  const socket = await zone.connect('named{mesh=default}', zone.mesh.client('batch'));
  await asked.promise;
  await allow('nobody');
  answer.resolve(['127.0.0.1']);
  await gone(socket);
  t.match(await zone.record(({ destination }) => destination === 'named'), { reason: 'denied', attempts: 0, bytesUp: 0 });
  t.equal(zone.tcp.connections(), 0);
});

for (const concurrency of CONCURRENCIES) {
  t.test(`certificates from a folder, with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    const identities = mkdtempSync(join(tmpdir(), 'zone-egress-identities-'));
    t.teardown(() => rmSync(identities, { recursive: true, force: true }));
    const first = await createTestMesh('default');
    const other = await createTestMesh('other');
    putIdentity(join(identities, 'default'), '1', identityOf(first));
    putIdentity(join(identities, 'other'), '1', identityOf(other));
    await using zone = await startZone(t, {
      concurrency,
      watch: true,
      identities,
      logLevel: 'warn',
      logDestination: { write: keepLine },
    });
    const lines: string[] = [];
    function keepLine(line: string): void {
      lines.push(line);
    }

    const running = await zone.connect('legacy{mesh=default}', first.client('frontend'));
    t.equal(await ask(running, 'ping'), 'ping');
    const { serialNumber } = running.getPeerCertificate();
    const serial = async (client: TestMesh): Promise<string> => {
      const socket = await zone.connect('legacy{mesh=default}', client.client('frontend'));
      const found = socket.getPeerCertificate().serialNumber;
      socket.destroy();
      return found;
    };

    // Swapped as cert-manager's mount does.
    putIdentity(join(identities, 'default'), '2', identityOf(first));
    await until('the new certificate is in use', async () => (await serial(first)) !== serialNumber);
    const renewed = await serial(first);

    for (const [i, broken] of [
      { ...identityOf(first), 'ca.crt': '' },
      { ...identityOf(first), 'tls.key': identityOf(first)['tls.key'] },
      { ...identityOf(first), 'tls.crt': '-----BEGIN CERTIFICATE-----' },
      identityOf(await createTestMesh('elsewhere')),
    ].entries()) {
      const told = lines.length;
      putIdentity(join(identities, 'default'), `broken_${i}`, broken);
      await until(`broken replacement ${i} is told`, () => lines.slice(told).some((line) => line.includes(join('default', ''))));
      t.equal(await serial(first), renewed, 'the last good one stays in use');
    }

    const next = await createTestMesh('default');
    putIdentity(join(identities, 'default'), '3', identityOf(next));
    await until('the new CA is in use', async () => (await serial(next)) !== renewed);
    const fresh = await zone.connect('legacy{mesh=default}', next.client('frontend'));
    t.equal(await ask(fresh, 'ping'), 'ping');
    await gone(await zone.connect('legacy{mesh=default}', first.client('frontend')));
    t.match(await zone.record(({ reason }) => reason === 'client-not-trusted'), { mesh: 'default' });
    t.equal(await ask(running, 'pong'), 'pong', 'and the first session runs all the while');
  });
}

t.test('a folder that Kubernetes swaps by a link is followed', async (t) => {
  const mesh = await createTestMesh('default');
  await using service = await createFakeExternalService();
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const mount = (version: string, files: Readonly<Record<string, string>>): void => {
    mkdirSync(join(folder, `..${version}`));
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, `..${version}`, file), text);
    symlinkSync(`..${version}`, join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  };
  const zoneEgress = 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n';
  const files = (services: readonly string[]): Record<string, string> => ({
    'mesh.yaml': `${mesh.resources}---\n${zoneEgress}`,
    'services.yaml': services.map((name) => plainService(name, service.port)).join('---\n'),
  });
  mount('2026_1', files(['one']));
  for (const file of ['mesh.yaml', 'services.yaml']) symlinkSync(`..data/${file}`, join(folder, file));
  await using egress = await startEgress({ resources: folder, port: 0, admin: false, watch: true });
  const sni = (name: string): string => `${name}{mesh=default}`;
  t.strictSame([...egress.snapshot().routes.keys()], [sni('one')]);
  mount('2026_2', files(['one', 'two']));
  rmSync(join(folder, '..2026_1'), { recursive: true });
  await until('the second version is live', () => egress.snapshot().routes.size === 2);
  mount('2026_3', files(['two']));
  rmSync(join(folder, '..2026_2'), { recursive: true });
  await until('the third version is live', () => egress.snapshot().routes.size === 1);
  t.strictSame([...egress.snapshot().routes.keys()], [sni('two')]);
  t.strictSame(egress.problems(), []);
});

/** Makes a change, and waits until another configuration is live. */
async function change(zone: Zone, act: () => void): Promise<void> {
  const { version } = zone.egress.snapshot();
  act();
  await until('another configuration is live', () => zone.egress.snapshot().version !== version);
}

async function loads(zone: Zone, result: 'applied' | 'rejected'): Promise<number> {
  const found = new RegExp(`^zone_egress_config_loads_total\\{result="${result}"\\} (\\d+)$`, 'm').exec(
    await zone.egress.metrics(),
  );
  return Number(found?.[1] ?? 0);
}

async function adminPage(zone: Zone, path: string): Promise<string> {
  const [response] = (await once(get({ port: zone.egress.adminPort, host: '127.0.0.1', path, agent: false }), 'response')) as [
    IncomingMessage,
  ];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return text;
}

/**
 * An external service over plain TCP, with a permission for only these clients. Line 5 has the
 * address.
 */
function plainService(name: string, port: number, clients: readonly string[] = ['frontend']): string {
  return `type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${port}' }
---
type: TrafficPermission
mesh: default
name: ${name}
sources: [${clients.map((client) => `{ match: { kuma.io/service: ${client} } }`).join(', ')}]
destinations: [{ match: { kuma.io/service: ${name} } }]
`;
}

function ingressOf(service: string, port: number): string {
  return `type: ZoneIngress
name: ${service}
zone: ${service}
networking: { address: 127.0.0.1, port: ${port}, advertisedAddress: 127.0.0.1, advertisedPort: ${port} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: ${service}, kuma.io/zone: ${service} } }]
`;
}

type IdentityFiles = Readonly<Record<'tls.crt' | 'tls.key' | 'ca.crt', string>>;

function identityOf(mesh: TestMesh): IdentityFiles {
  const { cert, key } = mesh.issue({ uris: [`spiffe://${mesh.name}/zone-egress`] });
  return { 'tls.crt': cert, 'tls.key': key, 'ca.crt': mesh.ca.cert };
}

/**
 * Mounted like a Secret: the visible names are links through `..data`, which is swapped in one
 * rename.
 */
function putIdentity(folder: string, version: string, files: IdentityFiles): void {
  mkdirSync(join(folder, `..${version}`), { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(folder, `..${version}`, file), text);
    if (version === '1') symlinkSync(join('..data', file), join(folder, file));
  }
  symlinkSync(`..${version}`, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
}

const CHUNK = 8_192;
/** 50 streams at full speed would leave no time for the reloads. */
const PACE_MS = 20;

/**
 * Writes random bytes until it is stopped, a chunk whenever the last one is on its way back;
 * resolves with the hash of each direction.
 */
async function stream(socket: TLSSocket, stop: () => boolean): Promise<{ readonly up: string; readonly down: string }> {
  const up = createHash('sha256');
  const down = createHash('sha256');
  const over = gone(socket);
  let ahead = 0;
  socket.on('data', (bytes: Buffer) => {
    down.update(bytes);
    ahead -= bytes.length;
  });
  // Never ends inside of 'data': Node's end() would drop a record that has arrived but is not read
  // yet.
  while (!stop()) {
    if (ahead <= CHUNK) {
      const bytes = randomBytes(CHUNK);
      up.update(bytes);
      ahead += bytes.length;
      socket.write(bytes);
    }
    await pause(PACE_MS);
  }
  socket.end();
  await over;
  return { up: up.digest('hex'), down: down.digest('hex') };
}

function echoAndHash(socket: Socket, done: (hash: string) => void): void {
  const hash = createHash('sha256');
  socket.on('data', (bytes: Buffer) => {
    hash.update(bytes);
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  socket.on('end', () => {
    done(hash.digest('hex'));
    socket.end();
  });
}
