import type { Clock } from '../base/clock.ts';
import { within } from '../base/within.ts';
import { drain } from '../control/drain.ts';
import type { Drained } from '../control/drain.ts';
import type { WorkerPool } from '../control/worker-pool.ts';
import type { OpenSessions } from '../model/messages.ts';
import type { Observer } from '../observe/observer.ts';

/** Ends the egress, and writes the last log line. */
export interface Drainage {
  /** Also true for an end without a drain. */
  isEnding(): boolean;
  end(): void;
  drain(drainTimeMs: number): { readonly done: Promise<Drained>; readonly hurry: () => void };
  /** Logs how the drain ended, where there was one. */
  report(): void;
}

export interface DrainageOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly workers: WorkerPool;
  readonly acceptThroughout: boolean;
  readonly sharesQueue: boolean;
  /** Called at the start of each drain, so that clients are sent elsewhere while it accepts. */
  readonly leave?: (() => void) | undefined;
}

/** Interval of the log lines about the progress of a drain. */
const TELL_MS = 5_000;

export function drainage({ clock, observer, workers, acceptThroughout, sharesQueue, leave }: DrainageOptions): Drainage {
  let ending = false;
  let drained: Counts | null = null;
  function count(): Counts {
    const counts: Counts = { startedAt: clock.now(), ended: 0, cut: 0, lost: 0, destinations: new Map(), hurriedAt: null };
    observer.onRecord(({ reason, mesh, destination }) => {
      if (reason !== 'drained') counts.ended++;
      else {
        counts.cut++;
        add(counts.destinations, destination === '' ? '' : `${mesh}/${destination}`, 1);
      }
    });
    drained = counts;
    return counts;
  }

  async function tell(endAt: number, isOver: () => boolean): Promise<void> {
    const { sessions } = workers.limits;
    const leftMs = Math.max(0, Math.round(endAt - clock.now()));
    const open = sessions === 0 ? [] : await answersOf(workers);
    if (!isOver()) observer.log.info({ sessions, leftMs, ...(sessions === 0 ? {} : shownOpen(open)) }, 'still draining');
  }

  return {
    isEnding: () => ending,
    end() {
      ending = true;
    },
    drain(drainTimeMs) {
      ending = true;
      const counts = drained ?? count();
      const { log } = observer;
      let over = false;
      const endAt = clock.now() + drainTimeMs;
      log.info({ drainTimeMs, sessions: workers.limits.sessions }, 'draining');
      leave?.();
      const telling = clock.every(TELL_MS, () => void tell(endAt, () => over));
      const { done, hurry } = drain({ clock, workers, drainTimeMs, acceptThroughout, sharesQueue });
      return {
        done: done.finally(() => {
          over = true;
          telling.cancel();
          // Counts the sessions of a data side that hangs: it sends no records of them.
          counts.lost = workers.limits.sessions;
        }),
        hurry() {
          counts.hurriedAt ??= clock.now();
          log.warn({ sessions: workers.limits.sessions }, 'a second signal cuts the sessions that are left');
          hurry();
        },
      };
    },
    report() {
      if (drained === null) return;
      const [fields, message] = endLine(drained, clock.now());
      observer.log.info(fields, message);
    },
  };
}

interface Counts {
  readonly startedAt: number;
  ended: number;
  cut: number;
  /** Sessions of a data side that hangs. */
  lost: number;
  /** The cut sessions by `mesh/destination`. */
  readonly destinations: Map<string, number>;
  /** When a second signal came; null without one. */
  hurriedAt: number | null;
}

function endLine({ ended, lost, startedAt, hurriedAt, destinations, ...counts }: Counts, now: number): readonly [object, string] {
  const cut = counts.cut + lost;
  const fields = { ended, cut, tookMs: Math.round(now - startedAt) };
  const hurried = hurriedAt === null ? {} : { secondSignalAfterMs: Math.round(hurriedAt - startedAt) };
  if (cut === 0) return [{ ...fields, ...hurried }, 'drained: every session has ended'];
  const cutBy = hurriedAt === null ? 'the end of the drain time' : 'a second signal';
  return [{ ...fields, ...hurried, cutBy, ...most(destinations) }, 'drained: some sessions were cut'];
}

/** A data side that hangs must not hold up the line. */
const ANSWER_MS = 1_000;
/** The most destinations in a line. */
const MOST_SHOWN = 5;

async function answersOf(workers: Pick<WorkerPool, 'openSessions'>): Promise<readonly OpenSessions[]> {
  let answers: readonly OpenSessions[] = [];
  const asked = workers.openSessions().then((all) => {
    answers = all;
  });
  await within(ANSWER_MS, asked);
  return answers;
}

function shownOpen(open: readonly OpenSessions[]): object {
  const destinations = new Map<string, number>();
  for (const one of open) for (const [name, count] of one.destinations) add(destinations, name, count);
  const oldestMs = Math.round(Math.max(0, ...open.map((one) => one.oldestMs)));
  return open.length === 0 ? {} : { oldestMs, ...most(destinations) };
}

/** Shows the destinations with most sessions, and how many sessions go elsewhere. */
function most(all: ReadonlyMap<string, number>): { readonly destinations: object; readonly elsewhere?: number } {
  const sorted = [...all].sort(([, a], [, b]) => b - a);
  const elsewhere = sorted.slice(MOST_SHOWN).reduce((sum, [, count]) => sum + count, 0);
  const destinations = Object.fromEntries(
    sorted.slice(0, MOST_SHOWN).map(([name, count]) => [name === '' ? NO_ROUTE : name, count]),
  );
  return elsewhere === 0 ? { destinations } : { destinations, elsewhere };
}

const NO_ROUTE = 'without a route yet';

function add(to: Map<string, number>, name: string, count: number): void {
  to.set(name, (to.get(name) ?? 0) + count);
}
