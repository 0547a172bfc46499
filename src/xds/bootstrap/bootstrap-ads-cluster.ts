import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { bundleIn, Unusable } from './bootstrap-trust.ts';
import { listAt, portAt, textAt, valueAt } from '../messages/plain-value.ts';
import type { AdsTarget, AdsTls } from '../stream/transport.ts';

/**
 * Reads the static cluster that Envoy's own gRPC client dials: one address, TLS, and what the
 * control plane's certificate must contain.
 */
export function bootstrapAdsCluster(document: JsonObject, name: string): { readonly target: AdsTarget; readonly tls: AdsTls } {
  const cluster = listAt(document, 'staticResources', 'clusters').find((each) => textAt(each, 'name') === name);
  if (cluster === undefined)
    throw new Unusable(`staticResources.clusters: has no ${JSON.stringify(name)}, where ADS is said to be`);
  const address = valueAt(cluster, 'loadAssignment', 'endpoints', 0, 'lbEndpoints', 0, 'endpoint', 'address', 'socketAddress');
  const host = textAt(address, 'address');
  const port = portAt(address, 'portValue');
  if (host === null || port === null)
    throw new Unusable(`staticResources.clusters ${JSON.stringify(name)}: has no address with a port`);
  return { target: { host, port }, tls: tlsOf(document, cluster, host) };
}

function tlsOf(document: JsonObject, cluster: JsonValue, host: string): AdsTls {
  const context = valueAt(cluster, 'transportSocket', 'typedConfig');
  if (context === undefined) return { kind: 'plaintext' };
  const common = valueAt(context, 'commonTlsContext');
  const secret = textAt(common, 'validationContextSdsSecretConfig', 'name');
  const validation =
    secret === null
      ? valueAt(common, 'validationContext')
      : valueAt(
          listAt(document, 'staticResources', 'secrets').find((each) => textAt(each, 'name') === secret),
          'validationContext',
        );
  // Envoy verifies nothing without a validation context. This egress always verifies a control
  // plane.
  const names = new Set(
    listAt(validation, 'matchTypedSubjectAltNames').map((each) => {
      const exact = textAt(each, 'matcher', 'exact');
      if (exact === null) throw new Unusable('matchTypedSubjectAltNames: allowed is a matcher with exact');
      return exact;
    }),
  );
  if (names.size > 1) throw new Unusable(`matchTypedSubjectAltNames ${[...names].join(', ')}: allowed is one name`);
  const [expected = textAt(context, 'sni') ?? host] = names;
  return {
    kind: 'tls',
    ca: bundleIn(valueAt(validation, 'trustedCa'), 'trustedCa'),
    verify: true,
    serverName: expected === host ? null : expected,
  };
}
