// A zone in one file of resources, compiled, for tests of explain.
import { explain } from '../../src/explain/explain.ts';
import type { ConnectionFacts } from '../../src/explain/facts.ts';
import { assumedView } from '../../src/explain/assumed-view.ts';
import type { Sources, Trace } from '../../src/explain/trace.ts';
import type { ClientClaims } from '../../src/model/client.ts';
import type { Compiled } from '../../src/model/compiled.ts';
import { meshName, spiffeId } from '../../src/model/names.ts';
import { compile } from '../../src/resources/compile.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';

export type Good = Extract<Compiled, { kind: 'compiled' }>;

const { ca } = await createTestMesh('default', { keyType: 'ec' });
const given = `mtls: { enabledBackend: ca, backends: [{ name: ca, type: provided, conf: { cert: { inlineString: ${JSON.stringify(ca.cert)} }, key: { inlineString: ${JSON.stringify(ca.key)} } } }] }`;

export const ZONE: string = `type: ZoneEgress
name: egress
zone: east
networking: { port: 10002 }
---
type: Mesh
name: default
${given}
routing: { zoneEgress: true }
---
type: Mesh
name: payments
${given}
---
type: Mesh
name: legacy
---
type: ZoneIngress
name: west
zone: west
networking: { port: 10001, advertisedAddress: 10.0.1.1, advertisedPort: 10001 }
availableServices:
- { mesh: default, instances: 2, tags: { kuma.io/service: backend, version: v1 } }
- { mesh: payments, instances: 1, tags: { kuma.io/service: ledger } }
- { mesh: legacy, instances: 1, tags: { kuma.io/service: archive } }
---
type: ZoneIngress
name: east
zone: east
networking: { port: 10001, advertisedAddress: 10.0.2.1, advertisedPort: 10001 }
availableServices:
- { mesh: default, instances: 1, tags: { kuma.io/service: shop } }
---
type: ExternalService
mesh: default
name: api
tags: { kuma.io/service: api, kuma.io/protocol: tcp }
networking: { address: api.partner.test:443, tls: { enabled: true } }
---
type: ExternalService
mesh: default
name: reports
tags: { kuma.io/service: reports }
networking: { address: 10.9.0.1:8080 }
---
type: ExternalService
mesh: payments
name: card
tags: { kuma.io/service: card }
networking: { address: 10.9.0.2:8080 }
---
type: TrafficPermission
mesh: default
name: frontend-out
sources: [{ match: { kuma.io/service: frontend } }, { match: { kuma.io/service: checkout, version: v2 } }]
destinations: [{ match: { kuma.io/service: api } }]
---
type: TrafficPermission
mesh: payments
name: tills
sources: [{ match: { kuma.io/service: till } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;

export function compiled(yaml: string = ZONE): Good {
  const outcome = compile([{ path: 'zone.yaml', text: yaml }], {});
  if (outcome.kind === 'invalid') throw new Error(JSON.stringify(outcome.problems, null, 2));
  return outcome;
}

export function sourcesOf({ origins, absent = new Map() }: Good): Sources {
  return { origins, absent };
}

export function claims(...uris: readonly string[]): ClientClaims {
  const ids = uris.filter((uri) => uri.startsWith('spiffe://'));
  const mesh = meshName(ids[0]?.split('/')[2] ?? '');
  return { mesh, spiffeIds: ids.map(spiffeId), uris, issuer: '', expiry: '' };
}

export function facts(serverName: string | null, ...uris: readonly string[]): ConnectionFacts {
  const client = uris.length === 0 ? ({ kind: 'none' } as const) : ({ kind: 'claims', claims: claims(...uris) } as const);
  return { serverName, alpn: [], tlsVersion: '', clientAddress: '', client, record: null };
}

const usual = compiled();

/** Asks as `zone-egress explain --resources` does. */
export function ask(serverName: string | null, ...uris: readonly string[]): Trace {
  return explain(usual.snapshot, facts(serverName, ...uris), assumedView, sourcesOf(usual));
}
