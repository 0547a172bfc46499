import { readdirSync } from 'node:fs';

/** How many files and sockets this process has open. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
