import type { Problem } from '../base/problem.ts';
import type { LoadResult } from '../control/config-loop.ts';
import type { Drained } from '../control/drain.ts';
import type { Question } from '../explain/question.ts';
import type { Trace } from '../explain/trace.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Snapshot } from '../model/snapshot.ts';

/** A running egress. Close it, or declare it with `await using`. */
export interface Egress extends AsyncDisposable {
  readonly address: string;
  /** 0 while nothing listens, as a control plane may have it. */
  readonly port: number;
  /** 0 where there is no admin listener. */
  readonly adminPort: number;
  /** 0 where there is none. */
  readonly readinessPort: number;
  snapshot(): Snapshot;
  /** Sessions open now. */
  sessions(): number;
  /** Of the last load. */
  problems(): readonly Problem[];
  /** Newest first. */
  decisions(query?: { readonly limit?: number; readonly reason?: string; readonly mesh?: string }): readonly SessionRecord[];
  /**
   * Why a session that ended, or a connection that is only described, passes or does not, on the
   * configuration that is live. Throws for a session that is not remembered, and for names that
   * cannot be a client's.
   */
  explain(question: Question): Trace;
  /** Calls `listener` with each record of a session that ended; gives back how to stop. */
  onRecord(listener: (record: SessionRecord) => void): () => void;
  /**
   * Calls `listener` with each record of a request of a service that speaks HTTP; gives back how to
   * stop.
   */
  onRequest(listener: (record: RequestRecord) => void): () => void;
  /** Prometheus text. */
  metrics(): Promise<string>;
  /** Loads the configuration again; a bad one changes nothing. */
  reload(): Promise<LoadResult>;
  /**
   * No new connections once it is quiet, then waits for the sessions; what is left after
   * `drainTimeMs` is cut.
   */
  drain(drainTimeMs: number): { readonly done: Promise<Drained>; readonly hurry: () => void };
  /** Logs and counts an error that the process caught and the egress did not. */
  reportFault(error: unknown): void;
  /** Ends everything now. */
  close(): Promise<void>;
}
