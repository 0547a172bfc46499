import type { Clock } from '../base/clock.ts';
import { largestFirst } from '../model/shown-session.ts';
import type { FindBy, ShownSession, ShownAnswer, ShownQuery } from '../model/shown-session.ts';
import type { ShownPiece } from './worker-pool.ts';

/** A data side answers within some turns of its event loop. */
const ANSWER_MS = 2_000;
/** The most questions of readers at a time; each holds the answers of all data sides. */
const MAX_QUESTIONS = 4;

interface Asked {
  readonly sessions: ShownSession[];
  readonly waitsFor: Set<number>;
  found: number;
  readonly done: () => void;
}

interface OpenSessionsOptions {
  readonly clock: Clock;
  /** The number of data sides. */
  readonly count: number;
  readonly ask: (ask: number, query: ShownQuery, end?: string) => void;
}

/** Asks the data sides for the sessions that are open, or to end some. */
export class SessionFinder {
  readonly #options: OpenSessionsOptions;
  readonly #asked = new Map<number, Asked>();
  #next = 0;

  constructor(options: OpenSessionsOptions) {
    this.#options = options;
  }

  /** Resolves with the answer; null while too many questions wait for theirs. */
  find(query: ShownQuery): Promise<ShownAnswer | null> {
    return this.#asked.size >= MAX_QUESTIONS ? Promise.resolve(null) : this.#ask(query);
  }

  /**
   * Ends the sessions that are found, with this detail in their records. Resolves with their number
   * (`found`) when each data side has ended its own. Readers must not hold up an operator, so their
   * limit does not count here.
   */
  end(which: FindBy, detail: string): Promise<ShownAnswer> {
    return this.#ask({ ...which, sort: 'age', most: 0 }, detail);
  }

  async #ask(query: ShownQuery, end?: string): Promise<ShownAnswer> {
    const { clock, count, ask } = this.#options;
    const number = this.#next++;
    const { promise, resolve } = Promise.withResolvers<void>();
    const asked: Asked = {
      sessions: [],
      waitsFor: new Set(Array.from({ length: count }, (_, worker) => worker)),
      found: 0,
      done: resolve,
    };
    this.#asked.set(number, asked);
    const deadline = clock.after(ANSWER_MS, resolve);
    ask(number, query, end);
    await promise;
    deadline.cancel();
    this.#asked.delete(number);
    const { sessions, found, waitsFor } = asked;
    const shown = largestFirst(sessions, query);
    return { found, sessions: shown, silent: [...waitsFor] };
  }

  /** Takes a piece of an answer; one that is too late is dropped. */
  take(worker: number, { ask, sessions, found, last }: ShownPiece): void {
    const asked = this.#asked.get(ask);
    if (asked === undefined) return;
    asked.sessions.push(...sessions);
    if (!last) return;
    asked.found += found;
    asked.waitsFor.delete(worker);
    if (asked.waitsFor.size === 0) asked.done();
  }
}
