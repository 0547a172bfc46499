import type { Cluster } from '../../model/cluster.ts';
import type { ClientTimeouts, HttpRoute, HttpTimeouts } from '../../model/http-route.ts';
import { HTTP_TIMEOUT_DEFAULTS } from '../../model/http-route.ts';
import { CONNECT_TIMEOUT_MS } from '../context.ts';
import type { MeshExternalService } from '../kinds/mesh-external-service.ts';
import type { MeshTimeout, TimeoutConf } from '../kinds/mesh-timeout.ts';
import type { MeshDefinition } from '../kinds/mesh.ts';
import { isMade, ofWholeMesh } from './default-policy.ts';
import { clientRule } from './scoped-rules.ts';
import type { ClientRuled } from './scoped-rules.ts';

/** Kuma's own defaults, for what a policy leaves out. */
const DEFAULTS = { idleMs: 3_600_000, requestMs: 15_000, streamIdleMs: 1_800_000 } as const;

/**
 * Makes the fields that the `to` items of a MeshTimeout set in the cluster of a Dataplane's
 * MeshExternalService. Kuma sets them without any policy too. The timeouts of `rules` do not reach
 * the cluster, whatever they say.
 */
export function clusterTimeouts(conf: TimeoutConf | null, protocol: MeshExternalService['protocol']): Partial<Cluster> {
  const { connectionTimeoutMs = CONNECT_TIMEOUT_MS, idleTimeoutMs: idleMs = DEFAULTS.idleMs, http = {} } = conf ?? {};
  const connect = { connectTimeoutMs: connectionTimeoutMs };
  if (protocol !== 'http' && protocol !== 'http2') return connect;
  const { maxStreamDurationMs: maxStreamMs = 0, maxConnectionDurationMs: maxConnectionMs = 0 } = http;
  return {
    ...connect,
    httpPool: { idleMs, ...(maxConnectionMs === 0 ? {} : { maxConnectionMs }), ...(maxStreamMs === 0 ? {} : { maxStreamMs }) },
  };
}

/** The parts of `rules` that Kuma puts on a chain one after the other. */
export interface TimeoutLayers {
  readonly everywhere: TimeoutConf | null;
  /** The rules about the server name; they replace the former, defaults included. */
  readonly ofName: TimeoutConf | null;
}

/** The idle timeout of a session whose bytes pass; undefined without any policy. */
export function sessionIdleMs({ everywhere, ofName }: TimeoutLayers): number | undefined {
  const conf = ofName ?? everywhere;
  return conf === null ? undefined : (conf.idleTimeoutMs ?? DEFAULTS.idleMs);
}

/** The timeouts of requests. Values that equal those without a policy are left out. */
export function requestTimeouts({ everywhere, ofName }: TimeoutLayers): Pick<HttpRoute, 'timeouts'> {
  const conf = ofName ?? everywhere;
  if (conf === null) return {};
  const { requestTimeoutMs: requestMs = DEFAULTS.requestMs, requestHeadersTimeoutMs: headersMs = 0 } = conf.http ?? {};
  const streamIdleMs = ofName?.http?.streamIdleTimeoutMs ?? everywhere?.http?.streamIdleTimeoutMs ?? DEFAULTS.streamIdleMs;
  const timeouts: HttpTimeouts = {
    ...(requestMs === 0 ? {} : { requestMs }),
    ...(streamIdleMs === HTTP_TIMEOUT_DEFAULTS.streamIdleMs ? {} : { streamIdleMs }),
    // Kuma leaves the end of quiet connections to the clusters.
    idleMs: 0,
    ...(headersMs === 0 ? {} : { headersMs }),
  };
  return { timeouts };
}

/** The timeouts of requests of certain clients, the first of which counts. */
export function timeoutsForClients(rules: readonly ClientRuled<TimeoutConf>[]): Pick<HttpRoute, 'clientTimeouts'> {
  const clientTimeouts = rules.map(({ client, ruled: { conf } }): ClientTimeouts => {
    const { requestTimeoutMs: requestMs, streamIdleTimeoutMs: streamIdleMs } = conf.http ?? {};
    return {
      clients: [clientRule(client)],
      ...(requestMs === undefined ? {} : { requestMs }),
      ...(streamIdleMs === undefined ? {} : { streamIdleMs }),
    };
  });
  return clientTimeouts.length === 0 ? {} : { clientTimeouts };
}

export function saysForClients({ http }: TimeoutConf): boolean {
  return http?.requestTimeoutMs !== undefined || http?.streamIdleTimeoutMs !== undefined;
}

/**
 * The policy that Kuma creates with every mesh, for a mesh that does not skip it and whose
 * resources lack it: twice the time that the side of the client has, or none.
 */
export function defaultTimeout(mesh: MeshDefinition, present: readonly MeshTimeout[]): MeshTimeout | null {
  const made = isMade('MeshTimeout', `mesh-timeout-all-${mesh.meta.name}`, mesh, present);
  if (made === null) return null;
  const targetRef = ofWholeMesh(mesh.meta);
  return {
    kind: 'MeshTimeout',
    meta: made,
    targetRef: { ...targetRef, includesGateways: false },
    to: [
      {
        targetRef,
        conf: {
          connectionTimeoutMs: CONNECT_TIMEOUT_MS,
          idleTimeoutMs: DEFAULTS.idleMs,
          http: { requestTimeoutMs: DEFAULTS.requestMs, streamIdleTimeoutMs: DEFAULTS.streamIdleMs },
        },
      },
    ],
    from: [
      {
        targetRef,
        conf: {
          connectionTimeoutMs: 2 * CONNECT_TIMEOUT_MS,
          idleTimeoutMs: 2 * DEFAULTS.idleMs,
          http: { requestTimeoutMs: 0, streamIdleTimeoutMs: 2 * DEFAULTS.streamIdleMs, maxStreamDurationMs: 0 },
        },
      },
    ],
    rules: [],
    isShadow: false,
  };
}
