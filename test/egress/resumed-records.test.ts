// Sessions are resumed in a whole egress: by every worker, for services that speak TCP and HTTP, and
// with a record, a log line and counters that say so.
import { once } from 'node:events';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Ports } from './zone.ts';

const OFFERS = 8;

const services = ({ tcp }: Ports): string => `type: ExternalService
mesh: default
name: web
tags: { kuma.io/service: web, kuma.io/protocol: http }
networking: { address: '127.0.0.1:${tcp}' }
---
type: ExternalService
mesh: default
name: raw
tags: { kuma.io/service: raw, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${tcp}' }
---
type: TrafficPermission
mesh: default
name: frontend-out
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: web } }, { match: { kuma.io/service: raw } }]
`;

async function ended(socket: TLSSocket): Promise<void> {
  socket.end();
  await gone(socket);
}

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} workers, every worker resumes what any has issued`, async (t) => {
    const lines: string[] = [];
    await using zone = await startZone(t, {
      concurrency,
      resources: services,
      tcp: { behaviour: 'http' },
      logLevel: 'info',
      logDestination: { write: (line) => void lines.push(line) },
    });
    const client = zone.mesh.client('frontend');
    const request = 'GET /x HTTP/1.1\r\nhost: web\r\n\r\n';
    let total = 0;
    for (const service of ['raw', 'web']) {
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const options = { minVersion: version, maxVersion: version };
        const sni = `${service}{mesh=default}`;
        const first = await zone.connect(sni, client, options);
        // It may come before the answer or after it.
        let session: Buffer | undefined = first.getSession();
        first.on('session', (given: Buffer) => (session = given));
        t.match(await ask(first, request), /^HTTP\/1.1 200/);
        await ended(first);
        for (let i = 0; i < OFFERS; i++) {
          const socket = await zone.connect(sni, client, { ...options, session });
          t.ok(socket.isSessionReused(), `${service}, ${version}, ${i}`);
          t.match(await ask(socket, request), /^HTTP\/1.1 200/);
          await ended(socket);
        }
        total += 1 + OFFERS;
        await until('each session is recorded', () => zone.records.length === total);
        const records = zone.records.slice(-1 - OFFERS);
        t.equal(records.filter(({ resumed }) => resumed === true).length, OFFERS, 'their records say so');
        t.same(new Set(records.map(({ reason, tlsVersion }) => `${reason} ${tlsVersion}`)), new Set([`closed ${version}`]));
      }
    }
    t.match(await zone.egress.metrics(), `zone_egress_resumed_total{mesh="default"} ${4 * OFFERS}\n`);
    await until('their log lines say so', () => lines.filter((line) => line.includes('"resumed":true')).length === 4 * OFFERS);

    const stats = get({ port: zone.egress.adminPort, host: '127.0.0.1', path: '/stats', agent: false });
    const [page] = (await once(stats, 'response')) as [IncomingMessage];
    t.match(await text(page), new RegExp(`^listener\\..*ssl\\.session_reused: ${4 * OFFERS}$`, 'm'));
  });
}
