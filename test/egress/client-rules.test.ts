// Rules for certain clients from a control plane, which come as routes by filter state: what they
// do to real requests, and to sessions of TCP beside them.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { Test } from 'tap';
import { withClientRules } from '../kuma/client-routes.ts';
import type { ClientPolicy, ClientRule } from '../kuma/client-routes.ts';
import { startJoined } from './joined-zone.ts';
import type { JoinedMesh, JoinedZone } from './joined-zone.ts';
import { ask } from './zone.ts';

const MESH = 'mesh-b';
const WEB = `sni.extsvc.${MESH}.web.80`;
const TYPE = 'type.googleapis.com/envoy.extensions.filters';
const FRONTEND = { exact: `spiffe://${MESH}.zone-1.mesh.local/workload/frontend` };
const WORKLOADS = { prefix: `spiffe://${MESH}.zone-1.mesh.local/workload/` };

/** A chain of HTTP as Kuma makes it, beside the recorded ones of TCP. */
function webChain(beside: JsonObject): JsonObject {
  const typedConfig = {
    '@type': `${TYPE}.network.http_connection_manager.v3.HttpConnectionManager`,
    statPrefix: 'web',
    httpFilters: [{ name: 'envoy.filters.http.router', typedConfig: { '@type': `${TYPE}.http.router.v3.Router` } }],
    routeConfig: {
      virtualHosts: [
        { name: 'web', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'web', timeout: '3600s' } }] },
      ],
    },
  };
  return {
    ...beside,
    name: 'web',
    filterChainMatch: { serverNames: [WEB], transportProtocol: 'tls' },
    filters: [{ name: 'envoy.filters.network.http_connection_manager', typedConfig }],
  };
}

function webCluster(portValue: number): JsonObject {
  const endpoint = { address: { socketAddress: { address: '127.0.0.1', portValue } } };
  const loadAssignment = { clusterName: 'web', endpoints: [{ lbEndpoints: [{ endpoint }] }] };
  return { name: 'web', type: 'STATIC', connectTimeout: '5s', loadAssignment };
}

interface Started {
  readonly zone: JoinedZone;
  readonly mesh: JoinedMesh;
  /** Asks on a connection of its own; the status and the text after the head. */
  readonly get: (client: string, path?: string) => Promise<readonly [status: number, body: string]>;
}

/** The service answers with the timeout that it was told of, and `/never` not at all. */
async function start(t: Test, ...policies: readonly (readonly [ClientPolicy, readonly ClientRule[]])[]): Promise<Started> {
  const server = createServer((request, response) => {
    if (request.url !== '/never') response.end(String(request.headers['x-envoy-expected-rq-timeout-ms']));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const zone = await startJoined(t, {
    meshes: [MESH],
    before(controlPlane, [mesh]) {
      const { clusters, listeners, secrets } = mesh!.resources();
      const changed = listeners.map((listener) => {
        const chains = listener['filterChains'] as JsonObject[];
        const whole: JsonObject = { ...listener, filterChains: [...chains, webChain(chains[0]!)] };
        return policies.reduce((each, [policy, rules]) => withClientRules(each, policy, rules), whole);
      });
      const web = webCluster((server.address() as AddressInfo).port);
      controlPlane.set({ clusters: [...clusters, web], listeners: changed, secrets }, { of: `${MESH}.egress` });
    },
  });
  const mesh = zone.meshes[0]!;
  return {
    zone,
    mesh,
    async get(client, path = '/') {
      const socket = await zone.connect(WEB, mesh.client(client));
      let text = '';
      socket.setEncoding('latin1');
      socket.on('data', (piece: string) => (text += piece));
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      await once(socket, 'end');
      socket.destroy();
      return [Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text.slice(text.indexOf('\r\n\r\n') + 4)];
    },
  };
}

t.test('a timeout for certain clients counts for them alone, and sessions of TCP pass beside it', async (t) => {
  const { zone, mesh, get } = await start(t, ['mesh_timeout', [{ client: FRONTEND, timeouts: { timeout: '0.1s' } }]]);
  await using _ = zone;
  t.equal((await get('frontend', '/never'))[0], 504);
  const other = await zone.connect(WEB, mesh.client('other'));
  let heard = 0;
  other.on('data', () => (heard += 1));
  other.write('GET /never HTTP/1.1\r\nHost: a\r\n\r\n');
  t.equal((await get('frontend', '/never'))[0], 504);
  t.equal(heard, 0, 'the other client still waits');
  t.same(await get('other'), [200, '3600000'], 'the service hears of the timeout of all');
  t.equal(
    await ask(await zone.connect(mesh.sni, mesh.client('frontend')), 'ping'),
    'ping',
    'the chain of TCP has the filter too',
  );
});

t.test('the service hears of the timeout of its client', async (t) => {
  const { zone, get } = await start(t, [
    'mesh_timeout',
    [
      { client: FRONTEND, serverName: WEB, timeouts: { timeout: '30s' } },
      { client: FRONTEND, serverName: 'another', timeouts: { timeout: '40s' } },
      { client: WORKLOADS, timeouts: { timeout: '50s' } },
    ],
  ]);
  await using _ = zone;
  t.same(await get('frontend'), [200, '30000']);
  t.same(await get('other'), [200, '50000']);
});

t.test('a limit for certain clients has its own count, and a client that is free of it has none', async (t) => {
  const { zone, get } = await start(t, [
    'mesh_rate_limit',
    [
      { client: FRONTEND, limit: null },
      { client: WORKLOADS, limit: 2 },
    ],
  ]);
  await using _ = zone;
  const statuses = async (client: string): Promise<readonly number[]> => {
    const all: number[] = [];
    for (let i = 0; i < 3; i++) all.push((await get(client))[0]);
    return all;
  };
  t.same(await statuses('other'), [200, 200, 429]);
  t.same(await statuses('frontend'), [200, 200, 200]);
});
