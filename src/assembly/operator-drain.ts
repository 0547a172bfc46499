import type { WorkerPool } from '../control/worker-pool.ts';

/** The parts of a drain that an operator may begin while the process stays. */
export interface OperatorDrain {
  /** True while an operator wants /ready to say 503. */
  readonly isFailing: boolean;
  /** True once the listeners for clients were closed, or are about to be. */
  readonly isClosing: boolean;
  failHealth(isFailing: boolean): void;
  /**
   * Closes the listeners for clients; sessions go on. With `graceful` clients of HTTP are asked to
   * leave, and connections are taken until none has come for a while, at most half of the drain
   * time. Without `closes` nothing is closed.
   */
  drainListeners(how: { readonly graceful: boolean; readonly closes: boolean }): void;
}

export interface OperatorDrainOptions {
  readonly workers: Pick<WorkerPool, 'drain' | 'closeListeners'>;
  readonly drainTimeMs: number;
  /** Called before the listeners close: no configuration opens one again. */
  readonly stopListening: () => void;
}

const QUIET_MS = 2_000;

export function operatorDrain({ workers, drainTimeMs, stopListening }: OperatorDrainOptions): OperatorDrain {
  let failing = false;
  let closing = false;
  return {
    get isFailing() {
      return failing;
    },
    get isClosing() {
      return closing;
    },
    failHealth(isFailing) {
      failing = isFailing;
    },
    drainListeners({ graceful, closes }) {
      if (graceful) workers.drain();
      if (!closes) return;
      closing = true;
      stopListening();
      const atMostMs = graceful ? drainTimeMs / 2 : 0;
      void workers.closeListeners({ quietMs: Math.min(QUIET_MS, atMostMs), atMostMs });
    },
  };
}
