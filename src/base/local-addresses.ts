import { networkInterfaces } from 'node:os';

/** Returns the addresses of this machine at this moment. */
export function localAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
}

/**
 * Returns the addresses of this machine, read again when the egress begins to listen elsewhere.
 * Each cluster asks for them, and the system call is slow.
 */
export function createLocalAddresses(): (ownListeners: object) => ReadonlySet<string> {
  let own: object | null = null;
  let known: ReadonlySet<string> = new Set();
  return (ownListeners) => {
    if (own !== ownListeners) known = localAddresses();
    own = ownListeners;
    return known;
  };
}
