import { performance } from 'node:perf_hooks';
import type { EventLoopUtilization } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Clock, Timer } from './clock.ts';

const LOOK_MS = 1_000;
const QUIET_LOOKS = 3;
/**
 * A last-resort collection also discards compiled code: sessions after it cost 50 % more CPU until
 * some ten thousand have passed. The first one belongs to the start. Before each later one, a
 * thread that carries sessions must have been quiet for this many looks, as it is after a peak but
 * not between two waves of traffic.
 */
const LONG_QUIET_LOOKS = 20;
/**
 * The most sessions during which a collection is allowed. It stops the thread for some 2.5 ms per
 * MB that lives; few sessions and little traffic hardly notice it.
 */
const FEW_SESSIONS = 100;
const QUIET = 0.05;
/**
 * The least gain of a collection: how far the memory that V8 holds is above twice what it kept at
 * the last collection of this kind.
 */
const WORTH_BYTES = 16 * 1024 * 1024;
/**
 * The pause until the next collection; each collection doubles it. Memory that a little traffic
 * needs again and again is not worth returning. After an hour without a collection the pause starts
 * anew.
 */
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 10 * 60_000;
const FORGOTTEN_MS = 60 * 60_000;

/** The heap and the event loop of a thread. */
export interface ThreadHeap {
  /** Bytes taken from the system. */
  readonly total: () => number;
  /** The busy share of the loop since the last call, from 0 to 1. */
  readonly busy: () => number;
  /** Collects everything and returns the free pages to the system. */
  readonly collect: () => void;
}

/**
 * Returns memory to the system after a peak. V8 keeps the pages of a heap that was once large: four
 * fifths of what 1,000 connections took, and twice what a configuration of 10,000 services holds. A
 * collection returns them while the thread has nothing to do. Does nothing where `gc` is not
 * exposed, as in programs that embed the egress; main.ts exposes it.
 */
export function giveBackWhenQuiet(
  clock: Clock,
  options: {
    /** Counts the sessions of this thread now; null for a thread that never carries any. */
    readonly sessions: (() => number) | null;
    readonly heap?: ThreadHeap;
  },
): Timer {
  const { sessions, heap = ownHeap() } = options;
  if (heap === null) return { cancel: () => {} };
  let needed = QUIET_LOOKS;
  let kept = 0;
  let looks = 0;
  let pauseMs = FIRST_PAUSE_MS;
  let last = -Infinity;
  return clock.every(LOOK_MS, () => {
    const total = heap.total();
    kept = Math.min(kept, total);
    looks = heap.busy() > QUIET || (sessions?.() ?? 0) > FEW_SESSIONS ? 0 : looks + 1;
    if (looks < needed || total < 2 * kept + WORTH_BYTES) return;
    const since = clock.now() - last;
    if (since < pauseMs) return;
    pauseMs = since > FORGOTTEN_MS ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    last = clock.now();
    heap.collect();
    if (sessions !== null) needed = LONG_QUIET_LOOKS;
    // Remembers what the collection could not return because it is fragmented, so that it is not
    // tried again.
    kept = heap.total();
  });
}

/** Returns null where `gc` is not exposed. */
function ownHeap(): ThreadHeap | null {
  const { gc } = globalThis;
  if (gc === undefined) return null;
  let before: EventLoopUtilization = performance.eventLoopUtilization();
  return {
    total: () => getHeapStatistics().total_heap_size,
    busy() {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, before);
      before = now;
      return utilization;
    },
    collect: () => void gc({ type: 'major', execution: 'sync', flavor: 'last-resort' }),
  };
}
