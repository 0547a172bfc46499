import { networkInterfaces } from 'node:os';

/** The addresses of this machine, as they are now. */
export function localAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
}

/**
 * The addresses of this machine as they were when the egress last began to listen elsewhere: each
 * cluster asks for them, and asking the system each time is slow.
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
