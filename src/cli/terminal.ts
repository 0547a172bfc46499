import type { Grace } from './grace.ts';

/** The parts of the process that a command may use; main.ts and tests provide them. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly cwd: () => string;
  /** Counts the CPUs that this process may use, by its cgroup where it has one. */
  readonly cpus: () => number;
  /** Returns the most file descriptors of this process; null where the system gives no limit. */
  readonly descriptorLimit: () => number | null;
  /**
   * Returns a socket that the starter of this process opened for it, by systemd's protocol. Absent
   * means none.
   */
  readonly inheritedSocket?: () => InheritedSocket | null;
  /**
   * Returns the supervisor that started this process and waits for its reports. Absent or null
   * means none.
   */
  readonly supervisor?: () => Supervisor | null;
  /**
   * Returns the time that the supervisor leaves between SIGTERM and SIGKILL, where it can be known.
   * Absent means unknown.
   */
  readonly grace?: () => Grace | null;
  /** Calls `listener` for each of these signals until the returned function is called. */
  readonly onSignal: (signals: readonly Signal[], listener: (signal: Signal) => void) => () => void;
  /**
   * Returns the screen, where standard input and output are one. Absent or null means that there is
   * none.
   */
  readonly screen?: () => Screen | null;
  /** Reads and drops standard input; resolves when it ends. Absent means none. */
  readonly inputEnd?: () => Promise<void>;
  /**
   * Handles uncaught errors instead of ending the process: an exception in one callback must not
   * end the sessions of all clients.
   */
  readonly onFault: (listener: (error: unknown) => void) => void;
}

export interface Screen {
  readonly size: () => { readonly columns: number; readonly rows: number };
  /** Calls `listener` at each change of the size until the returned function is called. */
  readonly onResize: (listener: () => void) => () => void;
  /**
   * Calls `listener` with keys as they are typed, without an echo, until the returned function is
   * called; `gone` when there is no keyboard any more.
   */
  readonly onKeys: (listener: (input: string) => void, gone: () => void) => () => void;
}

export interface Supervisor {
  /**
   * The supervisor considers the process hung after this much time without a report; null without
   * such a check.
   */
  readonly watchdogMs: number | null;
  readonly notify: (state: readonly string[], failed: (message: string) => void) => void;
}

export type InheritedSocket = { readonly fd: number } | { readonly problem: string };

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2';
