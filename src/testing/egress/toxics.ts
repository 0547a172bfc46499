import type { Clock } from '../../base/clock.ts';
import { didYouMean } from '../../base/did-you-mean.ts';

/**
 * Faults of an external address: toxiproxy's toxics with its names, fields and units, and two of
 * our own.
 */
export type Toxic = ToxicCommon &
  (
    | {
        readonly type: 'latency';
        /** Milliseconds. */
        readonly latency: number;
        /** Milliseconds, more or less. */
        readonly jitter?: number;
      }
    | {
        readonly type: 'bandwidth';
        /** KB per second. */
        readonly rate: number;
      }
    | {
        readonly type: 'slow_close';
        /** Milliseconds between the end of the stream and its being passed on. */
        readonly delay: number;
      }
    | {
        readonly type: 'timeout';
        /**
         * Milliseconds until the connection is closed; 0 never closes it. Bytes sent meanwhile are
         * lost, so removing the toxic closes it too.
         */
        readonly timeout: number;
      }
    | {
        readonly type: 'reset_peer';
        /** Milliseconds. Absent means at once. */
        readonly timeout?: number;
      }
    | {
        readonly type: 'slicer';
        /** Bytes. */
        readonly average_size: number;
        /** Bytes, more or less; less than the average. */
        readonly size_variation?: number;
        /** Microseconds between two slices. */
        readonly delay?: number;
      }
    | {
        readonly type: 'limit_data';
        /** The connection is closed after this many bytes. */
        readonly bytes: number;
      }
    /** Refuses new connections, like a port without a listener. */
    | { readonly type: 'refuse' }
    /**
     * The service shows an expired certificate. Only for fakes with TLS, whose authority is known.
     */
    | { readonly type: 'tls_expired' }
  );

interface ToxicCommon {
  /** `downstream` is towards the egress. Absent means downstream. */
  readonly stream?: 'upstream' | 'downstream';
  /** The share of the connections that it affects, 0 to 1. Absent means all. */
  readonly toxicity?: number;
}

export type ToxicType = Toxic['type'];

/** The number fields of every type: `needs` must be there, `takes` may be. */
const FIELDS: Readonly<Record<ToxicType, { readonly needs: readonly string[]; readonly takes: readonly string[] }>> = {
  latency: { needs: ['latency'], takes: ['jitter'] },
  bandwidth: { needs: ['rate'], takes: [] },
  slow_close: { needs: ['delay'], takes: [] },
  timeout: { needs: ['timeout'], takes: [] },
  reset_peer: { needs: [], takes: ['timeout'] },
  slicer: { needs: ['average_size'], takes: ['size_variation', 'delay'] },
  limit_data: { needs: ['bytes'], takes: [] },
  refuse: { needs: [], takes: [] },
  tls_expired: { needs: [], takes: [] },
};

export const TOXIC_TYPES: readonly string[] = Object.keys(FIELDS);

/** Throws for an invalid toxic, also from JavaScript. */
export function checkToxic(toxic: Toxic): void {
  if (typeof toxic !== 'object' || toxic === null) throw new TypeError(`fault: a toxic is wanted, e.g. { type: 'refuse' }`);
  const fields = Object.hasOwn(FIELDS, toxic.type) ? FIELDS[toxic.type] : undefined;
  if (fields === undefined)
    throw new TypeError(
      `fault ${JSON.stringify(toxic.type)}: allowed are ${TOXIC_TYPES.join(', ')}${didYouMean(String(toxic.type), TOXIC_TYPES)}`,
    );
  const known = [...fields.needs, ...fields.takes, 'stream', 'toxicity'];
  for (const key of Object.keys(toxic)) {
    if (key !== 'type' && !known.includes(key)) throw new TypeError(`fault ${toxic.type} has no ${key}${didYouMean(key, known)}`);
  }
  const given = Object.entries(toxic).filter(([key, value]) => key !== 'type' && value !== undefined);
  for (const name of fields.needs)
    if (!given.some(([key]) => key === name)) throw new TypeError(`fault ${toxic.type}: ${name} is missing`);
  for (const [key, value] of given) {
    if (key === 'stream') {
      if (value === 'upstream' || value === 'downstream') continue;
      throw new TypeError(`fault ${toxic.type}: stream ${JSON.stringify(value)}: allowed are upstream and downstream`);
    }
    const limit = key === 'toxicity' ? 1 : Number.MAX_SAFE_INTEGER;
    if (typeof value !== 'number' || !(value >= 0 && value <= limit))
      throw new TypeError(`fault ${toxic.type}: ${key} ${JSON.stringify(value)}: allowed are numbers from 0 to ${limit}`);
  }
}

/** A toxic while it is active. */
export class ActiveToxic {
  readonly toxic: Toxic;
  readonly #onRemoved = new Set<() => void>();
  #removed = false;

  constructor(toxic: Toxic) {
    this.toxic = toxic;
  }

  get removed(): boolean {
    return this.#removed;
  }

  /** Calls `fn` when it is removed; returns the function that cancels that. */
  onRemoved(fn: () => void): () => void {
    this.#onRemoved.add(fn);
    return () => void this.#onRemoved.delete(fn);
  }

  remove(): void {
    this.#removed = true;
    for (const fn of [...this.#onRemoved]) fn();
    this.#onRemoved.clear();
  }
}

/** The surroundings of a link besides its sockets. */
export interface ToxicWorld {
  readonly clock: Clock;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
}
