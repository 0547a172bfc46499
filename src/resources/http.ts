/** What a protocol says of how a terminated route is served. */
import type { Cluster } from '../model/cluster.ts';
import type { HttpRoute } from '../model/http-route.ts';
import type { TerminateRoute } from '../model/route.ts';

type Protocol = TerminateRoute['protocol'];

/**
 * Of an answer, as names and values in turns: one that does not append takes the place of those of
 * its name.
 */
export function replyHeaders(
  headers: readonly { readonly name: string; readonly value: string; readonly append: boolean }[],
): readonly string[] {
  let flat: string[] = [];
  for (const { name, value, append } of headers) {
    if (!append) flat = flat.filter((_, i) => flat[i - (i % 2)] !== name);
    flat.push(name, value);
  }
  return flat;
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
