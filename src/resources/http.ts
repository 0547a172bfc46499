/** Makes the HTTP settings of a terminated route from the protocol of its service. */
import type { Cluster } from '../model/cluster.ts';
import type { HttpRoute } from '../model/http-route.ts';
import type { TerminateRoute } from '../model/route.ts';

type Protocol = TerminateRoute['protocol'];

export interface HeaderChange {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
  /** True adds the value to those of the same name; false replaces them. */
  readonly append: boolean;
}

/** Headers that frame a message or belong to a connection: no configuration changes them. */
const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Headers that Envoy overwrites in an answer of its own. */
const OVERWRITTEN: ReadonlySet<string> = new Set(['content-type', 'server']);

/**
 * Returns the extra headers of an answer that the egress gives itself; names and values alternate.
 */
export function replyHeaders(headers: readonly HeaderChange[]): readonly string[] {
  return flatHeaders(headers.filter(({ name }) => !OVERWRITTEN.has(name)));
}

/** Returns the extra headers of a message; names and values alternate. */
export function flatHeaders(headers: readonly HeaderChange[]): readonly string[] {
  let flat: string[] = [];
  for (const { name, value, append } of headers) {
    if (FRAMING.has(name)) continue;
    if (!append) flat = flat.filter((_, i) => flat[i - (i % 2)] !== name);
    flat.push(name, value);
  }
  return flat;
}

/** Returns why no message can carry such a header; null where one can. */
export function headerProblem(name: string, value: string): string | null {
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) return 'must be the name of a header: letters, digits and hyphens';
  return /[^\t\x20-\x7e\x80-\xff]/.test(value) ? 'must be one line of text without control characters' : null;
}

/**
 * Adds HTTP to the route of every external service that speaks it, as Kuma adds an HTTP connection
 * manager.
 */
export function httpRoute(
  protocol: Protocol,
  answersDenied: boolean,
  policies: Partial<HttpRoute> = {},
): Pick<TerminateRoute, 'http'> {
  return upstreamHttp(protocol).http === undefined ? {} : { http: { autoHostRewrite: true, answersDenied, ...policies } };
}

export function upstreamHttp(protocol: Protocol): Pick<Cluster, 'http'> {
  switch (protocol) {
    case 'http':
      return { http: 'http1' };
    case 'http2':
    case 'grpc':
      return { http: 'http2' };
    case 'tcp':
    case 'kafka':
      return {};
    default:
      return protocol satisfies never;
  }
}
