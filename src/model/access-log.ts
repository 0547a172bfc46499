/**
 * An access log that operators asked for: a line in a file for each session, or for each request,
 * of a route. Plain data.
 */
export interface AccessLogTarget {
  /** The file that the lines are added to, or `tcp://host:port` for a receiver of lines. */
  readonly path: string;
  readonly format: AccessLogFormat;
  /** Only about clients with such a first URI SAN. Absent means all. */
  readonly clients?: AccessLogClients;
  /** True writes a line too when a session that passes bytes is joined to its endpoint. */
  readonly onConnect?: true;
}

export interface AccessLogClients {
  readonly type: 'exact' | 'prefix';
  readonly value: string;
}

export type AccessLogFormat = AccessLogForm & {
  /** True leaves out what is unknown, in place of `-` and null. */
  readonly omitEmpty?: true;
};

type AccessLogForm =
  | { readonly kind: 'text'; readonly pieces: readonly FormatPiece[] }
  /** One object of JSON and a newline. */
  | { readonly kind: 'json'; readonly value: FormatValue };

/** Text as it is, or a command operator of Envoy. */
export type FormatPiece = string | FormatOperator;

export interface FormatOperator {
  /** As in Envoy: `START_TIME`. */
  readonly name: string;
  /** The text in its brackets; absent without any. */
  readonly argument?: string;
  /** The most characters of its value. */
  readonly most?: number;
}

/** A value of a JSON format. A map has its names in order. */
export type FormatValue =
  | { readonly kind: 'text'; readonly pieces: readonly FormatPiece[] }
  | { readonly kind: 'constant'; readonly value: number | boolean | null }
  | { readonly kind: 'list'; readonly items: readonly FormatValue[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [name: string, value: FormatValue])[] };

/** A line of an access log, on its way to the control side. */
export interface AccessLogLine {
  readonly path: string;
  readonly line: string;
}

const TCP = 'tcp://';

/** Returns the place of a receiver at `host:port`; null for a text that is no such address. */
export function tcpPlace(address: string): string | null {
  const [, port] = /^(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})$/.exec(address) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535) return null;
  return URL.canParse(`${TCP}${address}`) ? `${TCP}${address}` : null;
}

export function isTcpPlace(path: string): boolean {
  return path.startsWith(TCP);
}
