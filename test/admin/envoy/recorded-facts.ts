/**
 * Makes an egress with the state of a recorded one, so that its answers can be compared with those
 * of Envoy.
 */
import { readFileSync } from 'node:fs';
import type { EnvoyFacts } from '../../../src/admin/envoy/facts.ts';
import { EMPTY_SNAPSHOT } from '../../../src/model/snapshot.ts';
import type { MeshCredentials } from '../../../src/model/credentials.ts';
import { TrafficCounters } from '../../../src/observe/traffic-counters.ts';
import { dialable } from '../../../src/routing/candidates.ts';
import type { AdsStatus } from '../../../src/xds/stream/ads-client.ts';
import type { AdsState } from '../../../src/xds/messages/ads-state.ts';
import { parseBootstrap } from '../../../src/xds/bootstrap/bootstrap.ts';
import { createTranslator } from '../../../src/xds/translate/translate.ts';
import type { TypeStatus } from '../../../src/xds/stream/subscriptions.ts';
import { recordedState } from '../../xds/recorded-state.ts';
import { LIVE } from '../../data.ts';

export const NOW: number = Date.UTC(2026, 10, 23, 8, 50, 30);

export function recordedText(path: string): string {
  return readFileSync(new URL(path, LIVE), 'utf8');
}

export function recordedBytes(path: string): Buffer {
  return readFileSync(new URL(path, LIVE));
}

/** Makes facts without a control plane, and with nothing to serve. */
export function emptyFacts(changes: Partial<EnvoyFacts> = {}): EnvoyFacts {
  return {
    now: () => NOW,
    startedAt: NOW - 427_000,
    uptimeMs: () => 427_000,
    version: '0.1.0',
    workers: 2,
    logLevel: () => 'info',
    ready: () => ({ ok: true, text: 'LIVE' }),
    snapshot: () => EMPTY_SNAPSHOT,
    listeners: () => [],
    traffic: new TrafficCounters(),
    sessions: () => 0,
    use: () => ({ connections: 0, pending: 0, requests: 0 }),
    servesHttp: true,
    targets: () => [],
    health: () => 'healthy',
    credentials: () => [],
    memory: () => ({ resident: 3e7, heapTotal: 2e7, heapUsed: 1e7 }),
    control: () => null,
    metrics: () =>
      Promise.resolve({ format: 'prometheus', text: '# TYPE zone_egress_faults_total counter\nzone_egress_faults_total 0\n' }),
    ...changes,
  };
}

/** Makes the state of the recorded egress after its first fetch. */
export function recordedFacts(changes: Partial<EnvoyFacts> = {}): EnvoyFacts {
  recorded ??= readFacts();
  return { ...recorded, traffic: new TrafficCounters(), ...changes };
}

let recorded: EnvoyFacts | null = null;

function readFacts(): EnvoyFacts {
  const state = recordedState(new URL('ads/sotw/', LIVE), 12);
  const { snapshot, secrets } = createTranslator()(state, { name: 'egress-1', zone: 'zone-1', adminPort: 9901 });
  const response = recordedText('bootstrap/kuma-dp.response.http');
  const parsed = parseBootstrap(response.slice(response.indexOf('{')), '0.1.0');
  if (parsed.kind === 'refused') throw new Error(parsed.why);
  const names = { names: new Map([['localhost', { kind: 'resolved', addresses: ['127.0.0.1'] } as const]]), ownListeners: [] };
  const where = { ...names, localAddresses: new Set<string>(), allowedResolved: ['127.0.0.0/8'] };
  const credentials = [...snapshot.meshes.values()].map(({ name, trust, identity }): MeshCredentials => {
    if (identity.kind !== 'given') throw new Error(`mesh ${name} has no given identity`);
    const [cert = '', key = ''] = [secrets.get(identity.cert), secrets.get(identity.key)];
    return {
      mesh: name,
      trust: secrets.get(trust) ?? '',
      generation: trust,
      cert,
      key,
      notBefore: NOW,
      notAfter: NOW + 3_600_000,
    };
  });
  return emptyFacts({
    snapshot: () => snapshot,
    listeners: () => [
      { name: 'inbound:127.0.0.2:10002', address: '127.0.0.2', port: 10002 },
      { name: 'kuma:envoy:admin', address: '127.0.0.2', port: 9901 },
    ],
    targets: (cluster) => dialable(cluster, where),
    credentials: () => credentials,
    control: () => ({ bootstrap: parsed.bootstrap, state, status: statusOf(state) }),
  });
}

function statusOf({ versions }: AdsState): AdsStatus {
  const type = (version: string): TypeStatus => ({
    version,
    nonce: '1',
    accepted: 1,
    rejected: 0,
    refusedInRow: 0,
    lastRefusal: null,
  });
  return {
    phase: 'live',
    connectedSince: NOW - 400_000,
    lastResponseAt: NOW - 400_000,
    streams: 1,
    warming: false,
    lastError: null,
    types: {
      cluster: type(versions.cluster),
      endpoint: type(versions.endpoint),
      listener: type(versions.listener),
      secret: type(versions.secret),
    },
  };
}
