import type { Env } from './options.ts';
import type { InheritedSocket } from './terminal.ts';

/** The first descriptor that systemd passes (`sd_listen_fds`). */
const FIRST = 3;

/**
 * Reads a listening socket from the starter of the process, by systemd's protocol: `LISTEN_PID` is
 * the process that it is for, `LISTEN_FDS` the number of sockets. Null where this process gets
 * none.
 */
export function inheritedSocket(env: Env, pid: number): InheritedSocket | null {
  const { LISTEN_PID: owner, LISTEN_FDS: count } = env;
  if (owner === undefined || count === undefined || owner !== String(pid)) return null;
  if (count === '1') return { fd: FIRST };
  return {
    problem: `LISTEN_FDS ${JSON.stringify(count)}: allowed is 1, the socket that clients connect to (one ListenStream in the unit)`,
  };
}
