// An egress of its own, as a process, before services that hash what comes.
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../../test/free-ports.ts';
import { start } from '../processes.ts';
import type { Door } from './clients.ts';
import type { Report, ServicePorts } from './service.ts';

export interface HashedBed {
  readonly pid: number;
  /** Where clients of the service reach it: `one` speaks HTTP/1.1, `two` speaks HTTP/2. */
  door(service: string): Door;
  /** Writes the next form of the zone: other ports of the same services, other timeouts. */
  reload(): void;
  reloads(): number;
  report(): Promise<Report>;
  /** Returns the first number that the pattern finds in the metrics of the egress. */
  metric(pattern: RegExp): Promise<number>;
  /** Returns the lines of the last requests that the egress has refused as malformed. */
  malformed(): Promise<string>;
  stop(): Promise<void>;
}

export async function startHashedBed(workers: string): Promise<HashedBed> {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-hashed-'));
  const mesh = await createTestMesh('default', { keyType: 'ec' });
  const certificate = mesh.client('frontend');
  const thread = new Worker(new URL('service.ts', import.meta.url));
  const [services] = (await once(thread, 'message')) as [ServicePorts];
  const [port, adminPort] = [await freePort(), await freePort()];
  let written = 0;
  const write = (): void => {
    const i = written++;
    writeFileSync(join(folder, 'next'), [mesh.resources, zoneYaml({ i, port, adminPort, services })].join('---\n'));
    renameSync(join(folder, 'next'), join(folder, 'zone.yaml'));
  };
  write();
  const args = ['run', '--resources', folder, '--concurrency', workers, '--readiness-port', '0'];
  const egress = await start(
    process.execPath,
    ['--max-semi-space-size=4', new URL('../../src/main.ts', import.meta.url).pathname, ...args],
    (line) => line.msg === 'zone egress is ready',
    { MALLOC_ARENA_MAX: '2' },
  );
  // Ends the egress with this process in every case.
  process.once('exit', () => {
    if (existsSync(`/proc/${egress.pid}`)) process.kill(egress.pid, 'SIGKILL');
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  return {
    pid: egress.pid,
    door: (service) => ({ port, sni: `${service}{mesh=default}`, certificate }),
    reload: write,
    reloads: () => written,
    async report() {
      thread.postMessage('report');
      const [report] = (await once(thread, 'message')) as [Report];
      return report;
    },
    async metric(pattern) {
      const response = await fetch(`http://127.0.0.1:${adminPort}/stats/prometheus`);
      return Number(pattern.exec(await response.text())?.[1] ?? 0);
    },
    async malformed() {
      const page = `http://127.0.0.1:${adminPort}/decisions?reason=malformed-request&output=ndjson`;
      return (await fetch(page, { headers: { connection: 'close' } })).text();
    },
    async stop() {
      await egress.stop();
      await thread.terminate();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface Form {
  /** Which form of the zone. */
  readonly i: number;
  readonly port: number;
  readonly adminPort: number;
  readonly services: ServicePorts;
}

function zoneYaml({ i, port, adminPort, services }: Form): string {
  const external = (name: string, protocol: string, at: number): string =>
    `type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: ${protocol} }
networking: { address: '127.0.0.1:${at}' }
`;
  return [
    `type: TrafficPermission
mesh: default
name: frontend
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`,
    `type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: ${port}, admin: { port: ${adminPort} } }
`,
    external('one', 'http', services.http[i % 2] ?? 0),
    external('two', 'http2', services.http2[i % 2] ?? 0),
    `type: MeshTimeout
mesh: default
name: all
spec:
  targetRef: { kind: Mesh }
  to: [{ targetRef: { kind: Mesh }, default: { connectionTimeout: ${5 + (i % 3)}s } }]
`,
  ].join('---\n');
}
