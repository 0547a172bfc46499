// Runs a control plane with many services as a process of its own, so that its work is not
// measured: `control-plane-process.ts CHAINS [delta]`. Prints one JSON line. On standard input the
// line `restart` starts it anew, `bytes` prints how many it has written to all of its connections,
// and any other line changes one service.
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { fakeConfiguration } from '../src/testing/control-plane/fake-configuration.ts';
import { createFakeControlPlane } from '../src/testing/control-plane/fake-control-plane.ts';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';

const chains = Number(process.argv[2]);
const MESHES = 50;
const meshes = await Promise.all(Array.from({ length: MESHES }, (_, i) => createTestMesh(`mesh-${i}`)));
const sockets: Socket[] = [];
subscribe('net.server.socket', (message) => void sockets.push((message as { socket: Socket }).socket));
const cp = await createFakeControlPlane({ delta: process.argv[3] === 'delta' });

function send(change: number): void {
  const external = Object.fromEntries(
    Array.from({ length: chains / 2 }, (_, i) => [
      `es-${i}`,
      {
        mesh: `mesh-${i % MESHES}`,
        address: '192.0.2.1',
        port: i === 0 ? 1_000 + change : 443,
        allow: [i === 0 ? `client-${change}` : 'frontend'],
      },
    ]),
  );
  const passthrough = Object.fromEntries(
    Array.from({ length: chains / 2 }, (_, i) => [
      `backend-${i}`,
      { mesh: `mesh-${i % MESHES}`, remotes: [{ zone: `zone-${i % 100}`, address: '198.51.100.1', port: 10_001 + (i % 100) }] },
    ]),
  );
  cp.set(fakeConfiguration({ address: '127.0.0.1', port: 10_002, meshes, external, passthrough }));
}

send(0);
console.log(JSON.stringify({ url: cp.url, caCert: cp.caCert, token: cp.tokens.issue() }));
let changes = 0;
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  if (line === 'bytes')
    console.log(JSON.stringify({ streams: cp.streams, bytes: sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0) }));
  else if (line === 'restart') void cp.restart().then(() => console.log(JSON.stringify({ restarted: true })));
  else send(++changes);
});
lines.on('close', () => process.exit());
