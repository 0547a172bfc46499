// What the Linux kernel says of the TCP connections of this machine.
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** How the table counts: `sysconf(_SC_CLK_TCK)`, which is this on every Linux. */
const TICKS_PER_S = 100;
const ESTABLISHED = '01';
const CLOSE_WAIT = '08';
const FIN_WAIT_2 = '05';
/** The number for the timer of TCP keep-alive, which a socket shows that waits for nothing else. */
const KEEP_ALIVE = '02';

export interface Connection {
  readonly localPort: number;
  readonly remotePort: number;
  /** Until the kernel asks the other machine; null: it never does, or waits for something else. */
  readonly asksInMs: number | null;
}

/** Some systems have no such table, or one without timers: it is tried. */
export async function tellsTimers(): Promise<boolean> {
  if (!existsSync('/proc/net/tcp')) return false;
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  const [other] = (await accepted) as [Socket];
  socket.setKeepAlive(true, 60_000);
  const { remotePort } = other;
  const told = connections().some(({ localPort, asksInMs }) => localPort === remotePort && asksInMs !== null);
  socket.destroy();
  other.destroy();
  server.close();
  await once(server, 'close');
  return told;
}

/** Every connection that is open or half open. */
export function connections(): readonly Connection[] {
  return ['tcp', 'tcp6'].flatMap((table) => readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1).flatMap(read));
}

function read(line: string): readonly Connection[] {
  const [, local = '', remote = '', state = '', , timer = ''] = line.trim().split(/\s+/);
  if (![ESTABLISHED, CLOSE_WAIT, FIN_WAIT_2].includes(state)) return [];
  const [kind, when = ''] = timer.split(':');
  return [
    {
      localPort: portOf(local),
      remotePort: portOf(remote),
      asksInMs: kind === KEEP_ALIVE ? (parseInt(when, 16) / TICKS_PER_S) * 1_000 : null,
    },
  ];
}

function portOf(address: string): number {
  return parseInt(address.slice(address.lastIndexOf(':') + 1), 16);
}
