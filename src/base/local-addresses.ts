import { networkInterfaces } from 'node:os';

/** The addresses of this machine, as they are now. */
export function localAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
}
