import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import type { Test } from 'tap';

/** Listens on a free port of loopback and returns it. Its connections end with the test. */
export async function listening(t: Test, server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const open = new Set<{ destroy(): unknown }>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('error', () => {});
  });
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
