import { fromJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { AccessLogTarget } from '../../src/model/access-log.ts';
import { translateChain } from '../../src/xds/translate/translate-chain.ts';
import type { ChainRoutes } from '../../src/xds/translate/translate-chain.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';

const TYPES = 'type.googleapis.com/envoy.extensions.';
const NAME = 'sni.extsvc.m.a.80';

const file = (more: JsonObject): JsonObject => ({
  name: 'envoy.access_loggers.file',
  typedConfig: { '@type': `${TYPES}access_loggers.file.v3.FileAccessLog`, path: '/log', ...more },
});
const text = (inlineString: string): JsonObject => ({ logFormat: { textFormatSource: { inlineString } } });
const cel = (expression: string): JsonObject => ({
  filter: {
    extensionFilter: {
      name: 'envoy.access_loggers.extension_filters.cel',
      typedConfig: { '@type': `${TYPES}access_loggers.filters.cel.v3.ExpressionFilter`, expression },
    },
  },
});

function translated(accessLog: readonly JsonObject[], more: JsonObject = {}): ChainRoutes {
  const json = {
    filterChainMatch: { transportProtocol: 'tls', serverNames: [NAME] },
    filters: [
      {
        name: 'envoy.filters.network.tcp_proxy',
        typedConfig: {
          '@type': `${TYPES}filters.network.tcp_proxy.v3.TcpProxy`,
          statPrefix: 'x',
          cluster: 'c',
          accessLog: [...accessLog],
          ...more,
        },
      },
    ],
    transportSocket: {
      name: 'envoy.transport_sockets.tls',
      typedConfig: { '@type': `${TYPES}transport_sockets.tls.v3.DownstreamTlsContext` },
    },
  };
  return translateChain(fromJson(FilterChainSchema, json, { registry: ANY_TYPES }), { port: 1, unsupported: null });
}

const logsOf = (...logs: readonly JsonObject[]): readonly AccessLogTarget[] => translated(logs).routes[0]?.accessLogs ?? [];
const leftOut = (log: JsonObject): readonly string[] => {
  const { routes, remarks } = translated([log]);
  if (routes[0]?.accessLogs !== undefined || routes[0]?.unsupported?.includes('log') === true)
    throw new Error(JSON.stringify(routes));
  return remarks.filter((remark) => remark.startsWith('an access log of it is not written'));
};

t.test('a file with a text or a JSON format is read', async (t) => {
  t.match(logsOf(file(text('%DURATION% ms\n'))), [
    { path: '/log', format: { kind: 'text', pieces: [{ name: 'DURATION' }, ' ms\n'] }, onConnect: undefined },
  ]);
  const json = { logFormat: { jsonFormat: { b: '%DURATION%', a: { c: 'x' } }, omitEmptyValues: true } };
  t.match(logsOf(file(json)), [
    {
      format: {
        kind: 'json',
        omitEmpty: true,
        value: {
          entries: [
            ['a', { kind: 'map', entries: [['c', { pieces: ['x'] }]] }],
            ['b', { pieces: [{ name: 'DURATION' }] }],
          ],
        },
      },
    },
  ]);
  t.match(logsOf(file({})), [{ format: { kind: 'text' } }], 'without a format it is that of Envoy');
  const { routes } = translated([file(text('x'))], { accessLogOptions: { flushAccessLogOnConnected: true } });
  t.match(routes[0]?.accessLogs, [{ onConnect: true }]);
});

t.test('the matches of a rule count: those of another server name are left out, clients are kept', async (t) => {
  const named = (name: string): JsonObject => ({ ...file(text('x')), ...cel(`connection.requested_server_name == "${name}"`) });
  t.equal(logsOf(named(NAME), named('another')).length, 1);
  const exact = 'connection.uri_san_peer_certificate == "spiffe://m/a&&b"';
  t.match(logsOf({ ...file(text('x')), ...cel(exact) }), [{ clients: { type: 'exact', value: 'spiffe://m/a&&b' } }]);
  const prefix = `connection.uri_san_peer_certificate.startsWith("spiffe://m/") && connection.requested_server_name == "${NAME}"`;
  t.match(logsOf({ ...file(text('x')), ...cel(prefix) }), [{ clients: { type: 'prefix', value: 'spiffe://m/' } }]);
});

/** As Kuma sends a log of type Tcp: a file whose reader is kuma-dp. */
function piped(format: JsonObject): JsonObject {
  const log = file(format);
  return { ...log, typedConfig: { ...(log['typedConfig'] as JsonObject), path: '/tmp/kuma-al-egress-m.sock' } };
}

t.test('a log of type Tcp goes to its receiver, without the part that is for kuma-dp', async (t) => {
  const path = 'tcp://10.0.0.1:5000';
  const sni = { name: 'REQUESTED_SERVER_NAME' };
  t.match(logsOf(piped({ logFormat: { jsonFormat: { address: '10.0.0.1:5000', message: 'to %REQUESTED_SERVER_NAME%' } } })), [
    { path, format: { kind: 'text', pieces: ['to ', sni, '\n'] } },
  ]);
  t.match(
    logsOf(piped({ logFormat: { jsonFormat: { address: '10.0.0.1:5000', message: { sni: '%REQUESTED_SERVER_NAME%' } } } })),
    [{ path, format: { kind: 'json', value: { kind: 'map', entries: [['sni', { kind: 'text', pieces: [sni] }]] } } }],
  );
  t.match(logsOf(piped(text('10.0.0.1:5000;to %REQUESTED_SERVER_NAME%\n'))), [
    { path, format: { kind: 'text', pieces: ['to ', sni, '\n'] } },
  ]);
});

t.test('what is not written is a remark, and refuses no client', async (t) => {
  t.match(leftOut(file(text('%DURATON%'))), [/its format has %DURATON%, which is no command operator of Envoy$/]);
  t.match(leftOut({ ...file(text('x')), ...cel('request.path == "/"') }), [/its filter is not evaluated$/]);
  t.match(leftOut({ ...file(text('x')), filter: { statusCodeFilter: {} } }), [/its filter is not evaluated$/]);
  const json = (jsonFormat: JsonObject): JsonObject => ({ logFormat: { jsonFormat } });
  for (const format of [json({ message: 'x' }), json({ address: 'nowhere', message: 'x' }), text('x')])
    t.match(leftOut(piped(format)), [/it is of type Tcp, and its format names no address$/]);
  t.match(leftOut({ name: 'envoy.access_loggers.stdout' }), [/it is of type envoy\.access_loggers\.stdout$/]);
});
