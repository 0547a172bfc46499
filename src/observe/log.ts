import pino from 'pino';
import { systemClock } from '../base/clock.ts';
import type { Timer } from '../base/clock.ts';
import { IsoTime } from '../base/iso-time.ts';
import { lineFormatter } from './log-format.ts';
import type { LogFormat } from './log-format.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'off';

/**
 * The log of every room. `fields` are plain data; an Error has the key `err`. Neither may contain a
 * secret.
 */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** Returns the same log with these fields on every line. */
  with(fields: object): Log;
  /** Resolves when all earlier lines are written. */
  flush(): Promise<void>;
}

export interface LogOptions {
  /** It may change later; a log that begins with `off` stays so. */
  readonly level: LogLevel;
  /** Default: json. */
  readonly format?: LogFormat;
  /** Fields of every line besides `service`: zone and egress, where they are known. */
  readonly base?: Readonly<Record<string, string>>;
  /** Receives whole lines; without it they go to standard output. */
  readonly destination?: { write(line: string): void };
  /** Called with the number of lines that were dropped for a reader that is too slow. */
  readonly onDropped?: (lines: number) => void;
}

/**
 * The most bytes that wait for a slow reader of standard output. Further lines are dropped, because
 * traffic does not wait for a log.
 */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

export interface RootLog extends Log {
  /**
   * Adds fields that are known only later, e.g. the zone, to every line from now on. Call it once
   * per name.
   */
  bind(fields: Readonly<Record<string, string>>): void;
  /** Stops writing; waiting lines are dropped. */
  close(): void;
  /** The level of this log, and of each that was made of it. */
  readonly level: LogLevel;
  setLevel(level: LogLevel): void;
  /** Writes a line at each level, for what an operator must not be able to hide. */
  always(level: 'info' | 'warn', fields: object, message: string): void;
  /**
   * Writes a line whose fields are JSON text already, without braces and of plain data. It is for
   * lines that may come thousands of times a second.
   */
  line(level: 'info' | 'warn', fields: string, message: string): void;
}

/** Writes JSON lines with an ISO time and the level as a word. */
export function createLog(options: LogOptions): RootLog {
  const stdout = options.destination === undefined ? new StandardOutput(options.onDropped) : null;
  const destination = stdout ?? options.destination ?? { write: () => undefined };
  const formatted = lineFormatter(options.format ?? 'json');
  const base = { service: 'zone-egress', ...options.base };
  const logger = pino(
    {
      // The gate below decides: a child of this logger would keep the level that it began with.
      level: 'debug',
      base,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: (line) => formatted(withoutSecrets(line)) },
    },
    destination,
  );
  const times = new IsoTime();
  const gate = { level: options.level };
  let bound = JSON.stringify(base).slice(1, -1);
  return {
    ...wrap(logger, gate, stdout),
    get level() {
      return gate.level;
    },
    setLevel(level) {
      if (options.level !== 'off') gate.level = level;
    },
    always(level, fields, message) {
      if (options.level !== 'off') logger[level](fields, message);
    },
    close: () => stdout?.close(),
    bind(fields) {
      logger.setBindings(fields);
      bound += `,${JSON.stringify(fields).slice(1, -1)}`;
    },
    line(level, fields, message) {
      if (!isOpen(gate, level)) return;
      if (stdout !== null) stdout.lastLevel = pino.levels.values[level] ?? 0;
      const line = `{"level":"${level}","time":"${times.of(Date.now())}",${bound},${fields},"msg":"${message}"}\n`;
      destination.write(formatted(withoutSecrets(line)));
    },
  };
}

/** How long a line without a problem may wait for others: each write is work for another thread. */
const HELD_MS = 20;
const HELD_CHARACTERS = 32 * 1_024;
/** A stream with this property receives the level of each line. */
const METADATA: unique symbol = Symbol.for('pino.metadata');
const WARN = pino.levels.values['warn'] ?? 40;

/**
 * The destination of pino. A thread of its own writes, so that a slow reader holds up no session.
 */
class StandardOutput {
  readonly #clock = systemClock({ keepAlive: false });
  // With a minimum of 0 bytes `flush` does not wait for a write in progress.
  readonly #output = pino.destination({ dest: 1, sync: false, minLength: 1, maxLength: MAX_WAITING_BYTES });
  readonly [METADATA] = true;
  /** Level of the next line. */
  lastLevel = 0;
  #held = '';
  #closed = false;
  #timer: Timer | null = null;

  constructor(onDropped: (lines: number) => void = () => undefined) {
    // The reader has gone, so there is no place to report it.
    this.#output.on('error', () => undefined);
    this.#output.on('drop', (lines: string) => onDropped(lines.split('\n').length - 1));
  }

  write(line: string): void {
    if (this.#closed) return;
    this.#held += line;
    if (this.lastLevel >= WARN || this.#held.length >= HELD_CHARACTERS) this.#pass();
    else this.#timer ??= this.#clock.after(HELD_MS, () => this.#pass());
  }

  flush(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#pass();
    return new Promise((resolve) => this.#output.flush(() => resolve()));
  }

  /** Drops what is not read by now: at its exit the process would wait for a reader forever. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#output.destroy();
  }

  #pass(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const held = this.#held;
    this.#held = '';
    if (held !== '') this.#output.write(held);
  }
}

interface Gate {
  level: LogLevel;
}

const RANKS: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3, off: 4 };

function isOpen({ level }: Gate, of: LogLevel): boolean {
  return RANKS[of] >= RANKS[level];
}

function wrap(logger: pino.Logger, gate: Gate, output: StandardOutput | null): Log {
  const writes = (level: Exclude<LogLevel, 'off'>) => (fields: object, message: string) => {
    if (isOpen(gate, level)) logger[level](fields, message);
  };
  return {
    debug: writes('debug'),
    info: writes('info'),
    warn: writes('warn'),
    error: writes('error'),
    with: (fields) => wrap(logger.child(fields), gate, output),
    flush: () => output?.flush() ?? Promise.resolve(),
  };
}

/**
 * Removes secrets from a line: private keys and JSON web tokens, e.g. inside of a library's error.
 * Callers must not log secrets in the first place.
 */
function withoutSecrets(line: string): string {
  let clean = line;
  if (clean.includes('PRIVATE KEY-----')) {
    clean = clean.replace(
      /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----END )[^"])*(?:-----END [A-Z ]*PRIVATE KEY-----)?/g,
      '[private key]',
    );
  }
  if (clean.includes('eyJ')) clean = clean.replace(/eyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g, '[token]');
  return clean;
}
