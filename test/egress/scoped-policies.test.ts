// What MeshTimeout, MeshRateLimit and MeshFaultInjection of an egress of one mesh do to real
// sessions and requests, by server name and by client.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { permissionYaml } from '../resources/fixtures/scoped.ts';
import { startScopedZone } from './scoped-zone.ts';
import type { ScopedMesh, ScopedZone } from './scoped-zone.ts';
import { until } from './until.ts';
import { gone } from './zone.ts';

const WEB = 'sni.extsvc.mesh-a.web.80';
const FRONTEND = 'spiffe://mesh-a.zone-1.mesh.local/workload/frontend';

const web = (port: number): string => `type: MeshExternalService
mesh: mesh-a
name: web
spec: { match: { type: HostnameGenerator, port: 80, protocol: http }, endpoints: [{ address: 127.0.0.1, port: ${port} }] }
`;
const policy = (kind: string, rules: string): string => `type: ${kind}
mesh: mesh-a
name: p
spec: { targetRef: { kind: Dataplane }, rules: [${rules}] }
`;
const of = (uri: string): string => `matches: [{ spiffeID: { type: Exact, value: "${uri}" } }],`;

interface Started {
  readonly zone: ScopedZone;
  readonly mesh: ScopedMesh;
  /** Asks on a connection of its own; the status, or 0 where the connection ended without one. */
  readonly status: (client: string, path?: string) => Promise<number>;
}

/** The service answers all requests but those of `/never`. */
async function start(t: Test, ...policies: readonly string[]): Promise<Started> {
  const server = createServer((request, response) => {
    if (request.url !== '/never') response.end('ok');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const allowed = permissionYaml(
    'mesh-a',
    'all',
    'allow: [{ spiffeID: { type: Prefix, value: "spiffe://mesh-a.zone-1.mesh.local/workload" } }]',
  );
  const zone = await startScopedZone(t, {
    meshes: ['mesh-a'],
    documents: (_, usual) => [
      ...usual.filter((each) => !each.includes('MeshTrafficPermission')),
      allowed,
      web((server.address() as AddressInfo).port),
      ...policies,
    ],
  });
  const [mesh] = zone.meshes;
  return {
    zone,
    mesh: mesh!,
    async status(client, path = '/') {
      const socket = await zone.connect(WEB, mesh!.client(client));
      let head = '';
      socket.setEncoding('latin1');
      socket.on('data', (text: string) => (head += text));
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      await once(socket, 'end');
      socket.destroy();
      return Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0);
    },
  };
}

t.test('a session of TCP that is idle for the time of a rule about its name is ended', async (t) => {
  const idle = policy(
    'MeshTimeout',
    '{ matches: [{ sni: { type: Exact, value: sni.extsvc.mesh-a.partner.9000 } }], default: { idleTimeout: 300ms } }',
  );
  const { zone, mesh } = await start(t, idle);
  await using _ = zone;
  await gone(await zone.connect(mesh.sni, mesh.client('frontend')));
  await until('it is recorded', () => zone.records.length === 1);
  t.match(zone.records[0], { reason: 'idle-timeout', detail: 'no byte in either direction for 300 ms' });
});

t.test('the timeout of requests is that of the client where a rule is about it', async (t) => {
  const timeouts = policy(
    'MeshTimeout',
    `{ default: { http: { requestTimeout: 1h } } }, { ${of(FRONTEND)} default: { http: { requestTimeout: 100ms } } }`,
  );
  const { zone, mesh, status } = await start(t, timeouts);
  await using _ = zone;
  t.equal(await status('frontend', '/never'), 504);
  // The other client still waits when the first one had its answer.
  const other = await zone.connect(WEB, mesh.client('other'));
  let heard = 0;
  other.on('data', () => (heard += 1));
  other.write('GET /never HTTP/1.1\r\nHost: a\r\n\r\n');
  t.equal(await status('frontend', '/never'), 504);
  t.equal(heard, 0);
});

t.test('a limit of requests is that of the client where a rule is about it, each with its own count', async (t) => {
  const rate = (num: number): string => `default: { local: { http: { requestRate: { num: ${num}, interval: 1h } } } }`;
  const { zone, status } = await start(t, policy('MeshRateLimit', `{ ${rate(3)} }, { ${of(FRONTEND)} ${rate(1)} }`));
  await using _ = zone;
  t.same([await status('frontend'), await status('frontend')], [200, 429]);
  t.same([await status('other'), await status('other'), await status('other'), await status('other')], [200, 200, 200, 429]);
});

t.test('a fault is for the clients of its rule, and for the name of its rule', async (t) => {
  const abort = (status: number): string => `default: { http: [{ abort: { httpStatus: ${status}, percentage: 100 } }] }`;
  const faults = policy(
    'MeshFaultInjection',
    `{ ${of(FRONTEND)} ${abort(418)} }, { matches: [{ sni: { type: Exact, value: another } }], ${abort(419)} }`,
  );
  const { zone, status } = await start(t, faults);
  await using _ = zone;
  t.same([await status('frontend'), await status('other')], [418, 200]);
});
