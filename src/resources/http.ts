/** What a protocol says of how a terminated route is served. */
import type { Cluster } from '../model/cluster.ts';
import type { HttpRoute } from '../model/http-route.ts';
import type { TerminateRoute } from '../model/route.ts';

type Protocol = TerminateRoute['protocol'];

export interface HeaderChange {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
  /** Beside those of its name; otherwise in place of them. */
  readonly append: boolean;
}

/**
 * They say how a message is framed, or which connection it is on: no operator's word changes them.
 */
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

/** Of an answer of the egress's own: Envoy writes these over what it was given. */
const OVERWRITTEN: ReadonlySet<string> = new Set(['content-type', 'server']);

/** More headers of an answer that the egress gives itself, as names and values in turns. */
export function replyHeaders(headers: readonly HeaderChange[]): readonly string[] {
  return flatHeaders(headers.filter(({ name }) => !OVERWRITTEN.has(name)));
}

/** More headers of a message, as names and values in turns. */
export function flatHeaders(headers: readonly HeaderChange[]): readonly string[] {
  let flat: string[] = [];
  for (const { name, value, append } of headers) {
    if (FRAMING.has(name)) continue;
    if (!append) flat = flat.filter((_, i) => flat[i - (i % 2)] !== name);
    flat.push(name, value);
  }
  return flat;
}

/** Why no message can carry such a header; null where one can. */
export function headerProblem(name: string, value: string): string | null {
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) return 'must be the name of a header: letters, digits and hyphens';
  return /[^\t\x20-\x7e\x80-\xff]/.test(value) ? 'must be one line of text without control characters' : null;
}

/** As Kuma: an HTTP connection manager on every external service that speaks HTTP. */
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
