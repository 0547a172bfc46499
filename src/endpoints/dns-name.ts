import { isIP } from 'node:net';
import { endsInNumber } from '../base/ends-in-number.ts';

/**
 * Tells whether a resolver may get a text: ASCII labels of a host name, underscores allowed, with
 * or without the dot at the end. With a number as last label it would be an odd spelling of an
 * address.
 */
export function isDnsName(name: string): boolean {
  if (name.length === 0 || name.length > 254 || isIP(name) !== 0) return false;
  const labels = (name.endsWith('.') ? name.slice(0, -1) : name).split('.');
  if (!labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}$/.test(label) && !label.endsWith('-'))) return false;
  if (labels.join('.').length > 253) return false;
  return !endsInNumber(name);
}
