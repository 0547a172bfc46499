import { durationMs } from '../base/duration.ts';
import type { LogLevel } from '../observe/log.ts';
import { isCidr } from '../routing/addresses.ts';
import type { OptionSpec } from './options.ts';

/**
 * Throws, with the allowed values of `source` (a flag, a variable or a place in a file), where
 * `text` is not one.
 */
export function check(source: string, spec: OptionSpec, text: string): void {
  const problem = valueProblem(spec, text);
  if (problem !== null) throw new Error(`${source} ${problem}`);
}

/** Returns the value and what is allowed in its place; null for a good value. */
export function valueProblem({ kind, most }: Pick<OptionSpec, 'kind' | 'most'>, text: string): string | null {
  const wrong = (allowed: string, given = text): string => `${JSON.stringify(given)}: allowed is ${allowed}`;
  if (kind === 'flag' && !isTrue(text) && !FALSE.includes(text)) return wrong('true or false');
  if ((kind === 'count' || kind === 'port') && !(most === undefined ? /^\d{1,9}$/ : /^\d{1,15}$/).test(text))
    return wrong('a whole number from 0');
  if (kind === 'count' && most !== undefined && Number(text) > most) return wrong(`0 to ${most}`);
  const noCidr = kind === 'cidrs' ? items(text).find((item) => !isCidr(item)) : undefined;
  if (noCidr !== undefined) return wrong('a CIDR block such as 127.0.0.0/8 or fe80::/10', noCidr);
  if (kind === 'port' && Number(text) > 65_535) return wrong('a port from 0 to 65535');
  if (kind === 'duration' && durationMs(text) === null) return wrong('a duration such as 500ms, 30s, 5m, 1h or 1m30s');
  if (kind === 'bytes' && sizeInBytes(text) === null) return wrong('a size such as 100MB, 512KB, 2GB, from 1KB on');
  if (kind === 'share' && !isShare(text)) return wrong('a number from 0 to 1, such as 0.01');
  if (kind === 'level' && levelOrNull(text) === null)
    return `${JSON.stringify(text)}: allowed are debug, info, warn, error and off`;
  return kind === 'text' && text === '' ? wrong('a text that is not empty') : null;
}

function isShare(text: string): boolean {
  return /^\d*\.?\d+$/.test(text) && Number(text) <= 1;
}

/** Go's ParseBool accepts these. */
const TRUE: readonly string[] = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE: readonly string[] = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

export function isTrue(text: string): boolean {
  return TRUE.includes(text);
}

const SIZES: Readonly<Record<string, number>> = { '': 1, KB: 1e3, MB: 1e6, GB: 1e9 };

/**
 * Reads `100MB` in steps of a thousand; a plain number is bytes. Null where the text is none, or
 * less than 1 KB.
 */
export function sizeInBytes(text: string): number | null {
  const [, number = '', unit = ''] = /^(\d{1,12})(KB|MB|GB)?$/i.exec(text) ?? [];
  const size = number === '' ? 0 : Number(number) * (SIZES[unit.toUpperCase()] ?? 0);
  return size < 1_000 ? null : size;
}

/** Splits a list at commas and trims; leaves out empty items. */
export function items(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/**
 * Reads `key=value` as Go's pflag does: one pair, whose value may contain commas; or several
 * between commas, where one that contains a comma is quoted. Throws for a text that is no pair.
 */
export function pairs(text: string): readonly (readonly [key: string, value: string])[] {
  const count = text.split('=').length - 1;
  const parts = count < 2 ? [text.replace(/^"+|"+$/g, '')] : commaSeparated(text);
  return parts.map((part) => {
    const at = part.indexOf('=');
    if (at < 0) throw new Error(`${part} must be formatted as key=value`);
    return [part.slice(0, at), part.slice(at + 1)] as const;
  });
}

function commaSeparated(text: string): readonly string[] {
  const field = /(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/gy;
  return [...text.matchAll(field)].map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '');
}

export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'off'];

export function levelOrNull(text: string): LogLevel | null {
  return LOG_LEVELS.find((each) => each === text) ?? null;
}

export function outputForm(text: string): 'text' | 'json' {
  if (text === 'text' || text === 'json') return text;
  throw new Error(`--output ${JSON.stringify(text)}: allowed are text and json`);
}

/**
 * Returns the part of the address that all pages share. The path of a unix socket becomes
 * `http+unix://%2Frun%2Fadmin.sock`.
 */
export function adminUrl(text: string): string {
  const socket = /^(?:unix:)?(\.{0,2}\/.*)$/s.exec(text)?.[1];
  if (socket !== undefined) return `${UNIX}${encodeURIComponent(socket)}`;
  const parsed = URL.parse(text);
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:')
    throw new Error(
      `--admin ${JSON.stringify(text)}: allowed is http://HOST:PORT, https://HOST:PORT, or the path of --admin-socket`,
    );
  return parsed.origin;
}

const UNIX = 'http+unix://';

/** Takes an address of `adminUrl`, with a page behind it, apart. */
export function adminTarget(url: string): { readonly socketPath: string; readonly path: string } | null {
  if (!url.startsWith(UNIX)) return null;
  const at = url.indexOf('/', UNIX.length);
  return { socketPath: decodeURIComponent(url.slice(UNIX.length, at < 0 ? url.length : at)), path: at < 0 ? '/' : url.slice(at) };
}

/** Writes an address of `adminUrl` as operators do. */
export function shownAdmin(url: string): string {
  return adminTarget(url)?.socketPath ?? url;
}
