/** What a protocol says of how a terminated route is served. */
import type { Cluster } from '../model/cluster.ts';
import type { TerminateRoute } from '../model/route.ts';

type Protocol = TerminateRoute['protocol'];

/** As Kuma: an HTTP connection manager on every external service that speaks HTTP. */
export function httpRoute(protocol: Protocol, answersDenied: boolean): Pick<TerminateRoute, 'http'> {
  return upstreamHttp(protocol).http === undefined ? {} : { http: { autoHostRewrite: true, answersDenied } };
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
