import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { folderSource } from '../../src/control/sources/folder-source.ts';
import { threadSource } from '../../src/control/sources/thread-source.ts';
import type { Compiled } from '../../src/model/compiled.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';

type Good = Extract<Compiled, { kind: 'compiled' }>;

const mesh = await createTestMesh('default');

function folder(
  t: { teardown(fn: () => void): void },
  services: number,
): { dir: string; write: (file: string, text: string) => void } {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-thread-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const write = (file: string, text: string): void => writeFileSync(join(dir, file), text);
  write('mesh.yaml', mesh.resources);
  write('egress.yaml', 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n');
  write('services.yaml', Array.from({ length: services }, (_, i) => service(`s${i}`, 80)).join('---\n'));
  return { dir, write };
}

function service(name: string, port: number): string {
  return `type: ExternalService\nmesh: default\nname: ${name}\ntags: { kuma.io/service: ${name} }\nnetworking: { address: '192.0.2.1:${port}' }\n`;
}

t.test('a folder compiled in a thread gives what one compiled here gives, load after load', async (t) => {
  const { dir, write } = folder(t, 1_200);
  const clock = systemClock();
  const inThread = threadSource({ dir, clock });
  const here = folderSource({ dir, clock });
  const far = service('far', 80).replace('far }', 'far, kuma.io/zone: west }');
  for (const change of [null, far, service('new', 81), `${service('new', 82)}---\n${service('s0', 1)}`, '# nothing\n']) {
    if (change !== null) write('extra.yaml', change);
    const [one, two] = [await inThread.load(), await here.load()];
    t.equal(one.kind, two.kind);
    t.strictSame(one, two, 'snapshot, secrets, origins, what is absent, listener and problems are equal');
    t.equal(one.kind === 'compiled' && one.absent?.has('far{mesh=default}'), change === far);
  }
  await inThread.close?.();
});

t.test('what did not change keeps its identity over a load', async (t) => {
  const { dir, write } = folder(t, 600);
  const source = threadSource({ dir, clock: systemClock() });
  const first = (await source.load()) as Good;
  write('extra.yaml', service('new', 81));
  const second = (await source.load()) as Good;
  t.equal(second.snapshot.routes.size, first.snapshot.routes.size + 1);
  for (const [name, route] of first.snapshot.routes)
    if (second.snapshot.routes.get(name) !== route) t.fail(`${name} is another object`);
  await source.close?.();
});

t.test('a bad folder gives its problems, and the next good one everything again', async (t) => {
  const { dir, write } = folder(t, 3);
  const source = threadSource({ dir, clock: systemClock() });
  t.equal((await source.load()).kind, 'compiled');
  write('extra.yaml', 'type: [\n');
  t.match(await source.load(), { kind: 'invalid', problems: [{ severity: 'error', file: /extra\.yaml$/ }] });
  write('extra.yaml', service('mended', 80));
  const mended = (await source.load()) as Good;
  t.equal(mended.snapshot.routes.size, 4);
  await source.close?.();
});

t.test('a thread that dies between two loads is replaced at the next, and dying ends nothing else', async (t) => {
  const { dir, write } = folder(t, 3);
  const threads: Worker[] = [];
  const onWorker = (message: unknown): void => void threads.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', onWorker);
  t.teardown(() => unsubscribe('worker_threads', onWorker));
  const source = threadSource({ dir, clock: systemClock() });
  t.equal((await source.load()).kind, 'compiled');

  await threads[0]!.terminate();
  write('extra.yaml', service('new', 81));
  const second = (await source.load()) as Good;
  t.equal(second.snapshot.routes.size, 4, 'everything comes again from the new thread');

  // The event of Node for a thread that ran out of memory.
  threads[1]!.emit('error', new Error('out of memory'));
  await threads[1]!.terminate();
  t.equal(((await source.load()) as Good).snapshot.routes.size, 4);
  t.equal(threads.length, 3);
  await source.close?.();
});

t.test('a thread that dies amid a load rejects the load with why, and the next one gets another thread', async (t) => {
  const { dir } = folder(t, 3);
  const threads: Worker[] = [];
  const onWorker = (message: unknown): void => void threads.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', onWorker);
  t.teardown(() => unsubscribe('worker_threads', onWorker));
  const source = threadSource({ dir, clock: systemClock() });
  const load = source.load();
  await threads[0]!.terminate();
  await t.rejects(load, /the configuration thread ended with code/);
  t.equal((await source.load()).kind, 'compiled');
  await source.close?.();
  await t.rejects(source.load(), /the source is closed/, 'and after its close it starts none');
  t.equal(threads.length, 2);
});
