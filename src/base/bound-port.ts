import type { Server } from 'node:net';

/** Returns the port that a server listens on; 0 where it listens on none. */
export function boundPort(server: Server): number {
  const address = server.address();
  return address === null || typeof address === 'string' ? 0 : address.port;
}
