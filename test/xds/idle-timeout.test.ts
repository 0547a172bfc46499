import { fromJson } from '@bufbuild/protobuf';
import t from 'tap';
import { translateChain } from '../../src/xds/translate/translate-chain.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';

const TYPES = 'type.googleapis.com/envoy.extensions.';

function idleOf(idleTimeout: string | null, isTerminated: boolean): number | undefined {
  const json = {
    filterChainMatch: { transportProtocol: 'tls', serverNames: ['backend{mesh=default}'] },
    filters: [
      {
        name: 'envoy.filters.network.tcp_proxy',
        typedConfig: {
          '@type': `${TYPES}filters.network.tcp_proxy.v3.TcpProxy`,
          statPrefix: 'x',
          cluster: 'default:backend',
          ...(idleTimeout === null ? {} : { idleTimeout }),
        },
      },
    ],
    ...(isTerminated
      ? {
          transportSocket: {
            name: 'envoy.transport_sockets.tls',
            typedConfig: { '@type': `${TYPES}transport_sockets.tls.v3.DownstreamTlsContext` },
          },
        }
      : {}),
  };
  const chain = fromJson(FilterChainSchema, json, { registry: ANY_TYPES });
  const { routes } = translateChain(chain, { port: 1, unsupported: null });
  if (routes[0]?.kind !== (isTerminated ? 'terminate' : 'passthrough')) throw new Error(JSON.stringify(routes));
  return routes[0].idleMs;
}

t.test('the idle timeout of tcp_proxy is a fact of the route, passed through and terminated alike', async (t) => {
  for (const isTerminated of [false, true]) {
    t.equal(idleOf('7200s', isTerminated), 7_200_000);
    t.equal(idleOf('0.250s', isTerminated), 250);
    t.equal(idleOf('0s', isTerminated), 0, 'never');
    t.equal(idleOf(null, isTerminated), undefined, 'that of the egress');
  }
});
