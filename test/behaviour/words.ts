// Writes in words what a client saw, in one form for the recording with Envoy and for our own
// client.
import type { Seen } from './client.ts';

/** A case as it was recorded. */
export interface Recorded {
  readonly handshake?: string;
  readonly error?: string;
  readonly alert?: string;
  readonly alert_read_afterwards?: string;
  readonly got?: string;
  readonly tls_end?: string;
  readonly end?: string;
  readonly ms?: number;
  readonly bytes?: number;
  readonly first?: string;
  readonly send?: string;
  readonly upstream_log?: string;
  readonly bytes_each_way?: number;
  readonly second?: string;
  readonly san?: readonly (readonly string[])[];
  readonly issuer?: string;
  /** What each of several connections read, or how it ended. */
  readonly connections?: readonly string[];
  /** The first lines of the answers to several requests. */
  readonly status?: readonly string[];
}

/** A limit that ends a case: its duration here, and in Kuma. */
export interface Limit {
  readonly ms: number;
  readonly word: string;
}

const RECORDED_LIMITS: readonly Limit[] = [
  { ms: 15_000, word: '15 s' },
  { ms: 5_000, word: '5 s' },
  { ms: 1_000, word: '1 s' },
];
/** The tolerance of two threads' timers and the client's read. */
const EARLY_MS = 20;
/** The delay that a busy machine may add. */
const LATE_MS = 60_000;

export function wordsOfRecorded(case_: Recorded): string {
  const { upstream_log: log, bytes_each_way: each, second, san } = case_;
  if (log !== undefined) return log.replace(/^sink: read (\d+) bytes, ended by eof.*/, 'the service read $1 bytes and an end');
  if (each !== undefined) return `${each} bytes each way`;
  if (second !== undefined) return second === 'reused=True' ? 'the second session is resumed' : 'no session is resumed';
  if (case_.connections !== undefined) return counted(case_.connections.map(connectionWords));
  if (case_.status !== undefined) return statusWords(case_.status);
  if (san !== undefined) return `${san.map(([, uri]) => uri).join(', ')}; issuer ${rdn(case_.issuer ?? '')}`;
  const { handshake, tls_end: tlsEnd, end = '', got = '', first = '', ms = 0 } = case_;
  const alert =
    /alert (.+)$/.exec(case_.error ?? '')?.[1] ??
    (case_.alert_read_afterwards ?? case_.alert ?? '')
      .replace(/^.*ALERT_|^fatal |^UNEXPECTED_EOF.*/, '')
      .replaceAll('_', ' ')
      .toLowerCase();
  // Envoy never agreed on ALPN.
  const [version = '', cipher = ''] = (handshake ?? '').split(' ');
  return joined([
    handshake === undefined ? '' : handshake === 'not finished' ? 'no handshake' : handshakeWords(version, cipher, null),
    ...answerWords(got),
    first.startsWith('16') ? 'server hello' : '',
    tlsEnd === 'close_notify' ? 'close_notify' : '',
    alert === '' ? '' : `alert ${alert}`,
    alert !== ''
      ? ''
      : end.startsWith('FIN') || end === 'RST'
        ? ended(
            end,
            ms,
            RECORDED_LIMITS.find((limit) => ms > limit.ms - EARLY_MS),
          )
        : 'open',
  ]);
}

/** Ends the text at an alert: whether a client reads the end after it depends on its library. */
export function wordsOfSeen(seen: Seen, limit?: Limit): string {
  const { tls, cipher = '', alpn = null, alert, closeNotify, end, ms } = seen;
  return joined([
    tls === undefined || (tls === null && alert !== null)
      ? ''
      : tls === null
        ? 'no handshake'
        : handshakeWords(tls, cipher, alpn),
    ...(tls === undefined ? [] : answerWords(seen.got.toString('latin1'))),
    tls === undefined && seen.got[0] === 22 ? 'server hello' : '',
    closeNotify ? 'close_notify' : '',
    alert === null ? '' : `alert ${alert}`,
    alert !== null ? '' : end === 'open' ? 'open' : ended(end, ms, limit),
  ]);
}

/**
 * Accepts an end later than a limit only by what a client and a busy machine need; without a limit
 * it has to be at once.
 */
function ended(end: string, ms: number, limit: Limit | undefined): string {
  const over = ms - (limit?.ms ?? 0);
  if (over > LATE_MS) return `${end} late`;
  if (over < -EARLY_MS) return `${end} early`;
  return limit === undefined ? end : `${end} after ${limit.word}`;
}

function handshakeWords(version: string, cipher: string, alpn: string | null): string {
  return [version, ...(version === 'TLSv1.3' ? [] : [cipher]), ...(alpn === null ? [] : [`ALPN ${alpn}`])].join(' ');
}

/** Several answers of one connection begin with a status line each. */
export function answerWords(got: string): readonly string[] {
  if (got === '') return [];
  return [counted(got.split(/(?=HTTP\/1\.1 \d)/).map(oneAnswer))];
}

function oneAnswer(got: string): string {
  const [head = '', rest = ''] = got.split('\r\n\r\n');
  // An empty body in chunks.
  const body = rest === '0' ? '' : rest;
  const [status = '', ...lines] = head.split('\r\n');
  if (got.startsWith('\0\0')) return 'HTTP/2 SETTINGS';
  if (!status.startsWith('HTTP/')) return JSON.stringify(got);
  const server = lines.find((line) => line.startsWith('server: ')) ?? '';
  const said = body.startsWith('{') ? requestWords(body) : body === '' ? '' : JSON.stringify(body);
  return [status, server === '' ? '' : `(${server})`, said].filter((part) => part !== '').join(' ');
}

/** Writes equal neighbours once, with their number. */
export function counted(words: readonly string[]): string {
  const runs: { readonly word: string; times: number }[] = [];
  for (const word of words) {
    const last = runs.at(-1);
    if (last?.word === word) last.times++;
    else runs.push({ word, times: 1 });
  }
  return runs.map(({ word, times }) => (times === 1 ? word : `${times} × ${word}`)).join(', ');
}

/** What one of several connections read, or how it ended. */
export function connectionWords(read: string): string {
  return read === 'FIN' || read === 'RST' ? read : JSON.stringify(read);
}

/** The statuses of many requests, each once, because chance decides about their order. */
export function statusWords(lines: readonly string[]): string {
  return [...new Set(lines.map((line) => line.split(' ')[1] ?? ''))].sort().join(' or ');
}

/**
 * Writes the request as the service got it: every name, and the values that matter. It leaves out
 * headers of an HTTP library's own connection, and puts the length of a body, whose place differs
 * between libraries, last.
 */
function requestWords(body: string): string {
  const { request, headers } = JSON.parse(body) as { request: string; headers: readonly (readonly [string, string])[] };
  const told = headers.filter(([name, value]) => !(name === 'connection' && value === 'keep-alive') && name !== 'content-length');
  const length = headers.filter(([name]) => name === 'content-length');
  const shown = [...told, ...length].map(([name, value]) =>
    /^(host|x-envoy-original-host|x-envoy-expected-rq-timeout-ms)$/i.test(name) ? `${name}=${value}` : name,
  );
  return `to ${request.replace(' HTTP/1.1', '')} with ${shown.length === 0 ? 'no header' : shown.join(', ')}`;
}

function rdn(issuer: string): string {
  return [...issuer.matchAll(/'(\w+)', '([^']+)'/g)].map(([, , value]) => value).join('/');
}

function joined(parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('; ');
}
