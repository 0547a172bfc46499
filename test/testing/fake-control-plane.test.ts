/** The fake control plane behaves as the recorded one did, and fails as a test asks it to. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { create, fromBinary } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { nextTurn, systemClock } from '../../src/base/clock.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { FakeControlPlane, FakeControlPlaneOptions } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { EnvoyResources } from '../../src/testing/control-plane/envoy-resources.ts';
import type { RecordingOptions } from '../../src/testing/control-plane/recording.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createZoneTokens } from '../../src/testing/control-plane/zone-tokens.ts';
import { createAdsClient } from '../../src/xds/stream/ads-client.ts';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { freePort } from '../free-ports.ts';
import { acceptAll } from '../xds/accept-all.ts';
import { ADS_TYPES } from '../../src/xds/messages/ads-state.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import { LIVE } from '../data.ts';
import { AdsClient, nodeOf } from './ads-client.ts';
import t from 'tap';
import type { Test } from 'tap';

const FOLDER = fileURLToPath(LIVE);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const CLUSTER_NAMES = ['default:backend', 'default:other'];
const SECRET_NAMES = ['identity_cert:secret:default', 'mesh_ca:secret:default'];
const RESOURCES: EnvoyResources = {
  clusters: CLUSTER_NAMES.map((name) => ({ name, type: 'EDS' })),
  endpoints: CLUSTER_NAMES.map((clusterName) => ({ clusterName })),
  listeners: [{ '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener', name: 'inbound:127.0.0.2:10002' }],
  secrets: SECRET_NAMES.map((name) => ({ name })),
};

async function startWith(t: Test, options: FakeControlPlaneOptions = {}): Promise<FakeControlPlane> {
  const controlPlane = await createFakeControlPlane({ resources: RESOURCES, ...options });
  t.teardown(() => controlPlane.close());
  return controlPlane;
}

function connect(t: Test, controlPlane: FakeControlPlane, token: string | null = controlPlane.tokens.issue()): AdsClient {
  const client = new AdsClient(controlPlane, token);
  t.teardown(() => client.close());
  return client;
}

/** Makes the initial fetch as Envoy does. */
async function fetchAll(client: AdsClient, node = nodeOf('egress-1')): Promise<string[]> {
  client.send('cluster', { node });
  const versions = [(await client.take('cluster')).versionInfo];
  client.send('endpoint', { names: CLUSTER_NAMES });
  versions.push((await client.take('endpoint', CLUSTER_NAMES)).versionInfo);
  client.send('listener');
  versions.push((await client.take('listener')).versionInfo);
  client.send('secret', { names: SECRET_NAMES });
  versions.push((await client.take('secret', SECRET_NAMES)).versionInfo);
  return versions;
}

let probes = 0;

/** Tells whether no answer came by the time the control plane has received a later request. */
async function silent(controlPlane: FakeControlPlane, client: AdsClient): Promise<boolean> {
  const probe = `probe ${++probes}`;
  const before = controlPlane.responses.length;
  client.probe(probe);
  await controlPlane.waitFor(({ nonce }) => nonce === probe);
  return controlPlane.responses.length === before;
}

t.test('answers the initial fetch in four responses with one nonce counter and UUID versions', async (t) => {
  const controlPlane = await startWith(t);
  const client = connect(t, controlPlane);
  const versions = await fetchAll(client);
  for (const version of versions) t.match(version, UUID);
  t.equal(new Set(versions).size, 4);
  t.same(
    controlPlane.responses.map(({ nonce, type }) => [nonce, type]),
    [
      ['1', 'cluster'],
      ['2', 'endpoint'],
      ['3', 'listener'],
      ['4', 'secret'],
    ],
  );
  await controlPlane.waitFor(({ type, nonce }) => type === 'secret' && nonce === '4');
  t.same(
    controlPlane.requests.map(({ nodeId }) => nodeId),
    ['.egress-1', ...new Array<null>(7).fill(null)],
  );
});

t.test('resources may be messages or JSON, and arrive whole', async (t) => {
  const controlPlane = await startWith(t, {
    resources: { clusters: [{ '@type': 'x', name: 'default:es', type: 'STATIC', connectTimeout: '5s' }] },
  });
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  const { resources } = await client.take('cluster');
  const cluster = fromBinary(ClusterSchema, resources[0]!.value);
  t.equal(cluster.name, 'default:es');
  t.equal(cluster.connectTimeout?.seconds, 5n);
});

t.test('endpoints and secrets are answered only when all of them are asked for', async (t) => {
  const controlPlane = await startWith(t);
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  await client.take('cluster');
  client.send('endpoint', { names: ['default:backend'] });
  client.send('secret', { names: ['mesh_ca:secret:default'] });
  t.ok(await silent(controlPlane, client));
  client.send('endpoint', { names: [...CLUSTER_NAMES, 'one more'] });
  t.equal((await client.take('endpoint')).resources.length, 2);
});

t.test('a type that never had a resource is not answered', async (t) => {
  const controlPlane = await startWith(t, { resources: { clusters: [] } });
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  t.ok(await silent(controlPlane, client));
});

t.test('a change is pushed in order: what did not change stays, but endpoints come again after clusters', async (t) => {
  const controlPlane = await startWith(t);
  const client = connect(t, controlPlane);
  const [, endpoints] = await fetchAll(client);
  await controlPlane.waitFor(({ nonce }) => nonce === '4');

  controlPlane.set({ clusters: [...RESOURCES.clusters!, { name: 'default:es', type: 'STATIC' }], secrets: RESOURCES.secrets! });
  t.equal((await client.take('cluster')).resources.length, 3);
  t.not((await client.take('endpoint', CLUSTER_NAMES)).versionInfo, endpoints);
  await controlPlane.waitFor(({ nonce }) => nonce === '6');

  controlPlane.set({ clusters: [...RESOURCES.clusters!, { name: 'default:es', type: 'STATIC' }] });
  t.ok(await silent(controlPlane, client), 'the same again');

  controlPlane.set({ listeners: [] });
  t.equal((await client.take('listener')).resources.length, 0);
});

t.test('after a NACK the whole stream sleeps five seconds, then the same version comes with a new nonce', async (t) => {
  const clock = new FakeClock();
  const controlPlane = await startWith(t, { clock });
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  const first = await client.response();
  client.send('cluster', { nonce: first.nonce, error: 'refused on purpose' });
  client.send('listener');
  await controlPlane.waitFor(({ type }) => type === 'listener');
  t.equal(controlPlane.requests[1]?.error, 'refused on purpose');
  clock.advance(4_999);
  t.ok(await silent(controlPlane, client));
  clock.advance(1);
  const again = await client.response();
  t.equal(again.versionInfo, first.versionInfo);
  t.equal(again.nonce, '2');
  t.equal((await client.response()).nonce, '3', 'the listeners waited');
});

t.test('two NACKs at once are slept off one after the other', async (t) => {
  const clock = new FakeClock();
  const controlPlane = await startWith(t, { clock });
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  client.send('listener');
  for (const type of ['cluster', 'listener'] as const) {
    client.send(type, { nonce: (await client.response()).nonce, error: 'refused on purpose' });
  }
  await controlPlane.waitFor(({ nonce }) => nonce === '2');
  clock.advance(5_000);
  t.equal((await client.take('cluster')).nonce, '3');
  t.equal(controlPlane.responses.length, 3);
  clock.advance(5_000);
  t.equal((await client.take('listener')).nonce, '4');
});

t.test('a request that answers an older response is not heard', async (t) => {
  const controlPlane = await startWith(t);
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  await client.take('cluster');
  client.send('cluster', { nonce: '0' });
  t.ok(await silent(controlPlane, client));
});

t.test('a name that brought its resource stays taken for ten seconds after any disconnect', async (t) => {
  const clock = new FakeClock();
  const controlPlane = await startWith(t, { clock });
  const busy = { code: 2, details: 'there is already an active stream from this node, try again later' };
  const first = connect(t, controlPlane);
  first.send('cluster', { node: nodeOf('egress-1') });
  await first.take('cluster');

  async function again(metadata: JsonObject = {}): Promise<AdsClient> {
    const client = connect(t, controlPlane);
    client.send('cluster', { node: nodeOf('egress-1', metadata) });
    return client;
  }
  t.match(await (await again()).ended, busy, 'while it is connected');
  first.close();
  while (controlPlane.streams > 0) await nextTurn();
  t.match(await (await again()).ended, busy, 'at once');
  clock.advance(9_999);
  t.match(await (await again({ 'dataplane.resource': '' })).ended, busy, 'without the resource too');
  clock.advance(1);
  t.equal((await (await again()).take('cluster')).nonce, '1');
});

t.test('a stream that names the versions of an earlier one is given everything again, under new ones', async (t) => {
  const controlPlane = await startWith(t, { deregistrationDelayMs: 0 });
  const first = connect(t, controlPlane);
  const before = await fetchAll(first);
  first.close();
  while (controlPlane.streams > 0) await nextTurn();
  const second = connect(t, controlPlane);
  const names: readonly (readonly string[])[] = [[], CLUSTER_NAMES, [], SECRET_NAMES];
  const node = nodeOf('egress-1');
  for (const [index, type] of ADS_TYPES.entries()) {
    second.send(type, { ...(index === 0 ? { node } : {}), names: names[index]!, version: before[index]! });
  }
  for (const [index, type] of ADS_TYPES.entries()) {
    t.not((await second.take(type, names[index])).versionInfo, before[index], type);
  }
});

t.test('a ZoneEgress that was there before comes back at once', async (t) => {
  const controlPlane = await startWith(t, { zoneEgresses: ['egress-1'] });
  for (let round = 0; round < 2; round++) {
    const client = connect(t, controlPlane);
    client.send('cluster', { node: nodeOf('egress-1', { 'dataplane.resource': '' }) });
    await client.take('cluster');
    client.close();
    while (controlPlane.streams > 0) await nextTurn();
  }
});

t.test('without a readiness port nothing comes, and no error; 2.9 does not mind', async (t) => {
  const node = nodeOf('egress-1', { 'dataplane.readinessReporter.port': '' });
  for (const version of ['2.12', '2.14'] as const) {
    const controlPlane = await startWith(t, { version });
    const client = connect(t, controlPlane);
    client.send('cluster', { node });
    t.ok(await silent(controlPlane, client), version);
  }
  const client = connect(t, await startWith(t, { version: '2.9' }));
  client.send('cluster', { node });
  await client.take('cluster');
});

t.test('a node id that changes ends the stream, ten seconds later', async (t) => {
  const clock = new FakeClock();
  const controlPlane = await startWith(t, { clock });
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  await client.take('cluster');
  client.send('listener', { node: nodeOf('egress-2') });
  await controlPlane.waitFor(({ nodeId }) => nodeId === '.egress-2');
  t.ok(await silent(controlPlane, client));
  clock.advance(10_000);
  t.match(await client.ended, {
    code: 2,
    details: /^stream was authenticated for ID \.egress-1\. Received request is for node with ID \.egress-2\. /,
  });
});

t.test('the first answer may take its time', async (t) => {
  const clock = new FakeClock();
  const controlPlane = await startWith(t, { clock, firstAnswerMs: 1_200 });
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  t.ok(await silent(controlPlane, client));
  clock.advance(1_200);
  await client.take('cluster');
});

t.test('refuses streams in the words of the recorded failures', async (t) => {
  const controlPlane = await startWith(t);
  const { tokens } = controlPlane;
  const other = await createZoneTokens({ zone: 'zone-1', wall: () => Date.now() });
  const TOKENS: Readonly<Record<string, string | null>> = {
    'no-token': null,
    'garbage-token': 'garbage',
    'bearer-prefix': `Bearer ${tokens.issue()}`,
    'bad-signature': other.issue(),
    'dataplane-token': other.issue(),
    'expired-token': tokens.issue({ validForMs: -1_000 }),
    'scope-ingress': tokens.issue({ scope: ['ingress'] }),
    'other-zone': tokens.issue({ zone: 'zone-2' }),
  };
  // A Node.js client cannot send the header twice, and the last two belong to accepted streams.
  const OTHERWISE = ['two-authorization-headers', 'second-stream-b', 'second-stream-c-after-close', 'node-id-changes'];
  let checked = 0;
  for (const name of readdirSync(`${FOLDER}ads/failures`)) {
    const folder = `${FOLDER}ads/failures/${name}`;
    const lines = readFileSync(`${folder}/index.jsonl`, 'utf8').trim().split('\n');
    const end = JSON.parse(lines.at(-1)!) as { readonly event?: string; readonly code?: number; readonly message?: string };
    if (end.event !== 'stream-end' || end.code !== 2 || OTHERWISE.includes(name)) continue;
    const node = JSON.parse(readFileSync(`${folder}/node.json`, 'utf8')) as { id: string; metadata: JsonObject };
    const token = TOKENS[name];
    const client = connect(t, controlPlane, token === undefined ? tokens.issue() : token);
    client.send('cluster', { node });
    t.match(await client.ended, { code: 2, details: end.message }, name);
    checked++;
  }
  t.ok(checked >= 14, `${checked} failures`);
});

t.test('a token that was revoked, or is not valid yet, is refused; both scopes and any zone are accepted', async (t) => {
  const wall = Date.UTC(2026, 0, 1);
  const tokens = await createZoneTokens({ zone: 'zone-1', wall: () => wall });
  const revoked = tokens.issue();
  tokens.revoke(revoked);
  t.equal(tokens.refusal(revoked), 'token is revoked');
  t.match(tokens.refusal(tokens.issue({ notBefore: wall + 60_000 })), /token is not valid yet$/);
  t.equal(tokens.refusal(tokens.issue({ scope: ['ingress', 'egress'], zone: '' })), null);
  const [header, claims] = tokens
    .issue()
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString());
  t.equal(header, '{"alg":"RS256","kid":"1","typ":"JWT"}');
  const seconds = wall / 1_000;
  t.match(JSON.parse(claims!), {
    Zone: 'zone-1',
    Scope: ['egress'],
    exp: seconds + 2_592_000,
    nbf: seconds - 5,
    iat: seconds - 5,
    jti: UUID,
  });
});

t.test('cuts its streams', async (t) => {
  const controlPlane = await startWith(t);
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  await client.take('cluster');
  controlPlane.dropStreams();
  t.equal((await client.ended).code, 14);
});

t.test('withholds a type, and gives it later', async (t) => {
  const clock = new FakeClock();
  const controlPlane = await startWith(t, { clock });
  controlPlane.stall('cluster');
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  t.ok(await silent(controlPlane, client), 'stalled');
  controlPlane.delay('cluster', 3_000);
  controlPlane.resume('cluster');
  t.ok(await silent(controlPlane, client), 'delayed');
  client.send('endpoint', { names: CLUSTER_NAMES });
  t.equal((await client.take('endpoint')).nonce, '1', 'other types do not wait');
  clock.advance(3_000);
  await client.take('cluster');
});

t.test('sends garbage: a resource that cannot be read, and a message that is none', async (t) => {
  const controlPlane = await startWith(t);
  const client = connect(t, controlPlane);
  const [version] = await fetchAll(client);
  await controlPlane.waitFor(({ nonce }) => nonce === '4');
  controlPlane.sendGarbage('cluster');
  const response = await client.response();
  t.not(response.versionInfo, version);
  t.throws(() => fromBinary(ClusterSchema, response.resources[0]!.value));
  controlPlane.sendGarbage('cluster', 'message');
  await t.rejects(client.response());
});

t.test('keeps a NACK loop going until it is ended', async (t) => {
  const controlPlane = await startWith(t, { nackBackoffMs: 1 });
  const end = controlPlane.nackLoop('cluster');
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  const versions = new Set<string>();
  for (let round = 0; round < 3; round++) {
    const { nonce, versionInfo, resources } = await client.response();
    versions.add(versionInfo);
    t.equal(resources.length, 3);
    client.send('cluster', { nonce, error: 'cannot be read' });
  }
  t.equal(versions.size, 1);
  end();
  let last = await client.response();
  // One more bad copy may be on its way.
  if (last.resources.length === 3) {
    client.send('cluster', { nonce: last.nonce, error: 'cannot be read' });
    last = await client.response();
  }
  t.equal(last.resources.length, 2);
});

t.test('refuses every token for a while', async (t) => {
  const controlPlane = await startWith(t);
  controlPlane.refuseAuth('authentication failed: not today');
  const refused = connect(t, controlPlane);
  refused.send('cluster', { node: nodeOf('egress-1') });
  t.match(await refused.ended, { code: 2, details: 'authentication failed: not today' });
  controlPlane.refuseAuth(null);
  await fetchAll(connect(t, controlPlane));
});

t.test('a restart ends streams with OK, forgets who was there, and listens on the same port', async (t) => {
  const port = await freePort();
  const controlPlane = await startWith(t, { port });
  const client = connect(t, controlPlane);
  const before = await fetchAll(client);
  await controlPlane.stop();
  t.equal((await client.ended).code, 0);
  const refused = connect(t, controlPlane);
  refused.send('cluster', { node: nodeOf('egress-1') });
  t.equal((await refused.ended).code, 14);
  await controlPlane.start();
  t.equal(controlPlane.port, port);
  const after = await fetchAll(connect(t, controlPlane));
  t.equal(new Set([...before, ...after]).size, 8, 'new versions');
});

t.test('waiting for a request that does not come tells what came', async (t) => {
  const controlPlane = await startWith(t);
  const client = connect(t, controlPlane);
  client.send('cluster', { node: nodeOf('egress-1') });
  await client.take('cluster');
  await controlPlane.waitFor(({ nonce }) => nonce === '1');
  await t.rejects(
    controlPlane.waitFor(({ type }) => type === 'secret', { timeoutMs: 1 }),
    {
      message: 'wait for a request: none that fits within 1 ms, but [cluster , cluster 1]',
    },
  );
});

t.test(
  'reads an admin listener as a control plane does: mutual TLS 1.3, no SNI, a new connection each time, left open',
  async (t) => {
    const controlPlane = await startWith(t);
    // By name, so that there is one that could be sent as SNI.
    const server = await controlPlane.admin.issueServer('localhost');
    const sockets: TLSSocket[] = [];
    const listener = createServer(
      { cert: server.cert, key: server.key, ca: controlPlane.admin.caCert, requestCert: true, rejectUnauthorized: true },
      (socket) => {
        sockets.push(socket);
        socket.on('data', (bytes: Buffer) =>
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes.length}\r\n\r\n${bytes.toString()}`),
        );
      },
    );
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as { port: number };
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    });
    for (const path of ['/config_dump?include_eds=true', '/clusters']) {
      const { status, body } = await controlPlane.inspect(`localhost:${port}`, { path });
      t.equal(status, 200);
      t.ok(body.startsWith(`GET ${path} HTTP/1.1\r\n`), body);
    }
    t.equal(sockets.length, 2);
    for (const socket of sockets) {
      t.equal(socket.getProtocol(), 'TLSv1.3');
      t.equal(socket.getPeerX509Certificate()?.subjectAltName, 'DNS:kuma-cp');
      t.not(socket.servername, undefined);
      t.notOk(socket.servername);
      t.notOk(socket.destroyed);
    }
  },
);

t.test('an admin listener with the certificate of another address is not read', async (t) => {
  const controlPlane = await startWith(t);
  const server = await controlPlane.admin.issueServer('127.0.0.9');
  const listener = createServer({ cert: server.cert, key: server.key }, (socket) => socket.on('error', () => undefined));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.teardown(() => listener.close());
  const { port } = listener.address() as { port: number };
  await t.rejects(controlPlane.inspect(`127.0.0.1:${port}`), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

t.test('the client of the egress plays recordings to their end', async (t) => {
  const nacked = (n: number): RegExp =>
    new RegExp(`^request ${n} \\(cluster\\): recorded a NACK \\(.*Multiple health checks.*\\), came an ACK$`);
  const DIFFERENCES: Readonly<Record<string, readonly RegExp[]>> = {
    // Envoy drops the names of a mesh some seconds after its chains, one by one.
    'ads/sotw': [...[47, 50, 52, 54, 57].map(nacked), /^request 81 \(secret\): recorded \[.*mesh-rot.*\], came \[(?!.*mesh-rot)/],
    'versions/2.9.19/ads/initial': [],
    'versions/2.12.14/ads/initial': [],
  };
  for (const [folder, differences] of Object.entries(DIFFERENCES)) {
    const controlPlane = await startWith(t, { resources: {} });
    const replay = await controlPlane.replay(`${FOLDER}${folder}`);
    const client = createAdsClient({
      clock: systemClock(),
      protocol: 'sotw',
      target: { host: 'localhost', port: controlPlane.port },
      node: create(NodeSchema, { ...nodeOf('egress-1'), cluster: 'egress' }),
      token: async () => controlPlane.tokens.issue(),
      tls: { kind: 'tls', ca: controlPlane.caCert, verify: true, serverName: null },
      accept: acceptAll(),
      onState: () => undefined,
      onEvent: () => undefined,
    });
    t.teardown(() => client.close());
    await replay.done;
    t.equal(replay.differences.length, differences.length, folder);
    t.match(replay.differences, differences, folder);
    t.equal(client.state().secrets.size, 6);
  }
});

const SIX = ['default', 'mesh-2', 'mesh-3'].flatMap((mesh) => [`identity_cert:secret:${mesh}`, `mesh_ca:secret:${mesh}`]);

t.test('a recorded answer waits for the requests of its type, a recorded change for all', async (t) => {
  const controlPlane = await startWith(t, { resources: {} });
  const replay = await controlPlane.replay(`${FOLDER}ads/sotw`);
  const client = connect(t, controlPlane);
  const names = ['default:es-zone2', 'mesh-2:backend', 'default:backend'];
  const node = nodeOf('egress-1');
  client.send('cluster', { node });
  await client.response();
  client.send('endpoint', { names, nonce: '99' });
  client.send('endpoint', { names: ['default:backend'] });
  client.probe('later');
  await controlPlane.waitFor(({ nonce }) => nonce === 'later');
  t.match(replay.missing, /^request 3: endpoint, nonce "", names \[default:backend, /);
  client.send('endpoint', { names });
  t.equal((await client.response()).nonce, '2');
  t.equal(replay.missing, 'request 6: listener, nonce "", names []');
  client.send('listener');
  client.send('secret', { names: SIX });
  t.same([(await client.response()).nonce, (await client.response()).nonce], ['3', '4']);
  for (const [type, nonce] of [
    ['endpoint', '2'],
    ['listener', '3'],
    ['secret', '4'],
  ] as const)
    client.send(type, { nonce, names: [] });
  client.probe('later still');
  await controlPlane.waitFor(({ nonce }) => nonce === 'later still');
  t.equal(replay.missing, 'request 4: cluster, nonce "1", names []');
  client.send('cluster', { nonce: '1', error: 'not this one' });
  t.equal((await client.response()).nonce, '5', 'a service was added');
  t.match(replay.differences, [
    /^request 7 \(endpoint\): recorded \[default:backend, .*\], came \[\]$/,
    /^request 12 \(secret\): recorded \[.*\], came \[\]$/,
    'request 4 (cluster): recorded an ACK, came a NACK (not this one)',
  ]);
});

t.test('plays recorded conversations: every response at its place, the bytes as they were', async (t) => {
  const FOLDERS: readonly (readonly [folder: string, options: RecordingOptions])[] = [
    ['ads/sotw', {}],
    ['versions/2.9.19/ads/initial', {}],
    ['versions/2.12.14/ads/initial', {}],
    ['ads/variants/pre-created-2-reconnect', { base: `${FOLDER}ads/sotw` }],
    ['mesh-scoped/ads', { until: 9 }],
  ];
  for (const [folder, options] of FOLDERS) {
    const controlPlane = await startWith(t, { resources: {} });
    const replay = await controlPlane.replay(`${FOLDER}${folder}`, options);
    const client = connect(t, controlPlane);
    const lines = readFileSync(`${FOLDER}${folder}/index.jsonl`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
    const TYPES = { cds: 'cluster', eds: 'endpoint', lds: 'listener', sds: 'secret' } as const;
    let responses = 0;
    for (const { n = 0, dir, event, type, response_nonce: nonce, resource_names: names, error, file, node } of lines) {
      if (n > (options.until ?? Infinity)) break;
      if (dir === 'request') {
        client.send(TYPES[type!], {
          ...(node === undefined ? {} : { node: nodeOf('egress-1') }),
          ...(names === undefined ? {} : { names }),
          ...(nonce === undefined ? {} : { nonce }),
          ...(error === undefined ? {} : { error }),
        });
      } else if (dir === 'response') {
        const bytes = await client.bytes();
        const raw = `${FOLDER}${folder}/${file?.replace(/json$/, 'pb.b64') ?? 'none'}`;
        if (existsSync(raw)) t.ok(bytes.equals(Buffer.from(readFileSync(raw, 'utf8'), 'base64')), file!);
        responses++;
      } else if (event === 'client-closes') break;
    }
    await replay.done;
    t.same(replay.differences, []);
    t.ok(responses >= 3, `${folder}: ${responses} responses`);
  }
});

interface Line {
  readonly n?: number;
  readonly dir?: string;
  readonly event?: string;
  readonly type?: 'cds' | 'eds' | 'lds' | 'sds';
  readonly response_nonce?: string;
  readonly resource_names?: readonly string[];
  readonly error?: string;
  readonly file?: string;
  readonly node?: string;
}
