// TLS bytes that are damaged on the way, right after the handshake or later, on either side: both
// connections end at once, and the record has the reason.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { closed } from '../traffic/closed.ts';
import { startRelay } from './relay.ts';
import { CONCURRENCIES, ask, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const VERSIONS = ['TLSv1.3', 'TLSv1.2'] as const;

/** Records that no honest peer sends, with OpenSSL's text for them. */
const DAMAGES = {
  'a record that cannot be decrypted': [
    () => record(23, randomBytes(64)),
    /a record cannot be decrypted \((decryption failed or bad record mac|cipher operation failed)\)/,
  ],
  'a record that is too short to be one': [() => record(23, randomBytes(3)), /too short|cannot be decrypted/],
  'a record longer than TLS allows': [() => record(23, randomBytes(20_000)), /too long|cannot be decrypted/],
  'an alert in plain text': [() => record(21, Buffer.from([2, 80])), /alert|unexpected|bad record|too short|cannot be decrypted/],
  'a type that there is not': [() => record(99, randomBytes(64)), /unexpected|bad record|cannot be decrypted/],
  'what is not TLS': [() => Buffer.from('GET / HTTP/1.1\r\n\r\n'), /./],
} as const;
type Damage = keyof typeof DAMAGES;
const KINDS = Object.keys(DAMAGES) as Damage[];

for (const concurrency of CONCURRENCIES) {
  for (const version of VERSIONS) {
    const title = `${version}, ${concurrency} data side${concurrency === 1 ? '' : 's'}`;

    t.test(`${title}: from a client`, async (t) => {
      await using zone = await startZone(t, { concurrency });
      const relay = await startRelay(() => zone.egress.port);
      for (const [i, kind] of KINDS.entries()) {
        // Ends in plain TCP and in TLS alternately.
        const sni = i % 2 === 0 ? 'legacy{mesh=default}' : 'api{mesh=default}';
        const client = await zone.connect(sni, zone.mesh.client('frontend'), {
          port: relay.port,
          minVersion: version,
          maxVersion: version,
        });
        t.equal(await ask(client, 'ping'), 'ping');
        relay.inject('up', DAMAGES[kind][0]());
        await ended(zone, i + 1);
        await relay.over();
        const last = zone.records.at(-1);
        t.match(last, { reason: 'tls-error', detail: /^TLS with the client: / }, kind);
        t.match(last?.detail, DAMAGES[kind][1], kind);
        client.destroy();
      }
      await relay.close();
    });

    t.test(`${title}: from a client, right behind its handshake`, async (t) => {
      await using zone = await startZone(t, { concurrency });
      const relay = await startRelay(() => zone.egress.port, { behindHandshake: () => record(23, randomBytes(64)) });
      for (const [i, sni] of ['legacy{mesh=default}', 'api{mesh=default}'].entries()) {
        const client = await zone.connect(sni, zone.mesh.client('frontend'), {
          port: relay.port,
          minVersion: version,
          maxVersion: version,
        });
        await ended(zone, i + 1);
        await relay.over();
        t.match(zone.records.at(-1), { reason: 'tls-error', detail: /^TLS with the client: a record cannot be decrypted/ });
        client.destroy();
      }
      await relay.close();
    });

    t.test(`${title}: from a service`, async (t) => {
      const external = await createTestMesh('outside', { keyType: 'ec' });
      const service = await createFakeExternalService({
        tls: { ...external.issue({ uris: [], dns: ['api.outside.test'] }), maxVersion: version },
      });
      const relay = await startRelay(() => service.port);
      await using zone = await startZone(t, { concurrency, resources: () => outside(external.ca.cert, relay.port) });
      for (const [i, kind] of KINDS.entries()) {
        const client = await zone.connect('outside{mesh=default}', zone.mesh.client('frontend'));
        t.equal(await ask(client, 'ping'), 'ping');
        relay.inject('down', DAMAGES[kind][0]());
        client.resume();
        await Promise.all([closed(client), ended(zone, i + 1), relay.over()]);
        const last = zone.records.at(-1);
        t.match(last, { reason: 'tls-error', detail: /^TLS with the endpoint: / }, kind);
        t.match(last?.detail, DAMAGES[kind][1], kind);
      }
      await relay.close();
      await service.close();
    });
  }
}

function record(type: number, body: Buffer): Buffer {
  const header = Buffer.from([type, 3, 3, 0, 0]);
  header.writeUInt16BE(body.length, 3);
  return Buffer.concat([header, body]);
}

async function ended(zone: Zone, records: number): Promise<void> {
  let seen = 0;
  await zone.record(() => ++seen >= records && zone.records.length >= records);
}

function outside(ca: string, port: number): string {
  return `type: ExternalService
mesh: default
name: outside
tags: { kuma.io/service: outside, kuma.io/protocol: tcp }
networking:
  address: 127.0.0.1:${port}
  tls: { enabled: true, serverName: api.outside.test, caCert: { inlineString: ${JSON.stringify(ca)} } }
---
type: TrafficPermission
mesh: default
name: all
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;
}
