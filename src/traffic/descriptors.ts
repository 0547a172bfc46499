/**
 * The descriptors of this process that sessions leave for other uses. The kernel gives the lowest
 * number that is free: the number of a new socket tells how many files are open.
 */
import type { Socket } from 'node:net';
import { handleOf } from './handle.ts';

/** Connections to services may take half of these, connections of clients none. */
const KEPT = 128;

/** Says why this socket is one too many, or null. `limit`: 0 where the process does not know it. */
export function descriptorRefusal(socket: Socket, limit: number, leadsTo: 'client' | 'service'): string | null {
  if (limit === 0) return null;
  const all = Math.min(KEPT, Math.floor(limit / 4));
  const kept = leadsTo === 'client' ? all : Math.floor(all / 2);
  if (descriptorOf(socket) < limit - kept) return null;
  return `${limit - kept} files are open (limit ${limit}, of which ${kept} are kept for other uses)`;
}

/** -1 where this Node keeps it elsewhere, and while the socket has none. */
function descriptorOf(socket: Socket): number {
  return handleOf(socket)?.fd ?? -1;
}
