/** Probes a destination of the live configuration for an operator, from the place of the egress. */
import type { Clock } from '../base/clock.ts';
import { localAddresses } from '../base/local-addresses.ts';
import { createSystemNames } from '../endpoints/system-names.ts';
import type { GoodConfig } from '../model/compiled.ts';
import type { ProbeOutcome } from '../model/probed-destination.ts';
import { findDestination, probeDestination } from './probe-destination.ts';
import type { Probing } from './probe-destination.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface LiveProber {
  probe(target: string, bounds: Pick<Probing, 'timeoutMs' | 'waitMs'>): Promise<ProbeOutcome>;
  /** Ends what is under way; its endpoints are reported as not reached. */
  close(): void;
}

export interface LiveProberOptions {
  readonly clock: Clock;
  readonly workers: Pick<WorkerPool, 'secret' | 'ownListeners'>;
  readonly allowedResolved: readonly string[];
  /** Returns the live configuration; null before the first. */
  readonly live: () => GoodConfig | null;
  /** Looks names up; absent asks the system. */
  readonly lookup?: (name: string, family: 'v4' | 'any') => Promise<readonly string[]>;
}

/** One probe at a time: it dials up to 32 addresses at once, twice each. */
export function createLiveProber({ clock, workers, allowedResolved, live, lookup }: LiveProberOptions): LiveProber {
  const ended = new AbortController();
  let isProbing = false;
  return {
    async probe(target, bounds) {
      const config = live();
      if (config === null) return { kind: 'busy', why: 'no configuration is live yet: ask again' };
      const found = findDestination(config.snapshot, target);
      if (typeof found === 'string') return { kind: 'no-destination', why: found };
      if (isProbing || ended.signal.aborted) return { kind: 'busy', why: 'another probe is running: ask again' };
      isProbing = true;
      const names = lookup === undefined ? createSystemNames({ clock }) : null;
      try {
        const probed = await probeDestination(found, {
          ...bounds,
          clock,
          secret: (hash) => workers.secret(hash),
          find: async (name, family) =>
            (lookup ?? (async (...asked) => (await names?.find(...asked))?.addresses ?? []))(name, family),
          mayDial: { ownListeners: workers.ownListeners, localAddresses: localAddresses(), allowedResolved },
          signal: ended.signal,
        });
        return { kind: 'probed', found: probed };
      } finally {
        names?.close();
        isProbing = false;
      }
    },
    close: () => ended.abort(),
  };
}
