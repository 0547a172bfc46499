import type { Problem } from '../base/problem.ts';
import type { LoadResult } from '../control/config-loop.ts';
import type { Drained } from '../control/drain.ts';
import type { LogLevel } from '../observe/log.ts';
import type { Question } from '../explain/question.ts';
import type { Trace } from '../explain/trace.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Snapshot } from '../model/snapshot.ts';

/** A running egress. Close it, or declare it with `await using`. */
export interface Egress extends AsyncDisposable {
  readonly address: string;
  /** 0 while it does not listen, which a control plane may ask for. */
  readonly port: number;
  /** Every place where it listens; the first one is that of `address` and `port`. */
  readonly listeners: readonly { readonly name: string; readonly address: string; readonly port: number }[];
  /** 0 without an admin listener. */
  readonly adminPort: number;
  /** 0 without a readiness listener. */
  readonly readinessPort: number;
  snapshot(): Snapshot;
  /** Counts open sessions. */
  sessions(): number;
  /** Returns the problems of the last load. */
  problems(): readonly Problem[];
  /** Returns records newest first. */
  decisions(query?: { readonly limit?: number; readonly reason?: string; readonly mesh?: string }): readonly SessionRecord[];
  /**
   * Explains why an ended session, or a described connection, passes or does not, in the live
   * configuration. Throws for a session that is not remembered, and for names that no client can
   * have.
   */
  explain(question: Question): Trace;
  /** Calls `listener` with the record of each ended session; returns the function that stops it. */
  onRecord(listener: (record: SessionRecord) => void): () => void;
  /**
   * Calls `listener` with the record of each request to an HTTP service; returns the function that
   * stops it.
   */
  onRequest(listener: (record: RequestRecord) => void): () => void;
  /** Returns Prometheus text. */
  metrics(): Promise<string>;
  /** Loads the configuration again; a bad one changes nothing. */
  reload(): Promise<LoadResult>;
  /** The level of the log at this moment. */
  readonly logLevel: LogLevel;
  /** Changes it; a log that began with `off` stays off. */
  setLogLevel(level: LogLevel): void;
  /** Opens the files of access logs again, as after a rotation. */
  reopenLogs(): void;
  /**
   * Stops accepting when no more connections come, then waits for the sessions; those left after
   * `drainTimeMs` are cut.
   */
  drain(drainTimeMs: number): { readonly done: Promise<Drained>; readonly hurry: () => void };
  /** Logs and counts an error that the process caught and the egress did not. */
  reportFault(error: unknown): void;
  /** Ends everything now. */
  close(): Promise<void>;
}
