import pino from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'off';

/** Where every room writes. `fields` are plain data; an Error goes under the key `err`. Secrets do not belong in either. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** The same log with these fields on every line. */
  with(fields: object): Log;
  /** Resolves when what was logged so far is written. */
  flush(): Promise<void>;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Fields of every line beside `service`: zone and egress, where they are known. */
  readonly base?: Readonly<Record<string, string>>;
  /** Takes whole lines; standard output without it. */
  readonly destination?: { write(line: string): void };
}

/** What waits for a reader of standard output that is too slow: more is dropped, traffic does not wait for a log. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

export interface RootLog extends Log {
  /** Fields that are known only later, e.g. the zone: on every line from now on. Once per name. */
  bind(fields: Readonly<Record<string, string>>): void;
}

/** JSON lines with an ISO time and the level as a word. */
export function createLog(options: LogOptions): RootLog {
  const stdout = options.destination === undefined ? standardOutput() : null;
  const logger = pino(
    {
      level: options.level === 'off' ? 'silent' : options.level,
      base: { service: 'zone-egress', ...options.base },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: withoutSecrets },
    },
    stdout ?? options.destination ?? { write: () => undefined },
  );
  return { ...wrap(logger, stdout), bind: (fields) => logger.setBindings(fields) };
}

type Output = ReturnType<typeof pino.destination>;

function standardOutput(): Output {
  // With a minimum of 0 bytes `flush` does not wait for a write that is under way.
  const output = pino.destination({ dest: 1, sync: false, minLength: 1, maxLength: MAX_WAITING_BYTES });
  // A reader that went away: there is nowhere left to say so.
  output.on('error', () => undefined);
  return output;
}

function wrap(logger: pino.Logger, output: Output | null): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    with: (fields) => wrap(logger.child(fields), output),
    flush: () => (output === null ? Promise.resolve() : flushed(output)),
  };
}

function flushed(output: Output): Promise<void> {
  return new Promise((resolve) => output.flush(() => resolve()));
}

/** The last net under the rule that nobody logs a secret: private keys and JSON web tokens, e.g. inside an error text of a library. */
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
