// The floor to compare with: what everybody writes first. `node perf/pipe-relay.ts TARGET_PORT...` prints a port for each target.
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

const ports = await Promise.all(process.argv.slice(2).map((target) => relay(Number(target))));
console.log(JSON.stringify({ ports }));
process.stdin.on('end', () => process.exit()).resume();

function relay(target: number): Promise<number> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.pipe(upstream);
    upstream.pipe(client);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}
