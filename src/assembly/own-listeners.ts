import type { OwnListener } from '../model/messages.ts';

type At = { readonly address: string; readonly port: number } | null;

export interface OwnListeners {
  /**
   * Adds a listener; `at` returns its bound address at the moment of the call, null while it is
   * closed.
   */
  add(at: () => At): void;
  /** Call it when one of them was opened, closed or moved. */
  changed(): void;
}

/** Collects where this process listens, so that no endpoint can lead back to the egress. */
export function ownListeners(tell: (own: readonly OwnListener[]) => void): OwnListeners {
  const all: (() => At)[] = [];
  return {
    add: (at) => void all.push(at),
    changed() {
      const bound = all.map((at) => at()).filter((at) => at !== null);
      tell(bound.map(({ address, port }) => ({ ip: address === '' ? '::' : address, port })));
    },
  };
}
