// Question: what do many services cost when they come from a control plane, until the first is
// served, and for a change of one of them? Half of the chains are passed through, half terminate
// the mTLS of one of 50 meshes. The control plane is a process of its own. `node --expose-gc
// perf/control-plane.ts [--chains 100,1000,5000]`. The stall is the longest time that the loop of
// the serving thread was held.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { startEgress } from '../src/egress.ts';
import { manyChains } from './many-chains.ts';

const { values } = parseArgs({ options: { chains: { type: 'string', default: '100,1000,5000' } } });
console.log(`node --expose-gc perf/control-plane.ts --chains ${values.chains}   (Node ${process.version})`);
console.log('chains  live ms  stall at start ms  change live ms (median)  stall ms (max)  KB per chain');
for (const chains of values.chains.split(',').map(Number)) await measure(chains);
process.exit();

async function measure(chains: number): Promise<void> {
  const { child, controlPlane } = await manyChains(chains);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let startedAt = performance.now();
  await using egress = await startEgress({
    port: 0,
    admin: false,
    controlPlane,
  });
  while (egress.snapshot().routes.size < chains) await new Promise((resolve) => setTimeout(resolve, 5));
  const liveMs = performance.now() - startedAt;
  delay.disable();
  const startStall = delay.max / 1e6;
  globalThis.gc?.();
  const perChain = (process.memoryUsage().heapUsed - before) / chains / 1024;
  const changes: number[] = [];
  delay.reset();
  for (let i = 0; i < 5; i++) {
    const { version } = egress.snapshot();
    delay.enable();
    startedAt = performance.now();
    child.stdin?.write('\n');
    while (egress.snapshot().version === version) await new Promise((resolve) => setTimeout(resolve, 2));
    changes.push(performance.now() - startedAt);
    // The change may come in several responses.
    await new Promise((resolve) => setTimeout(resolve, 500));
    delay.disable();
  }
  const cells = [liveMs, startStall, changes.toSorted((a, b) => a - b)[2] ?? NaN, delay.max / 1e6];
  console.log([String(chains).padEnd(7), ...cells.map((cell) => cell.toFixed(0).padEnd(18)), perChain.toFixed(1)].join(' '));
  child.kill();
}
