import type { ParsedOptions, OptionTable } from './options.ts';

const text = { kind: 'text', help: '' } as const;
const list = { kind: 'list', help: '' } as const;
const flag = { kind: 'flag', help: '' } as const;
const count = { kind: 'count', help: '' } as const;
const duration = { kind: 'duration', help: '' } as const;
const variable = { variableOnly: true } as const;

/**
 * Flags and variables of `kuma-dp run` that have no effect on this egress: accepted, and logged
 * once at debug.
 */
export const IGNORED_OPTIONS: OptionTable = {
  mesh: { ...text, env: ['KUMA_DATAPLANE_MESH'] },
  'binary-path': { ...text, env: ['KUMA_DATAPLANE_RUNTIME_BINARY_PATH'] },
  'envoy-log-level': { ...text, env: ['KUMA_DATAPLANE_RUNTIME_ENVOY_LOG_LEVEL'] },
  'envoy-component-log-level': { ...text, env: ['KUMA_DATAPLANE_RUNTIME_ENVOY_COMPONENT_LOG_LEVEL'] },
  'metrics-cert-path': { ...text, env: ['KUMA_DATAPLANE_RUNTIME_METRICS_CERT_PATH'] },
  'metrics-key-path': { ...text, env: ['KUMA_DATAPLANE_RUNTIME_METRICS_KEY_PATH'] },
  'bind-outbounds': { ...flag, env: ['KUMA_DATAPLANE_RUNTIME_BIND_OUTBOUNDS'] },
  'dns-enabled': { ...flag, env: ['KUMA_DNS_ENABLED'] },
  'dns-envoy-port': { ...count, env: ['KUMA_DNS_ENVOY_DNS_PORT'] },
  'dns-proxy-port': { ...count, env: ['KUMA_DNS_PROXY_PORT'] },
  'dns-coredns-port': { ...count, env: ['KUMA_DNS_CORE_DNS_PORT'] },
  'dns-coredns-empty-port': { ...count, env: ['KUMA_DNS_CORE_DNS_EMPTY_PORT'] },
  'dns-coredns-path': { ...text, env: ['KUMA_DNS_CORE_DNS_BINARY_PATH'] },
  'dns-coredns-config-template-path': { ...text, env: ['KUMA_DNS_CORE_DNS_CONFIG_TEMPLATE_PATH'] },
  'dns-server-config-dir': { ...text, env: ['KUMA_DNS_CONFIG_DIR'] },
  'dns-prometheus-port': { ...count, env: ['KUMA_DNS_PROMETHEUS_PORT'] },
  'dns-enable-logging': { ...flag, env: ['KUMA_DNS_ENABLE_LOGGING'] },
  'transparent-proxy': flag,
  'transparent-proxy-config': list,
  'bootstrap-version': text,
  'log-output-path': text,
  'log-max-retained-files': count,
  'log-max-size': count,
  'log-max-age': count,
  'resilient-component-base-backoff': {
    ...duration,
    ...variable,
    env: ['KUMA_DATAPLANE_RESILIENT_COMPONENT_BASE_BACKOFF'],
  },
  'resilient-component-max-backoff': { ...duration, ...variable, env: ['KUMA_DATAPLANE_RESILIENT_COMPONENT_MAX_BACKOFF'] },
  'dynamic-configuration-refresh-interval': {
    ...duration,
    ...variable,
    env: ['KUMA_DATAPLANE_RUNTIME_DYNAMIC_CONFIGURATION_REFRESH_INTERVAL'],
  },
  'unified-naming': { ...flag, ...variable, env: ['KUMA_DATAPLANE_RUNTIME_UNIFIED_RESOURCE_NAMING_ENABLED'] },
  'strict-inbound-ports': { ...flag, ...variable, env: ['KUMA_DATAPLANE_RUNTIME_STRICT_INBOUND_PORTS_ENABLED'] },
  'otel-pipe': { ...flag, ...variable, env: ['KUMA_DATAPLANE_RUNTIME_OTEL_PIPE_ENABLED'] },
  'reuse-port': { ...flag, ...variable, env: ['KUMA_DATAPLANE_RUNTIME_REUSE_PORT_ENABLED'] },
  'spire-supported': { ...flag, ...variable, env: ['KUMA_DATAPLANE_RUNTIME_SPIRE_SUPPORTED'] },
  'spire-socket-path': { ...text, ...variable, env: ['KUMA_DATAPLANE_RUNTIME_SPIRE_SOCKET_PATH'] },
  'application-probe-proxy-port': { ...count, ...variable, env: ['KUMA_APPLICATION_PROBE_PROXY_PORT'] },
};

/** Returns the given flags and variables, except those in `used`, which have an effect. */
export function ignoredIn(given: ParsedOptions, used: readonly string[] = []): readonly string[] {
  return Object.keys(IGNORED_OPTIONS)
    .filter((name) => !used.includes(name))
    .flatMap((name) => given.source(name) ?? []);
}
