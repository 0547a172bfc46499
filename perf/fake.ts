// Question: how long does a test wait for a fake egress to start, to give the first answer, and to
// close? `node perf/fake.ts [--count 100]`. One mesh, one service of another zone, one external
// service over TLS with a permission; one after the other in one process.
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { createFakeEgress } from '../src/testing/public.ts';

const { values } = parseArgs({ options: { count: { type: 'string', default: '100' } } });
const count = Number(values.count);
const times: Record<'started' | 'first answer' | 'closed', number[]> = { started: [], 'first answer': [], closed: [] };

for (let i = 0; i <= count; i++) {
  let from = performance.now();
  const lap = (kind: keyof typeof times): void => {
    const now = performance.now();
    times[kind].push(now - from);
    from = now;
  };
  const egress = await createFakeEgress({
    meshes: { default: { services: { backend: {} } } },
    external: { api: { tls: true } },
    permissions: [{ from: 'web', to: 'api' }],
  });
  lap('started');
  const socket = await egress.client({ service: 'web' }).connect('api');
  socket.write('ping');
  await once(socket, 'data');
  lap('first answer');
  await egress.close();
  lap('closed');
}

console.log(`node perf/fake.ts --count ${count}   (Node ${process.version})`);
console.log('ms until      first of the process  p50    p99    max');
for (const [kind, [first = 0, ...rest]] of Object.entries(times)) {
  const sorted = rest.sort((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0).toFixed(1).padEnd(7);
  console.log(`${kind.padEnd(14)}${first.toFixed(1).padEnd(22)}${at(0.5)}${at(0.99)}${at(1)}`);
}
