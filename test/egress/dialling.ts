import { readFileSync } from 'node:fs';

/**
 * How many connections to this port on loopback are being made: asked of the kernel, which knows
 * when the egress has begun.
 */
export function dialling(port: number): number {
  const sent = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} 02 `);
  const lines = readFileSync('/proc/self/net/tcp', 'utf8').split('\n');
  return lines.filter((line) => sent.test(line)).length;
}
