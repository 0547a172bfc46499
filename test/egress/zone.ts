// A whole zone on loopback for one test: an egress with real sockets and real TLS, another zone's
// ingress, external services. At the end of the test it closes everything, and fails the test when
// something was left behind.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { Egress, EgressOptions, SessionRecord } from '../../src/egress.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import type { FakeExternalService, FakeExternalServiceOptions } from '../../src/testing/egress/fake-external-service.ts';
import { createFakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import type { FakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { decidedAlike } from './decided-alike.ts';
import { BOUND_MS } from './until.ts';

export type Certificate = { readonly cert: string; readonly key: string };

export interface ZoneOptions extends Partial<Omit<EgressOptions, 'resources'>> {
  /**
   * Makes further documents, or replaces the usual external services and permissions. Gets the
   * ports of the fakes.
   */
  readonly resources?: (ports: Ports) => string;
  readonly tcp?: FakeExternalServiceOptions;
  readonly tls?: Omit<FakeExternalServiceOptions, 'tls'>;
  readonly keyType?: 'rsa' | 'ec';
}

export interface Ports {
  readonly ingress: number;
  readonly tls: number;
  readonly tcp: number;
}

/** Close it with `await using`, which also checks for what was left behind. */
export interface Zone extends AsyncDisposable {
  readonly egress: Egress;
  readonly mesh: TestMesh;
  readonly otherMesh: TestMesh;
  readonly external: TestMesh;
  readonly ingress: FakeZoneIngress;
  readonly tls: FakeExternalService;
  readonly tcp: FakeExternalService;
  readonly ports: Ports;
  /** The folder that the egress serves; `zone.yaml` has everything. */
  readonly folder: string;
  /** Connects a mesh client: resolves when its handshake with the other side is done. */
  connect(sni: string, client: Certificate, options?: ConnectionOptions): Promise<TLSSocket>;
  raw(): Socket;
  /** Every record so far, oldest first. */
  readonly records: readonly SessionRecord[];
  /** Resolves with the first record, past or to come, that fits. */
  record(fits: (record: SessionRecord) => boolean): Promise<SessionRecord>;
  write(file: string, text: string): void;
}

/** Every promise holds for each of these concurrencies. */
export const CONCURRENCIES = [1, 2] as const;

export async function startZone(t: Test, options: ZoneOptions = {}): Promise<Zone> {
  const keyType = options.keyType ?? 'ec';
  const [mesh, otherMesh, external] = await Promise.all([
    createTestMesh('default', { keyType }),
    createTestMesh('other', { keyType }),
    createTestMesh('partner', { keyType: 'ec' }),
  ]);
  const before = activeResources();
  const sockets = new Set<Socket>();
  const server = external.issue({ uris: [], dns: ['api.partner.test'], subject: [['CN', 'api']] });
  const ingress = await createFakeZoneIngress({ ...mesh.client('backend'), trust: mesh.ca.cert });
  const tls = await createFakeExternalService({ ...options.tls, tls: { ...server, clientCa: external.ca.cert } });
  const tcp = await createFakeExternalService(options.tcp ?? {});
  const ports = { ingress: ingress.port, tls: tls.port, tcp: tcp.port };
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-test-'));
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  write(
    'zone.yaml',
    [mesh.resources, otherMesh.resources, zoneYaml(ports), (options.resources ?? usualServices(external))(ports)].join('\n---\n'),
  );

  const { resources: _made, tcp: _tcp, tls: _tls, keyType: _key, ...given } = options;
  // A test of the deadline sets its own; no other test may reach it on a busy machine.
  const traffic = { setupTimeoutMs: BOUND_MS, ...given.traffic };
  const egress = await startEgress({ resources: folder, port: 0, admin: { port: 0 }, ...given, traffic });
  const records: SessionRecord[] = [];
  const waiting = new Set<() => void>();
  egress.onRecord((record) => {
    records.push(record);
    for (const look of waiting) look();
  });

  async function close(): Promise<void> {
    for (const record of records) {
      const problem = decidedAlike(egress.snapshot(), record);
      if (problem !== null) t.fail(problem, { record });
    }
    for (const socket of sockets) socket.destroy();
    await egress.close();
    await Promise.all([ingress.close(), tls.close(), tcp.close()]);
    rmSync(folder, { recursive: true, force: true });
    t.strictSame(await leftovers(before), [], 'nothing leaked: no socket, listener, timer or thread is left');
    t.equal(egress.sessions(), 0, 'no session is counted any more');
  }

  function keep<S extends Socket>(socket: S): S {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    return socket;
  }

  return {
    egress,
    mesh,
    otherMesh,
    external,
    ingress,
    tls,
    tcp,
    ports,
    folder,
    records,
    write,
    [Symbol.asyncDispose]: close,
    raw: () => keep(connectTcp({ port: egress.port, host: '127.0.0.1', allowHalfOpen: true })),
    async connect(sni, client, connection = {}) {
      const socket = keep(
        connectTls({
          port: egress.port,
          host: '127.0.0.1',
          servername: sni,
          ...client,
          rejectUnauthorized: false,
          allowHalfOpen: true,
          ALPNProtocols: ['kuma'],
          ...connection,
        } as ConnectionOptions),
      );
      await once(socket, 'secureConnect');
      return socket;
    },
    record(fits) {
      return new Promise((resolve) => {
        function look(): void {
          const found = records.find(fits);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        }
        waiting.add(look);
        look();
      });
    },
  };
}

/** Sends, and resolves with the next bytes that come back. */
export async function ask(socket: Socket, text: string | Buffer): Promise<string> {
  socket.write(text);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString('latin1');
}

/** Resolves when the connection is over, by an end, an error or a reset. */
export async function gone(socket: Socket): Promise<void> {
  socket.resume();
  socket.once('end', () => socket.end());
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
}

function zoneYaml(ports: Ports): string {
  return `type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: 10002, admin: { port: 9901 } }
---
type: ZoneIngress
name: west
zone: west
networking: { address: 127.0.0.1, port: ${ports.ingress}, advertisedAddress: 127.0.0.1, advertisedPort: ${ports.ingress} }
availableServices:
- { mesh: default, instances: 1, tags: { kuma.io/service: backend, kuma.io/zone: west } }
`;
}

/**
 * `api` over TLS with a client certificate, `legacy` over plain TCP, both for `frontend`; `ledger`
 * for every client of mesh other.
 */
export function usualServices(external: TestMesh): (ports: Ports) => string {
  const client = external.issue({ uris: [], dns: ['egress.partner.test'] });
  return ({ tls, tcp }) => `type: ExternalService
mesh: default
name: api
tags: { kuma.io/service: api, kuma.io/protocol: tcp }
networking:
  address: 127.0.0.1:${tls}
  tls:
    enabled: true
    serverName: api.partner.test
    caCert: { inlineString: ${JSON.stringify(external.ca.cert)} }
    clientCert: { inlineString: ${JSON.stringify(client.cert)} }
    clientKey: { inlineString: ${JSON.stringify(client.key)} }
---
type: ExternalService
mesh: default
name: legacy
tags: { kuma.io/service: legacy, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${tcp}' }
---
type: TrafficPermission
mesh: default
name: frontend-out
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: api } }, { match: { kuma.io/service: legacy } }]
---
type: MeshExternalService
mesh: other
name: ledger
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: ${tcp} }]
`;
}

/** Kinds of resources that a test could leave behind; others belong to the runner. */
const COUNTED: ReadonlySet<string> = new Set([
  'TCPSocketWrap',
  'TCPServerWrap',
  'TCPWrap',
  'TLSWrap',
  'Timeout',
  'MessagePort',
  'FSEventWrap',
  'GetAddrInfoReqWrap',
]);

export function activeResources(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) if (COUNTED.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** Returns what exists beyond `before`, after a time for the kernel and the loop to release it. */
export async function leftovers(before: ReadonlyMap<string, number>): Promise<string[]> {
  const until = performance.now() + BOUND_MS;
  for (;;) {
    const more = [...activeResources()]
      .filter(([kind, count]) => count > (before.get(kind) ?? 0))
      .map(([kind, count]) => `${count - (before.get(kind) ?? 0)} ${kind}`);
    if (more.length === 0 || performance.now() > until) return more;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
