// Question: what does a restart of the control plane cost an egress with many services, in the state
// of the world and in delta ADS? How many bytes come again, and how long is the loop of the serving
// thread held? `node perf/control-plane-restart.ts [--chains 5000] [--restarts 3]`. Half of the
// chains are passed through, half terminate the mTLS of one of 50 meshes; nothing has changed while
// the control plane was away. The bytes are those of all connections, with their TLS.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startEgress } from '../src/egress.ts';
import { manyChains } from './many-chains.ts';
import type { ManyChains } from './many-chains.ts';

const { values } = parseArgs({
  options: { chains: { type: 'string', default: '5000' }, restarts: { type: 'string', default: '3' } },
});
/** Nothing more comes when the number of bytes stays the same for so long. */
const QUIET_MS = 3_000;

console.log(
  `node perf/control-plane-restart.ts --chains ${values.chains} --restarts ${values.restarts}   (Node ${process.version})`,
);
console.log('chains  form   bytes at start  bytes of a restart  stall ms at start  stall ms of a restart (max)  new snapshots');
for (const chains of values.chains.split(',').map(Number))
  for (const form of ['sotw', 'delta'] as const) await measure(chains, form);
process.exit();

async function measure(chains: number, form: 'sotw' | 'delta'): Promise<void> {
  const controlPlane = await manyChains(chains, form);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await using egress = await startEgress({ port: 0, admin: false, controlPlane: controlPlane.controlPlane });
  while (egress.snapshot().routes.size < chains) await pause(5);
  const first = await quiet(controlPlane);
  const firstStall = delay.max / 1e6;
  delay.reset();
  const { version } = egress.snapshot();
  const resent: number[] = [];
  let changes = 0;
  let before = first;
  for (let i = 0; i < Number(values.restarts); i++) {
    await controlPlane.ask('restart');
    const after = await quiet(controlPlane);
    resent.push(after - before);
    before = after;
    if (egress.snapshot().version !== version) changes++;
  }
  const cells = [first, Math.max(...resent), firstStall.toFixed(0), (delay.max / 1e6).toFixed(0), changes];
  const widths = [16, 20, 19, 28, 13];
  console.log([String(chains).padEnd(7), form.padEnd(6), ...cells.map((cell, i) => String(cell).padEnd(widths[i]!))].join(' '));
  controlPlane.child.kill();
}

/** Waits until the egress has joined and nothing more comes; returns the bytes until then. */
async function quiet(controlPlane: ManyChains): Promise<number> {
  let bytes = -1;
  for (let since = performance.now(); performance.now() - since < QUIET_MS; await pause(100)) {
    const { bytes: now = 0, streams = 0 } = await controlPlane.ask('bytes');
    if (now === bytes && streams > 0) continue;
    bytes = now;
    since = performance.now();
  }
  return bytes;
}
