// An egress that has joined a control plane, in place of kuma-dp and Envoy.
import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { startControlledZone } from './controlled-zone.ts';
import { freePort } from '../free-ports.ts';
import { FAR_MS, until } from './until.ts';
import { ask, gone } from './zone.ts';

t.test('it serves what the control plane sends, and a change of it too', async (t) => {
  await using zone = await startControlledZone(t);
  const frontend = zone.mesh.client('frontend');
  const passed = await zone.connect('backend{mesh=default}', frontend);
  t.equal(await ask(passed, 'ping'), 'ping');
  const external = await zone.connect('legacy{mesh=default}', frontend);
  t.equal(await ask(external, 'ping'), 'ping');
  const denied = await zone.connect('legacy{mesh=default}', zone.mesh.client('batch'));
  await gone(denied);
  await until('a refusal', () => zone.records.length === 1);
  t.match(zone.records[0], { reason: 'denied', destination: 'legacy', detail: /legacy/ });

  await zone.send({ external: { legacy: { address: '127.0.0.1', port: zone.tcp.port, allow: ['batch'] } } });
  const allowed = await zone.connect('legacy{mesh=default}', zone.mesh.client('batch'));
  t.equal(await ask(allowed, 'ping'), 'ping');
  t.equal(await ask(passed, 'pong'), 'pong', 'what is passed through is not touched');
  for (const socket of [passed, external, allowed]) socket.end();
});

t.test('over delta ADS it serves the same: a change, a removal, a refusal, and a control plane that restarts', async (t) => {
  await using zone = await startControlledZone(t, { fake: { delta: true } });
  const { controlPlane } = zone;
  const frontend = zone.mesh.client('frontend');
  const passed = await zone.connect('backend{mesh=default}', frontend);
  t.equal(await ask(passed, 'ping'), 'ping');
  const external = await zone.connect('legacy{mesh=default}', frontend);
  t.equal(await ask(external, 'ping'), 'ping');
  await gone(await zone.connect('legacy{mesh=default}', zone.mesh.client('batch')));

  const legacy = { address: '127.0.0.1', port: zone.tcp.port, allow: ['batch'] };
  const destinations = (): readonly string[] => [...zone.egress.snapshot().routes.values()].map(({ destination }) => destination);
  await zone.send({ external: { legacy, more: { ...legacy, allow: ['frontend'] } } });
  // The cluster comes first, and its chain in a message of its own.
  await until('it is there', () => destinations().includes('more'));
  for (const [sni, client] of [
    ['legacy{mesh=default}', 'batch'],
    ['more{mesh=default}', 'frontend'],
  ] as const)
    t.equal(await ask(await zone.connect(sni, zone.mesh.client(client)), 'ping'), 'ping', sni);
  await zone.send({ external: { legacy } });
  await until('it is gone', () => !destinations().includes('more'));
  await t.rejects(zone.connect('more{mesh=default}', frontend), 'what is removed is gone');

  const mend = controlPlane.nackLoop('cluster');
  const refusals = () => controlPlane.requests.filter(({ error }) => error !== null);
  await until('it is refused', () => refusals().length === 1);
  t.match(refusals()[0], { type: 'cluster', error: /unreadable/ });
  t.equal(await ask(await zone.connect('legacy{mesh=default}', zone.mesh.client('batch')), 'ping'), 'ping');
  mend();
  await until('it is good again', () => zone.log.some(({ msg }) => /are accepted again/.test(String(msg))));

  const { version } = zone.egress.snapshot();
  const before = controlPlane.requests.length;
  await controlPlane.restart();
  const again = await controlPlane.waitFor(
    (request) => request.stream === 2 && request.type === 'secret' && request.nonce === '',
  );
  t.ok(
    Object.keys((again.message as { initialResourceVersions: object }).initialResourceVersions).length > 0,
    'it says what it has',
  );
  await until(
    'each type is acknowledged',
    () => controlPlane.requests.slice(before).filter(({ nonce }) => nonce !== '').length >= 2,
  );
  t.equal(zone.egress.snapshot().version, version, 'what did not change is not made anew');
  t.equal(await ask(passed, 'pong'), 'pong');
  t.equal(await ask(await zone.connect('legacy{mesh=default}', zone.mesh.client('batch')), 'ping'), 'ping');
});

t.test('what it sent last outlives the control plane, and the next one is joined', async (t) => {
  await using zone = await startControlledZone(t);
  const frontend = zone.mesh.client('frontend');
  const running = await zone.connect('legacy{mesh=default}', frontend);
  t.equal(await ask(running, 'ping'), 'ping');
  await zone.controlPlane.stop();
  await until('it is noticed', () => zone.log.some(({ msg }) => /control plane is lost/.test(String(msg))));
  const meanwhile = await zone.connect('legacy{mesh=default}', frontend);
  t.equal(await ask(meanwhile, 'ping'), 'ping');
  await zone.controlPlane.start();
  await until('it is joined again', () => zone.log.filter(({ msg }) => msg === 'the control plane answers').length === 2);
  await zone.send({ external: {} });
  t.equal(await ask(running, 'pong'), 'pong', 'running sessions have the drain time');
});

t.test('what cannot be used is refused with a reason, once in the log, and what was live stays', async (t) => {
  await using zone = await startControlledZone(t);
  const mend = zone.controlPlane.nackLoop('cluster');
  const refusals = () => zone.controlPlane.requests.filter(({ error }) => error !== null);
  await until('it is refused again and again', () => refusals().length >= 3);
  const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');
  t.equal(zone.log.filter(({ msg }) => /resources of the control plane are refused/.test(String(msg))).length, 1);
  t.match(await zone.egress.metrics(), /zone_egress_control_plane_refused\{type="cluster"\} 1/);
  mend();
  await until('it is good again', () => zone.log.some(({ msg }) => /are accepted again/.test(String(msg))));
  t.match(await zone.egress.metrics(), /zone_egress_control_plane_refused\{type="cluster"\} 0/);
});

t.test('an egress for which there is nothing yet is ready without a listener, and opens it when it comes', async (t) => {
  await using zone = await startControlledZone(t, { empty: true });
  t.equal(zone.egress.port, 0);
  await zone.send({});
  await until('it listens', () => zone.egress.port !== 0);
  const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');
});

t.test('a port that is taken is waited for, and the egress says meanwhile that it is not ready', async (t) => {
  const port = await freePort();
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const readiness = await freePort();
  await using zone = await startControlledZone(t, { egress: { port, readiness: { bind: '127.0.0.1', port: readiness } } });
  t.equal(await plain(readiness, '/ready'), '503 PRE_INITIALIZING');
  t.equal(zone.egress.port, 0);
  t.match(
    zone.log.filter(({ level }) => level === 'error'),
    [{ msg: /listener could not be opened; it is tried again/, err: { code: 'EADDRINUSE' } }],
  );
  other.close();
  await until('it listens', () => zone.egress.port === port);
  t.equal(await plain(readiness, '/ready'), '200 LIVE');
  const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');
});

t.test('a first configuration that cannot be used ends nothing: the next one is waited for', async (t) => {
  const readiness = await freePort();
  let refused = 0;
  const starting = startControlledZone(t, {
    egress: {
      readiness: { bind: '127.0.0.1', port: readiness },
      rewrite: (compiled) => {
        const isFirst = compiled.snapshot.routes.size < 3;
        if (isFirst) refused++;
        const at = { file: 'x', line: 0, column: 0, field: '' } as const;
        const problem = { severity: 'error', ...at, message: 'it cannot be used' } as const;
        return Promise.resolve(isFirst ? { kind: 'invalid', problems: [problem] } : compiled);
      },
    },
    onControlPlane: async (controlPlane, send) => {
      await until('it is refused', () => refused > 0);
      t.equal(await plain(readiness, '/ready'), '503 PRE_INITIALIZING');
      t.equal(controlPlane.streams, 1);
      send({ meshExternal: { more: { port: 80, endpoints: [{ address: '192.0.2.1', port: 80 }] } } });
    },
  });
  await using zone = await starting;
  t.equal(zone.egress.snapshot().routes.size, 3);
  t.equal(await plain(readiness, '/ready'), '200 LIVE');
});

t.test('a new certificate of the mesh costs no session, and new sessions get it', async (t) => {
  await using zone = await startControlledZone(t);
  const frontend = zone.mesh.client('frontend');
  const before = await zone.connect('legacy{mesh=default}', frontend);
  const serial = before.getPeerCertificate().serialNumber;
  const made = zone.mesh.issue({ uris: ['spiffe://default/zone-egress', 'kuma://kuma.io/service/zone-egress'] });
  await zone.send({ identities: { default: made } });
  const after = await zone.connect('legacy{mesh=default}', frontend);
  t.not(after.getPeerCertificate().serialNumber, serial);
  t.equal(await ask(before, 'ping'), 'ping');
  t.equal(await ask(after, 'ping'), 'ping');
});

t.test('a drain takes connections until its end, as kuma-dp has it', async (t) => {
  await using zone = await startControlledZone(t);
  const from = performance.now();
  const drain = zone.egress.drain(5_000);
  const late = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  t.equal(await ask(late, 'ping'), 'ping');
  t.equal(await drain.done, 'cut');
  t.ok(performance.now() - from >= 5_000, 'the whole time');
});

t.test('a drain ends the stream of an egress that brings its resource, and keeps the configuration', async (t) => {
  await using zone = await startControlledZone(t);
  const frontend = zone.mesh.client('frontend');
  const running = await zone.connect('legacy{mesh=default}', frontend);
  const drain = zone.egress.drain(FAR_MS);
  await until('the control plane no longer counts it', () => zone.controlPlane.proxies.length === 0);
  t.equal(zone.controlPlane.streams, 0);
  t.equal((await zone.egress.reload()).kind, 'live', 'a reload returns the last configuration');
  const late = await zone.connect('legacy{mesh=default}', frontend);
  t.equal(await ask(late, 'late'), 'late', 'connections are taken after it');
  t.equal(await ask(running, 'ping'), 'ping');
  t.match(zone.egress.problems(), [], 'the end of the stream is no problem of the configuration');
  t.match(await zone.egress.metrics(), /^zone_egress_control_plane_connected 0$/m);
  t.equal(zone.log.filter(({ msg }) => /^the stream to the control plane ends/.test(String(msg))).length, 1);
  // A drain with another time is the same leave.
  zone.egress.drain(FAR_MS).hurry();
  drain.hurry();
  await drain.done;
  t.equal(zone.controlPlane.requests.filter(({ nodeId }) => nodeId !== null).length, 1, 'it did not join again');
});

t.test('where the end of the stream would not take it out of the endpoints, a drain follows the control plane', async (t) => {
  await t.test('the resource exists without the egress', async (t) => {
    await using zone = await startControlledZone(t, {
      fake: { zoneEgresses: ['egress-1'] },
      joining: { resource: null },
    });
    const drain = zone.egress.drain(FAR_MS);
    const external = { legacy: { address: '127.0.0.1', port: zone.tcp.port, allow: [] } };
    await zone.send({ external });
    t.equal(zone.controlPlane.streams, 1, 'a change of the permissions is live');
    drain.hurry();
    await drain.done;
  });
});

t.test('a drain tells clients of HTTP to go at once, not at its end', async (t) => {
  const port = await freePort();
  await using zone = await startControlledZone(t, {
    configuration: { external: { shop: { address: '127.0.0.1', port, allow: ['frontend'], protocol: 'http' } } },
  });
  const idle = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
  const drain = zone.egress.drain(FAR_MS);
  await gone(idle);
  const late = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
  t.match(await ask(late, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 503 [^]*\r\nconnection: close\r\n/);
  await gone(late);
  drain.hurry();
  await drain.done;
});

t.test('the control plane reads its pages at the address that it sent, only with its certificate', async (t) => {
  const port = await freePort();
  await using zone = await startControlledZone(t);
  const server = await zone.controlPlane.admin.issueServer('127.0.0.1');
  await zone.send({ admin: { port, caCert: zone.controlPlane.admin.caCert, server } }, { isSame: true });
  const at = `127.0.0.1:${port}`;
  await until('it is there', async () => (await plain(port, '/ready')) === '200 LIVE');
  const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');

  const dump = await zone.controlPlane.admin.inspect(at, { path: '/config_dump?include_eds=true' });
  t.equal(dump.status, 200);
  t.match(dump.body, 'envoy.admin.v3.ClustersConfigDump');
  t.match(dump.body, 'default:legacy');
  t.notMatch(dump.body, 'PRIVATE KEY');
  t.match(
    (await zone.controlPlane.admin.inspect(at, { path: '/clusters' })).body,
    `default:legacy::127.0.0.1:${zone.tcp.port}::`,
  );
  socket.end();
  await gone(socket);
  await until('it is counted', async () =>
    (await zone.controlPlane.admin.inspect(at, { path: '/stats?usedonly=' })).body.includes(
      'cluster.default_legacy.upstream_cx_total: 1',
    ),
  );
  t.match(await plain(port, '/config_dump'), /^404/, 'nobody else may');
  await t.rejects(zone.controlPlane.admin.inspect(at, { path: '/clusters', client: zone.mesh.client('frontend') }));

  await zone.send({ admin: undefined }, { isSame: true });
  await until('it is closed', async () => (await plain(port, '/ready')) === '');
});

async function plain(port: number, path: string): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });
    return `${response.status} ${(await response.text()).trim()}`;
  } catch {
    return '';
  }
}

t.test(
  'a resource that is deleted at the control plane is said once and shown, what was sent stays, and it comes back',
  async (t) => {
    for (const delta of [false, true]) {
      await using zone = await startControlledZone(t, {
        fake: { zoneEgresses: ['egress-1'], delta },
        joining: { resource: null },
        egress: { admin: { port: 0 } },
      });
      const { controlPlane, egress, log } = zone;
      const frontend = zone.mesh.client('frontend');
      const shown = async (): Promise<string> => (await fetch(`http://127.0.0.1:${egress.adminPort}/config_errors`)).text();
      const answers = (): number => log.filter(({ msg }) => msg === 'the control plane answers').length;
      const deleted = () => log.filter(({ reason }) => reason === 'resource-deleted');
      t.notMatch(await shown(), 'control plane');
      controlPlane.deleteResource('egress-1');
      await until('it is logged', () => deleted().length > 0);
      const refusedAt = controlPlane.requests.length;
      await until('the next streams are refused too', () => controlPlane.requests.length >= refusedAt + 3);
      t.match(deleted(), [
        {
          level: 'error',
          msg: /was deleted at the control plane; its last configuration stays live/,
          advice: /create the ZoneEgress/,
        },
      ]);
      t.equal(log.filter(({ reason }) => reason === 'name-not-found').length, 0, 'it is said once');
      t.match(await shown(), /ZoneEgress of this egress was deleted at the control plane.*kumactl apply/);
      const socket = await zone.connect('legacy{mesh=default}', frontend);
      t.equal(await ask(socket, 'ping'), 'ping', 'what was sent last is served');
      controlPlane.createResource('egress-1');
      await until('it is joined again', () => answers() === 2);
      t.notMatch(await shown(), 'control plane');
      t.equal(await ask(socket, 'pong'), 'pong');
    }
  },
);

t.test('an egress that brings its resource creates it again, and says so', async (t) => {
  await using zone = await startControlledZone(t);
  zone.controlPlane.deleteResource('egress-1');
  await until('it is joined again', () => zone.log.filter(({ msg }) => msg === 'the control plane answers').length === 2);
  t.match(
    zone.log.filter(({ reason }) => reason === 'resource-deleted'),
    [{ level: 'error', advice: /creates the ZoneEgress again with its next stream/ }],
  );
});
