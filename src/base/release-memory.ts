import { performance } from 'node:perf_hooks';
import type { EventLoopUtilization } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Clock, Timer } from './clock.ts';

const LOOK_MS = 1_000;
const QUIET_LOOKS = 3;
/**
 * A collection of this kind takes compiled code along: sessions after it cost half as much again
 * until some ten thousand have gone through. After the first one, which the start pays for, a
 * thread that carries sessions must have been quiet for so long, as it is after a peak and not
 * between two waves of traffic.
 */
const LONG_QUIET_LOOKS = 20;
/**
 * A collection stops the thread for some 2.5 ms per MB that lives. With so few sessions and next to
 * nothing going on, hardly anybody notices.
 */
const FEW_SESSIONS = 100;
const QUIET = 0.05;
/**
 * What makes it worth while: V8 has taken so much more than twice what it kept at the last
 * collection of this kind.
 */
const WORTH_BYTES = 16 * 1024 * 1024;
/**
 * Time to the next one, doubled by each: what a little traffic needs again and again is not worth
 * giving back. Starts anew after an hour without.
 */
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 10 * 60_000;
const FORGOTTEN_MS = 60 * 60_000;

/** A thread's heap and loop. */
export interface ThreadHeap {
  /** Taken from the system. */
  readonly total: () => number;
  /** 0 to 1, since the call before. */
  readonly busy: () => number;
  /** Collects everything and gives the pages back. */
  readonly collect: () => void;
}

/**
 * Gives memory back after a peak. V8 keeps the pages of a heap that was large once for good: of
 * what 1,000 connections took four fifths, and twice what a configuration of 10,000 services holds.
 * Where the thread has nothing to do, a collection returns them. Does nothing where `gc` is not
 * exposed, as in programs that embed the egress: main.ts exposes it.
 */
export function giveBackWhenQuiet(
  clock: Clock,
  options: {
    /** Of this thread, now. Null: it never carries any. */
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
    // What a collection cannot return, because it is fragmented, is not tried again.
    kept = heap.total();
  });
}

/** Null where `gc` is not exposed. */
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
