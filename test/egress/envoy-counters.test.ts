// The counters that alerts use, in Envoy's form: refused certificates by the failed check, and
// ejections by their detector.
import t from 'tap';
import { get } from 'node:http';
import { once } from 'node:events';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { freePort } from '../free-ports.ts';
import { until } from './until.ts';
import { CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Certificate, Zone } from './zone.ts';

/** Keyed by the end of their names. */
async function stats(zone: Zone): Promise<ReadonlyMap<string, number>> {
  const request = get({ port: zone.egress.adminPort, host: '127.0.0.1', path: '/stats', agent: false });
  const [response] = (await once(request, 'response')) as [AsyncIterable<Buffer>];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return new Map(
    body.split('\n').flatMap((line) => {
      const [, name, value] = /^(.+): (\d+)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, Number(value)] as const];
    }),
  );
}

function valueOf(all: ReadonlyMap<string, number>, pattern: RegExp): number | undefined {
  const found = [...all].filter(([name]) => pattern.test(name));
  return found.length === 1 ? found[0]?.[1] : undefined;
}

async function session(zone: Zone, sni: string, client: Certificate): Promise<void> {
  const before = zone.records.length;
  await zone.connect(sni, client).then(gone, () => undefined);
  await until('the record', () => zone.records.length > before);
}

for (const concurrency of CONCURRENCIES) {
  t.test(`on ${concurrency} data sides a refused client counts by the check of Envoy that it fails`, async (t) => {
    await using zone = await startZone(t, { concurrency });
    const bad = (kind: Parameters<typeof zone.mesh.badClient>[0]): Certificate => zone.mesh.badClient(kind);
    const cases: readonly (readonly [string, Certificate, 'error' | 'san' | 'no_cert'])[] = [
      ['of another mesh', zone.otherMesh.client('frontend'), 'error'],
      ['of another authority with our name', bad('wrong-ca'), 'error'],
      ['expired', bad('expired'), 'error'],
      ['not yet valid', bad('not-yet-valid'), 'error'],
      ['for servers only', bad('server-only'), 'error'],
      ['of our authority with the name of another mesh', bad('wrong-mesh'), 'san'],
      ['without a SPIFFE id', bad('no-spiffe-id'), 'san'],
      ['with DNS names only', zone.mesh.issue({ uris: [], dns: ['frontend.test'] }), 'san'],
      ['with a prefix of the mesh', zone.mesh.issue({ uris: ['spiffe://default-2/frontend'] }), 'san'],
      ['none', {} as Certificate, 'no_cert'],
    ];
    const wanted = { error: 0, san: 0, no_cert: 0 };
    for (const [name, certificate, check] of cases) {
      await session(zone, 'legacy{mesh=default}', certificate);
      wanted[check]++;
      const all = await stats(zone);
      const of = (which: string): number | undefined => valueOf(all, new RegExp(`^listener\\..*ssl\\.fail_verify_${which}$`));
      t.same({ error: of('error'), san: of('san'), no_cert: of('no_cert') }, wanted, name);
    }
    t.equal(valueOf(await stats(zone), /^listener\..*\.ssl\.connection_error$/), 0);
  });

  t.test(
    `on ${concurrency} data sides a refused service counts by the check that it fails, and TLS that fails otherwise by itself`,
    async (t) => {
      await using untrusted = await createFakeExternalService({
        tls: (await createTestMesh('nobody')).issue({ uris: [], dns: ['api.partner.test'] }),
      });
      await using zone = await startZone(t, { concurrency });
      const to = (name: string, port: number, serverName: string): string => `---
type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name} }
networking:
  address: 127.0.0.1:${port}
  tls: { enabled: true, serverName: ${serverName}, caCert: { inlineString: ${JSON.stringify(zone.external.ca.cert)} } }
`;
      zone.write(
        'more.yaml',
        [
          `type: TrafficPermission
mesh: default
name: all
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`,
          to('untrusted', untrusted.port, 'api.partner.test'),
          to('misnamed', zone.ports.tls, 'other.partner.test'),
          to('plain', zone.ports.tcp, 'api.partner.test'),
        ].join(''),
      );
      t.equal((await zone.egress.reload()).kind, 'live');
      for (const name of ['untrusted', 'misnamed', 'plain'])
        await session(zone, `${name}{mesh=default}`, zone.mesh.client('frontend'));
      const all = await stats(zone);
      const of = (name: string): readonly (number | undefined)[] =>
        ['fail_verify_error', 'fail_verify_san', 'connection_error'].map((which) =>
          valueOf(all, new RegExp(`^cluster\\.default_${name}\\.ssl\\.${which}$`)),
        );
      t.same(
        { untrusted: of('untrusted'), misnamed: of('misnamed'), plain: of('plain') },
        { untrusted: [1, 0, 0], misnamed: [0, 1, 0], plain: [0, 0, 1] },
      );
    },
  );

  t.test(`on ${concurrency} data sides an ejection is counted for its cluster by its detector`, async (t) => {
    const dead = await freePort();
    const sni = encodeHashSni({ kind: 'mes', name: 'ledger', mesh: 'other', port: 9_000 });
    await using zone = await startZone(t, {
      concurrency,
      resources: ({ tcp }) => `type: MeshExternalService
mesh: other
name: ledger
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: ${tcp} }, { address: 127.0.0.1, port: ${dead} }]
---
type: MeshCircuitBreaker
mesh: other
name: breaker
spec:
  targetRef: { kind: Mesh }
  to:
  - targetRef: { kind: MeshExternalService, name: ledger }
    default: { outlierDetection: { interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 50, detectors: { totalFailures: { consecutive: 2 } } } }
`,
    });
    const of = async (which: string): Promise<number | undefined> =>
      valueOf(await stats(zone), new RegExp(`^cluster\\.other_ledger.*\\.outlier_detection\\.ejections_${which}$`));
    t.equal(await of('detected_consecutive_5xx'), 0);
    await until('the ejection', async () => {
      const socket = await zone.connect(sni, zone.otherMesh.client('anybody'));
      socket.end('x');
      await gone(socket);
      return (await of('active')) === 1;
    });
    t.same(
      [
        await of('detected_consecutive_5xx'),
        await of('enforced_consecutive_5xx'),
        await of('enforced_total'),
        await of('overflow'),
      ],
      [1, 1, 1, 0],
    );
  });
}
