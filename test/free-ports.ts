// Ports for what has to know its port before it listens, and for what has to be refused because
// nothing listens. A port that was taken with `listen(0)` and closed is neither: the kernel may
// give it to another process at once.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';

/**
 * Above the ports that programs have by themselves, and below those that the kernel gives to
 * connections and to `listen(0)` unless an administrator moved them.
 */
const FIRST = 12_000;
const LAST = 26_999;
/** Ports of a slice. The first is the claim: who listens there has the others. */
const SLICE = 100;
const HOSTS = ['127.0.0.1', '0.0.0.0', '::'] as const;
const EPHEMERAL = '/proc/sys/net/ipv4/ip_local_port_range';

const slice = await claim();
let given = 0;

/** One that nobody else is given, and that nothing listens on; twice only when the slice is used up. */
export async function freePort(): Promise<number> {
  for (let tries = 1; tries < SLICE; tries++) {
    const port = slice + 1 + (given++ % (SLICE - 1));
    if (await isFree(port)) return port;
  }
  throw new Error(`take a port of ${slice + 1} to ${slice + SLICE - 1}: something listens on each of them`);
}

/**
 * The first port of a slice that no other process has. The kernel decides between two that want the
 * same one; the claim lasts as long as the process, and does not keep it alive.
 */
async function claim(): Promise<number> {
  const [from, slices] = range();
  for (let i = 0; i < slices; i++) {
    const first = from + SLICE * ((process.pid + i) % slices);
    const server = await listen(first, '127.0.0.1');
    if (server === null || server === 'no such address') continue;
    server.on('connection', (socket) => socket.destroy());
    server.unref();
    return first;
  }
  throw new Error(`claim ${SLICE} ports from ${from} on: other processes have all ${slices} slices`);
}

/** Where slices begin, and how many there are; without one below the ports of the kernel, above them. */
function range(): [from: number, slices: number] {
  const [low, high] = ephemeral();
  const below = Math.floor((Math.min(LAST + 1, low) - FIRST) / SLICE);
  if (below > 0) return [FIRST, below];
  const above = Math.floor((65_535 - high) / SLICE);
  return above > 0 ? [high + 1, above] : [FIRST, Math.floor((LAST + 1 - FIRST) / SLICE)];
}

function ephemeral(): [low: number, high: number] {
  try {
    const [low, high] = readFileSync(EPHEMERAL, 'utf8').trim().split(/\s+/).map(Number);
    return [low!, high!];
  } catch {
    // Of IANA, and of the systems without this file.
    return [49_152, 65_535];
  }
}

async function isFree(port: number): Promise<boolean> {
  for (const host of HOSTS) {
    const server = await listen(port, host);
    if (server === null) return false;
    if (server === 'no such address') continue;
    server.close();
    await once(server, 'close');
  }
  return true;
}

/** Null where somebody has the port. A machine without IPv6 has no `::`. */
async function listen(port: number, host: string): Promise<Server | 'no such address' | null> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return server;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE' || code === 'EACCES') return null;
    if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') return 'no such address';
    throw error;
  }
}
