/** What a command may use of the process: handed in by main.ts, and by tests. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly cwd: () => string;
  /** CPUs that this process may use, of its cgroup where it has one. */
  readonly cpus: () => number;
  /** Open files that this process may have; null where the system does not say. */
  readonly descriptorLimit: () => number | null;
  /** A socket that the starter of this process listens on for it, systemd's way. Absent: none. */
  readonly inheritedSocket?: () => InheritedSocket | null;
  /** What starts this process and waits for word from it. Absent or null: nothing does. */
  readonly supervisor?: () => Supervisor | null;
  /** Calls `listener` for each of these signals until the returned function is called. */
  readonly onSignal: (signals: readonly Signal[], listener: (signal: Signal) => void) => () => void;
  /** Reads standard input away; resolves when it ends. Absent: there is none. */
  readonly inputEnd?: () => Promise<void>;
  /**
   * Takes errors that nobody caught, in place of the end of the process: an exception in one
   * callback must not end the sessions of all.
   */
  readonly onFault: (listener: (error: unknown) => void) => void;
}

export interface Supervisor {
  /** It takes the process for hung when it has heard nothing for so long; null: it does not. */
  readonly watchdogMs: number | null;
  readonly notify: (state: readonly string[], failed: (message: string) => void) => void;
}

export type InheritedSocket = { readonly fd: number } | { readonly problem: string };

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';
