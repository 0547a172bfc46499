import type { Cluster } from '../model/cluster.ts';
import { Outbox } from './outbox.ts';

/** A name that traffic uses is reported at most this often. */
const REPORT_MS = 60_000;

/** Tells whether the names of a cluster were reported in this period. */
export interface UseMark {
  isReported: boolean;
}

/**
 * Reports to the control side which names traffic uses, because only those are looked up often. A
 * choice of endpoints costs one comparison: the names of its cluster are read once in each period.
 */
export class NamesInUse {
  readonly #outbox: Outbox<string>;
  #marked: UseMark[] = [];
  #periodFrom = 0;

  constructor(send: (names: readonly string[]) => void) {
    this.#outbox = new Outbox(send);
  }

  /** To be called for the first choice after the mark was cleared. */
  report({ endpoints }: Cluster, mark: UseMark): void {
    mark.isReported = true;
    const names = endpoints.flatMap(({ address }) => (address.kind === 'name' ? [address.name] : []));
    if (names.length === 0) return;
    this.#marked.push(mark);
    for (const name of names) this.#outbox.add(name);
  }

  /** Begins a new period, where the last one is over; to be called regularly. */
  look(now: number): void {
    if (now - this.#periodFrom < REPORT_MS) return;
    this.#periodFrom = now;
    for (const mark of this.#marked.splice(0)) mark.isReported = false;
  }
}
