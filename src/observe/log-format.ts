/**
 * The forms of a log line. Pino writes JSON; the other forms are made of that line, so that each
 * has the same fields, and the filter for secrets has seen them before.
 */
import { oneLine } from '../base/plain-text.ts';

export type LogFormat = 'json' | 'text' | 'logfmt' | 'ecs';

export const LOG_FORMATS: readonly LogFormat[] = ['json', 'text', 'logfmt', 'ecs'];

type Fields = Readonly<Record<string, unknown>>;

/** Returns what makes a line of this form, with its newline, of one of JSON. */
export function lineFormatter(format: LogFormat): (line: string) => string {
  if (format === 'json') return (line) => line;
  const form = FORMS[format];
  return (line) => {
    const fields = fieldsOf(line);
    return fields === null ? line : `${form(fields)}\n`;
  };
}

const FORMS: Readonly<Record<Exclude<LogFormat, 'json'>, (fields: Fields) => string>> = {
  text: textLine,
  logfmt: logfmtLine,
  ecs: ecsLine,
};

function fieldsOf(line: string): Fields | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

/** For people: time, level, message, and the fields behind it. */
function textLine({ time, level, msg, service: _, ...fields }: Fields): string {
  const head = `${text(time)} ${text(level).toUpperCase().padEnd(5)} ${oneLine(text(msg))}`;
  return [head, ...pairsOf(fields)].join(' ');
}

function logfmtLine({ time, level, msg, ...fields }: Fields): string {
  return pairsOf({ time, level, msg, ...fields }).join(' ');
}

/** Fields of objects have the names of both, with a dot; empty texts and lists stay out. */
function pairsOf(fields: Fields, prefix = ''): readonly string[] {
  return Object.entries(fields).flatMap(([name, value]) => {
    const key = `${prefix}${name}`.replace(/[^\w.@/-]/g, '_');
    if (value === null || value === undefined || value === '') return [];
    if (Array.isArray(value)) return value.length === 0 ? [] : [`${key}=${quoted(value.map(text).join(','))}`];
    if (typeof value === 'object') return pairsOf({ ...value }, `${key}.`);
    return [`${key}=${quoted(text(value))}`];
  });
}

/** JSON escapes what would end the value or the line. */
function quoted(value: string): string {
  return /^[\w.:@/+,{}\-[\]*]+$/.test(value) ? value : oneLine(JSON.stringify(value));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

const ECS_VERSION = '8.11.0';

/** Elastic Common Schema: its names where it has one, and the rest under `zone_egress`. */
function ecsLine({ time, level, msg, service, err, stack, ...fields }: Fields): string {
  const { clientAddress, clientPort, sni, tlsVersion, reason, totalMs, bytesUp, bytesDown, ...rest } = fields;
  const outcome = msg === 'session ended' || msg === 'request served' ? 'success' : 'failure';
  return JSON.stringify({
    '@timestamp': time,
    'log.level': level,
    message: msg,
    'ecs.version': ECS_VERSION,
    'service.name': service,
    ...errorOf(err, stack),
    ...named('client.ip', clientAddress),
    ...named('client.port', clientPort),
    ...named('client.bytes', bytesUp),
    ...named('server.bytes', bytesDown),
    ...named('tls.client.server_name', sni),
    ...named('tls.version', tlsVersion === undefined ? undefined : text(tlsVersion).replace(/^TLSv/, '')),
    ...named('event.reason', reason),
    ...(typeof totalMs === 'number' ? { 'event.outcome': outcome, 'event.duration': Math.round(totalMs * 1e6) } : {}),
    ...(Object.keys(rest).length === 0 ? {} : { zone_egress: rest }),
  });
}

function named(name: string, value: unknown): Fields {
  return value === undefined || value === '' ? {} : { [name]: value };
}

function errorOf(err: unknown, stack: unknown): Fields {
  if (typeof err !== 'object' || err === null) return named('error.stack_trace', stack);
  const { type, message, stack: trace }: Fields = { ...err };
  return { ...named('error.type', type), ...named('error.message', message), ...named('error.stack_trace', trace) };
}
