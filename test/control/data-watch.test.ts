// A thread of sessions that does not answer: an endless loop in a real worker beside one that
// serves.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Test } from 'tap';
import { WorkerPool } from '../../src/control/worker-pool.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../../src/model/settings.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { systemClock } from '../../src/base/clock.ts';
import { until } from '../egress/until.ts';
import { ask, startZone } from '../egress/zone.ts';

function workersOf(t: Test): readonly Worker[] {
  const workers: Worker[] = [];
  const onWorker = (message: unknown): void => void workers.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', onWorker);
  t.teardown(() => unsubscribe('worker_threads', onWorker));
  return workers;
}

/** A list of four thousand million names, repeatedly: the thread stays in one loop for an hour. */
function hang(worker: Worker): void {
  const removed: unknown[] = [];
  removed.length = 2 ** 32 - 1;
  for (let i = 0; i < 50; i++) worker.postMessage({ kind: 'secrets', set: [], removed });
}

t.test('a data side that hangs is reported, then replaced, and its pending answers come', async (t) => {
  const workers = workersOf(t);
  const watchClock = new FakeClock();
  const said: string[] = [];
  const faults: string[] = [];
  const pool = new WorkerPool({
    clock: systemClock({ keepAlive: false }),
    watchClock,
    count: 2,
    settings: { ...DEFAULT_TRAFFIC_SETTINGS, unref: false },
    onRecords() {},
    onResolve() {},
    onCredentialsNeeded() {},
    onRelay() {},
    onFault: (message) => void faults.push(message),
    onSilence: (message) => void said.push(message),
  });
  t.teardown(() => pool.stop());
  await pool.start();
  let answers = 0;
  for (const worker of workers) worker.on('message', ({ kind }: { kind: string }) => void (answers += kind === 'alive' ? 1 : 0));
  watchClock.advance(1_000);
  await until('both answer', () => answers === 2);
  hang(workers[0]!);
  const silentAt: WorkerPool['silentSides'][] = [];
  const live = pool.goLive({ snapshot: { ...EMPTY_SNAPSHOT, version: 'next' }, secrets: new Map(), credentials: [] });
  for (let second = 1; second <= 30; second++) {
    watchClock.advance(1_000);
    await until('the other answers', () => answers === 2 + second);
    t.equal(said.length, second < 6 ? 0 : 1, `${second} s: it is said once`);
    silentAt.push(pool.silentSides);
  }
  t.match(said[0], /data side 0 has not answered for 6000 ms: its sessions stand still/);
  t.same(silentAt[4], [], 'not silent for an alarm yet');
  t.same(silentAt[5], [{ side: 0, forMs: 6_000 }]);
  await until('another takes its place', () => workers.length === 3);
  await live;
  t.strictSame(faults, ['data side 0 died with 0 sessions and is replaced: it did not answer for 30000 ms']);
  await pool.stop();
  t.equal(said.length, 1, 'the new one stops when it is asked');
});

t.test('beside a data side that hangs it is ready, drains and ends, and says what was lost', async (t) => {
  const workers = workersOf(t);
  const log: Record<string, unknown>[] = [];
  const zone = await startZone(t, {
    concurrency: 2,
    readiness: { bind: '127.0.0.1', port: 0 },
    logLevel: 'info',
    logDestination: { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) },
  });
  const sockets = await Promise.all(
    Array.from({ length: 20 }, () => zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'))),
  );
  for (const socket of sockets) t.equal(await ask(socket, 'ping'), 'ping');
  hang(workers[0]!);
  const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${zone.egress.readinessPort}/ready`)).status;
  t.equal(await ready(), 200);
  const { done } = zone.egress.drain(200);
  t.equal(await ready(), 503);
  t.equal(await done, 'cut');
  await until('those of the other have ended', () => zone.egress.sessions() < 20);
  const lost = zone.egress.sessions();
  t.ok(lost > 0, `${lost} of 20 sessions were on the one that hangs`);
  for (const socket of sockets) socket.destroy();
  await zone[Symbol.asyncDispose]();
  // On a busy machine the other may be late too.
  const late = log.filter(({ msg }) => /did not stop within 2000 ms/.test(String(msg))).map(({ level }) => level);
  t.same([...new Set(late)], ['warn']);
  t.match(
    log.find(({ msg }) => /^drained/.test(String(msg))),
    { msg: 'drained: some sessions were cut', ended: 0, cut: 20 },
  );
});
