import { readdirSync } from 'node:fs';

/** Counts the open files and sockets of this process. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
