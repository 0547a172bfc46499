import { readFileSync } from 'node:fs';

/** Asks the kernel: a connection would keep the listener from becoming quiet. */
export function listens(port: number): boolean {
  const address = `:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  return readFileSync('/proc/self/net/tcp', 'utf8').includes(address);
}
