import { create, fromJson, toBinary } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { BootstrapSchema } from '#envoy/config/bootstrap/v3/bootstrap_pb.js';
import { FilterSchema } from '#envoy/config/listener/v3/listener_components_pb.js';
import { DownstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { shownJson } from '../../src/xds/dump/shown-message.ts';

const KEY = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n';
const HIDDEN = '[redacted]';
const HIDDEN_BYTES = Buffer.from(HIDDEN).toString('base64');

function secret(json: JsonObject): JsonObject {
  return shownJson(SecretSchema, fromJson(SecretSchema, json));
}

t.test('a private key is hidden in whatever form it comes, and a certificate is shown', async (t) => {
  const bytes = Buffer.from(KEY).toString('base64');
  t.same(
    secret({
      name: 'a',
      tlsCertificate: {
        certificateChain: { inlineString: 'cert' },
        privateKey: { inlineBytes: bytes },
        password: { inlineString: 'x' },
      },
    }),
    {
      name: 'a',
      tls_certificate: {
        certificate_chain: { inline_string: 'cert' },
        private_key: { inline_bytes: HIDDEN_BYTES },
        password: { inline_string: HIDDEN },
      },
    },
  );
  t.match(secret({ name: 'a', tlsCertificate: { privateKey: { inlineString: KEY } } }), {
    tls_certificate: { private_key: { inline_string: HIDDEN } },
  });
  t.match(secret({ name: 'a', genericSecret: { secret: { inlineString: 'x' } } }), {
    generic_secret: { secret: { inline_string: HIDDEN } },
  });
  t.match(secret({ name: 'a', sessionTicketKeys: { keys: [{ inlineString: 'x' }] } }), {
    session_ticket_keys: { keys: [{ inline_string: HIDDEN }] },
  });
});

t.test('it is hidden inside of an extension too, and what was shown is not changed', async (t) => {
  const context = fromJson(DownstreamTlsContextSchema, {
    commonTlsContext: { tlsCertificates: [{ privateKey: { inlineString: KEY } }] },
  });
  const value = toBinary(DownstreamTlsContextSchema, context);
  const typeUrl = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
  const filter = create(FilterSchema, {
    name: 'f',
    configType: { case: 'typedConfig', value: create(AnySchema, { typeUrl, value }) },
  });
  const shown = shownJson(FilterSchema, filter);
  t.notMatch(JSON.stringify(shown), /PRIVATE/);
  t.match(shown, { typed_config: { common_tls_context: { tls_certificates: [{ private_key: { inline_string: HIDDEN } }] } } });
  t.equal(Object.keys(shown.typed_config as JsonObject)[0], '@type');
  t.match(Buffer.from(toBinary(FilterSchema, filter)).toString(), /PRIVATE/);
});

t.test('the token for the control plane is hidden', async (t) => {
  const initialMetadata = [
    { key: 'authorization', value: 'eyJ.token' },
    { key: 'x-zone', value: 'zone-1' },
  ];
  const grpcServices = [{ envoyGrpc: { clusterName: 'ads_cluster' }, initialMetadata }];
  const bootstrap = fromJson(
    BootstrapSchema,
    { dynamicResources: { adsConfig: { apiType: 'GRPC', grpcServices } } },
    { registry: ANY_TYPES },
  );
  const text = JSON.stringify(shownJson(BootstrapSchema, bootstrap));
  t.notMatch(text, /eyJ/);
  t.match(text, /\{"key":"authorization","value":"\[redacted\]"\},\{"key":"x-zone","value":"zone-1"\}/);
});

t.test('an unknown extension shows its type and nothing else', async (t) => {
  for (const [typeUrl, value] of [
    ['type.googleapis.com/com.example.Extension', new TextEncoder().encode('a secret')],
    // Cut off.
    ['type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC', new Uint8Array([10, 200])],
  ] as const) {
    const any = create(AnySchema, { typeUrl, value });
    const shown = shownJson(FilterSchema, create(FilterSchema, { name: 'f', configType: { case: 'typedConfig', value: any } }));
    t.same(shown, {
      name: 'f',
      typed_config: { '@type': 'type.googleapis.com/google.protobuf.Struct', value: { not_shown: typeUrl } },
    });
  }
});
