// Health checks, outlier detection, breakers and rate limits, from an operator's policies to what a
// client sees.
import t from 'tap';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { freePort } from '../free-ports.ts';
import { until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Zone, ZoneOptions } from './zone.ts';

const SNI = encodeHashSni({ kind: 'mes', name: 'ledger', mesh: 'other', port: 9_000 });

function ledger(ports: readonly number[], ...policies: readonly string[]): string {
  const endpoints = ports.map((port) => `{ address: 127.0.0.1, port: ${port} }`).join(', ');
  return [
    `type: MeshExternalService
mesh: other
name: ledger
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [${endpoints}]
`,
    ...policies,
  ].join('---\n');
}

function about(type: string, conf: string): string {
  return `type: ${type}
mesh: other
name: ledger-${type.toLowerCase()}
spec: { targetRef: { kind: Mesh }, to: [{ targetRef: { kind: MeshExternalService, name: ledger }, default: ${conf} }] }
`;
}

/** Makes one whole session; returns its endpoint and the number of attempts. */
async function session(zone: Zone, sni = SNI, client = zone.otherMesh.client('anybody')) {
  const seen = zone.records.length;
  const socket = await zone.connect(sni, client);
  await ask(socket, 'ping');
  socket.end();
  await gone(socket);
  return zone.record((record) => zone.records.indexOf(record) >= seen);
}

async function hasMetric(zone: Zone, line: string): Promise<boolean> {
  return (await zone.egress.metrics()).split('\n').includes(line);
}

const port = (record: { readonly endpoint: string }): number => Number(record.endpoint.split(':')[1]);

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    const start = (resources: NonNullable<ZoneOptions['resources']>) => startZone(t, { concurrency, resources });

    t.test('an endpoint that a check finds bad takes no traffic, and comes back when the check finds it good', async (t) => {
      let other = await createFakeExternalService({ port: await freePort() });
      const check = about(
        'MeshHealthCheck',
        '{ interval: 50ms, noTrafficInterval: 50ms, timeout: 60s, unhealthyThreshold: 1, healthyThreshold: 1, tcp: {} }',
      );
      {
        await using zone = await start(({ tcp }) => ledger([tcp, other.port], check));
        t.same(zone.egress.problems(), [], 'nothing is said not to be supported');
        await until('two healthy endpoints', () => hasMetric(zone, 'zone_egress_endpoints{health="healthy"} 2'));
        await other.close();
        await until('one to be unhealthy', () => hasMetric(zone, 'zone_egress_endpoints{health="unhealthy"} 1'));
        const ports = new Set<number>();
        for (let i = 0; i < 6; i++) {
          const record = await session(zone);
          t.equal(record.attempts, 1);
          ports.add(port(record));
        }
        t.same([...ports], [zone.ports.tcp]);
        other = await createFakeExternalService({ port: other.port });
        await until('both to be healthy', () => hasMetric(zone, 'zone_egress_endpoints{health="healthy"} 2'));
        for (let i = 0; i < 6; i++) ports.add(port(await session(zone)));
        t.same([...ports].sort(), [zone.ports.tcp, other.port].sort());
      }
      await other.close();
    });

    t.test('an endpoint that sessions fail on is ejected, and is tried again when the ejection is over', async (t) => {
      const dead = await freePort();
      const breaker = about(
        'MeshCircuitBreaker',
        '{ outlierDetection: { interval: 100ms, baseEjectionTime: 8s, maxEjectionPercent: 50, detectors: { totalFailures: { consecutive: 2 } } } }',
      );
      await using zone = await start(({ tcp }) => ledger([tcp, dead], breaker));
      while (!(await hasMetric(zone, 'zone_egress_endpoints{health="ejected"} 1'))) await session(zone);
      const failed = zone.records.filter(({ attempts }) => attempts === 2).length;
      t.ok(failed >= 2, `${failed} sessions were carried by the second attempt`);
      t.ok(await hasMetric(zone, 'zone_egress_ejections_total{detector="consecutive_5xx",result="ejected"} 1'));
      for (let i = 0; i < 6; i++) {
        const { attempts } = await session(zone);
        // On a slow machine the ejection may be over before the last of these.
        if (await hasMetric(zone, 'zone_egress_endpoints{health="healthy"} 2')) break;
        t.equal(attempts, 1, 'the dead endpoint is not tried');
      }
      await until('the ejection to be over', () => hasMetric(zone, 'zone_egress_endpoints{health="healthy"} 2'));
      let attempts = 0;
      while (attempts < 2) attempts = (await session(zone)).attempts;
    });

    t.test('a breaker holds for all data sides together: a place that is left can be taken again', async (t) => {
      await using zone = await start(({ tcp }) =>
        ledger([tcp], about('MeshCircuitBreaker', '{ connectionLimits: { maxConnections: 2 } }')),
      );
      const client = zone.otherMesh.client('anybody');
      const [first, second] = [await zone.connect(SNI, client), await zone.connect(SNI, client)];
      t.same([await ask(first, 'one'), await ask(second, 'two')], ['one', 'two']);
      for (let i = 0; i < 4; i++) await gone(await zone.connect(SNI, client));
      const refused = () => zone.records.filter(({ reason }) => reason === 'over-limit');
      await until('four to be refused', () => refused().length === 4);
      t.match(refused()[0], {
        limit: 'max-connections',
        detail: /^other_ledger_.* has 2 connections open \(maxConnections 2\)$/,
        attempts: 0,
      });
      t.ok(await hasMetric(zone, 'zone_egress_limit_refusals_total{limit="max-connections"} 4'));
      first.destroy();
      await zone.record(({ reason }) => reason !== 'over-limit');
      const next = await zone.connect(SNI, client);
      t.equal(await ask(next, 'three'), 'three');
      t.equal(await ask(second, 'two'), 'two', 'the session that stayed was not touched');
    });

    t.test('a rate limit refuses new connections before their handshake, and lets them in again as time passes', async (t) => {
      const legacy = 'legacy{mesh=default}';
      await using zone = await start(
        ({ tcp }) => `type: ExternalService
mesh: default
name: legacy
tags: { kuma.io/service: legacy, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${tcp}' }
---
type: TrafficPermission
mesh: default
name: all
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
---
type: MeshRateLimit
mesh: default
name: slow
spec:
  targetRef: { kind: MeshService, name: legacy }
  from: [{ targetRef: { kind: Mesh }, default: { local: { tcp: { connectionRate: { num: 2, interval: 15s } } } } }]
`,
      );
      const client = zone.mesh.client('frontend');
      for (let i = 0; i < 2; i++) t.equal((await session(zone, legacy, client)).reason, 'closed');
      await t.rejects(session(zone, legacy, client), 'the third within 15 s');
      t.match(await zone.record(({ reason }) => reason === 'over-limit'), {
        limit: 'rate',
        detail: 'legacy had its 2 new connections in 15000 ms (rate limit)',
        handshakeMs: -1,
        attempts: 0,
      });
      await until('a third connection to be let in', () =>
        session(zone, legacy, client).then(
          () => true,
          () => false,
        ),
      );
    });
  });
}

t.test('a balancer that hashes keeps a client on one endpoint', async (t) => {
  await using a = await createFakeExternalService();
  await using b = await createFakeExternalService();
  await using c = await createFakeExternalService();
  const strategy = `type: MeshLoadBalancingStrategy
mesh: other
name: sticky
spec: { targetRef: { kind: Mesh }, to: [{ targetRef: { kind: Mesh }, default: { loadBalancer: { type: Maglev } } }] }
`;
  await using zone = await startZone(t, { resources: ({ tcp }) => ledger([tcp, a.port, b.port, c.port], strategy) });
  const made = [...zone.egress.snapshot().clusters.values()].find(({ name }) => name.includes('ledger'));
  t.equal(made?.balancer?.kind, 'maglev');
  const ports = new Set<number>();
  for (let i = 0; i < 12; i++) ports.add(port(await session(zone)));
  t.equal(ports.size, 1);
});
