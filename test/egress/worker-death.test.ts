import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import t from 'tap';
import { ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

/** Watches the data sides' threads by Node's events. */
function watchWorkers(): { readonly workers: Worker[]; stop(): void } {
  const workers: Worker[] = [];
  const onWorker = (message: unknown): void => void workers.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', onWorker);
  return { workers, stop: () => void unsubscribe('worker_threads', onWorker) };
}

/** Makes enough connections that every data side gets some: all outcomes must be equal. */
async function outcomes(zone: Zone, sni: string): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let i = 0; i < 40; i++) {
    const known = zone.records.length;
    const socket = await zone.connect(sni, zone.mesh.client('frontend')).catch(() => null);
    if (socket !== null) {
      await ask(socket, 'ping').catch(() => '');
      socket.end();
      await gone(socket);
    }
    await zone.record((record) => zone.records.indexOf(record) >= known);
    seen.add(zone.records[known]!.reason);
  }
  return seen;
}

t.test('a data side that dies is replaced, and its sessions are not counted any more', async (t) => {
  const watched = watchWorkers();
  await using zone = await startZone(t, { concurrency: 2 });
  const open = await Promise.all(
    Array.from({ length: 10 }, () => zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'))),
  );
  for (const socket of open) t.equal(await ask(socket, 'ping'), 'ping');
  t.equal(zone.egress.sessions(), 10);
  await watched.workers[0]!.terminate();
  for (const socket of open) socket.destroy();
  while (zone.egress.sessions() > 0 || watched.workers.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(watched.workers.length, 3, 'another thread took its place');
  t.strictSame(await outcomes(zone, 'legacy{mesh=default}'), new Set(['closed']));
  t.match(await zone.egress.metrics(), /zone_egress_faults_total 1/);
  watched.stop();
});

t.test('a data side that dies during a reload comes back with the new configuration, not the old', async (t) => {
  const watched = watchWorkers();
  await using zone = await startZone(t, { concurrency: 2 });
  const yaml = readFileSync(`${zone.folder}/zone.yaml`, 'utf8');
  zone.write(
    'zone.yaml',
    yaml.replace('{ kuma.io/service: legacy, kuma.io/protocol: tcp }', '{ kuma.io/service: renamed, kuma.io/protocol: tcp }'),
  );
  const reload = zone.egress.reload();
  await watched.workers[1]!.terminate();
  t.match(await reload, { kind: 'live' });
  while (watched.workers.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  t.strictSame(await outcomes(zone, 'legacy{mesh=default}'), new Set(['no-route']), 'the old route is gone everywhere');
  watched.stop();
});
