import type { OwnListener } from '../model/messages.ts';

interface BoundAt {
  readonly address: string;
  readonly port: number;
}

type At = BoundAt | null;

export interface OwnListeners {
  /**
   * Adds a listener, or several; `at` returns their bound addresses at the moment of the call, null
   * while one is closed.
   */
  add(at: () => At | readonly BoundAt[]): void;
  /** Call it when one of them was opened, closed or moved. */
  changed(): void;
}

/** Collects where this process listens, so that no endpoint can lead back to the egress. */
export function ownListeners(tell: (own: readonly OwnListener[]) => void): OwnListeners {
  const all: (() => At | readonly BoundAt[])[] = [];
  return {
    add: (at) => void all.push(at),
    changed() {
      const bound = all.flatMap((at) => at() ?? []);
      tell(bound.map(({ address, port }) => ({ ip: address === '' ? '::' : address, port })));
    },
  };
}
