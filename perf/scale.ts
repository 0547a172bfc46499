// Question: what do many services cost: compiling, changing one, looking one up, memory? 50 meshes,
// 100 ZoneIngresses, half of the services external, half in other zones. `node --expose-gc
// perf/scale.ts [--services 100,1000,10000]`. The stall is the longest time that the event loop of
// the serving thread was held while a change went live.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { startEgress } from '../src/egress.ts';
import { folderSource } from '../src/control/sources/folder-source.ts';
import { routeOf } from '../src/routing/route.ts';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';

const { values } = parseArgs({ options: { services: { type: 'string', default: '100,1000,10000' } } });
const MESHES = 50;
const INGRESSES = 100;
const meshes = await Promise.all(Array.from({ length: MESHES }, (_, i) => createTestMesh(`mesh-${i}`)));

console.log(`node --expose-gc perf/scale.ts --services ${values.services}   (Node ${process.version})`);
console.log('services  first compile ms  live ms  change live ms  stall ms (max)  lookup ns  KB per service');
for (const services of values.services.split(',').map(Number)) await measure(services);
process.exit();

async function measure(services: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-scale-'));
  write(dir, services);
  let startedAt = performance.now();
  const compiled = await folderSource({ dir }).load();
  const compileMs = performance.now() - startedAt;
  if (compiled.kind === 'invalid') throw new Error(compiled.problems[0]?.message);

  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  startedAt = performance.now();
  await using egress = await startEgress({ resources: dir, port: 0, admin: false, configThread: true });
  const liveMs = performance.now() - startedAt;
  globalThis.gc?.();
  const perService = (process.memoryUsage().heapUsed - before) / services / 1024;

  const changes: number[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  for (let i = 0; i < 5; i++) {
    writeFileSync(join(dir, 'changed.yaml'), externalService(0, 'changed', 1_000 + i));
    delay.enable();
    startedAt = performance.now();
    await egress.reload();
    changes.push(performance.now() - startedAt);
    delay.disable();
  }
  const names = [...egress.snapshot().routes.keys()];
  startedAt = performance.now();
  for (let i = 0; i < 1_000_000; i++) routeOf(egress.snapshot(), names[i % names.length] ?? null);
  const lookupNs = performance.now() - startedAt;
  const cells = [compileMs, liveMs, changes.toSorted((a, b) => a - b)[2] ?? NaN, delay.max / 1e6, lookupNs, perService];
  console.log(
    [
      String(services).padEnd(9),
      ...cells.map((cell, i) => (i === 5 ? cell.toFixed(2) : cell.toFixed(0)).padEnd(i === 0 ? 17 : 14)),
    ].join(' '),
  );
  rmSync(dir, { recursive: true });
}

function write(dir: string, services: number): void {
  for (const [i, mesh] of meshes.entries()) {
    const mine = Array.from({ length: services / 2 / MESHES }, (_, k) => externalService(i, `es-${k}`, 443));
    writeFileSync(join(dir, `mesh-${i}.yaml`), [mesh.resources, permission(i), ...mine].join('---\n'));
  }
  const perIngress = services / 2 / INGRESSES;
  for (let i = 0; i < INGRESSES; i++) writeFileSync(join(dir, `ingress-${i}.yaml`), ingress(i, perIngress));
  writeFileSync(
    join(dir, 'egress.yaml'),
    'type: ZoneEgress\nname: egress\nzone: zone-e\nnetworking: { address: 127.0.0.1, port: 10802 }\n',
  );
}

function externalService(mesh: number, name: string, port: number): string {
  return `type: ExternalService\nmesh: mesh-${mesh}\nname: ${name}-${mesh}\ntags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }\nnetworking: { address: '192.0.2.1:${port}' }\n`;
}

function permission(mesh: number): string {
  return `type: TrafficPermission\nmesh: mesh-${mesh}\nname: all-${mesh}\nsources: [{ match: { kuma.io/service: '*' } }]\ndestinations: [{ match: { kuma.io/service: '*' } }]\n`;
}

function ingress(i: number, services: number): string {
  const offered = Array.from(
    { length: services },
    (_, k) =>
      `- { mesh: mesh-${(i + k) % MESHES}, instances: ${1 + (k % 3)}, tags: { kuma.io/service: backend-${i}-${k}, version: v${k % 2} } }`,
  );
  return `type: ZoneIngress\nname: ingress-${i}\nzone: zone-${i}\nnetworking: { address: 192.0.2.9, port: 10001, advertisedAddress: 198.51.100.${i + 1}, advertisedPort: 10001 }\navailableServices:\n${offered.join('\n')}\n`;
}
