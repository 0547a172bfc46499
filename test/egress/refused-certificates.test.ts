// What a client with a refused certificate reads: an alert that its TLS library turns into words,
// in every version and cipher, with anything sent before.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import t from 'tap';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { closed } from '../traffic/closed.ts';
import { startRelay } from './relay.ts';
import { CONCURRENCIES, ask, startZone } from './zone.ts';
import type { Certificate, Zone } from './zone.ts';

/**
 * Keyed by the fault: the certificate, and OpenSSL's text for the alert in TLS 1.3; that of TLS 1.2
 * where it differs.
 */
type Refused = readonly [certificate: (zone: Zone) => Certificate | null, words: string, words12?: string];

const REFUSED: Readonly<Record<string, Refused>> = {
  none: [() => null, 'alert certificate required', 'alert handshake failure'],
  expired: [bad('expired'), 'alert certificate expired'],
  'not valid yet': [bad('not-yet-valid'), 'alert certificate expired'],
  'self-signed': [bad('self-signed'), 'alert unknown ca'],
  'of another CA': [bad('wrong-ca'), 'alert unknown ca'],
  'of another mesh': [({ otherMesh }) => otherMesh.client('frontend'), 'alert unknown ca'],
  'for servers': [bad('server-only'), 'alert unsupported certificate'],
  'a CA': [bad('ca-as-leaf'), 'alert unsupported certificate'],
  'with the id of another mesh': [bad('wrong-mesh'), 'alert certificate unknown'],
  'without an id': [bad('no-spiffe-id'), 'alert certificate unknown'],
  'with a second name in a name': [
    ({ mesh }) => mesh.issue({ uris: ['spiffe://default/frontend', 'http://x/, URI:spiffe://default/admin'] }),
    'alert bad certificate',
  ],
};

const HANDSHAKES: Readonly<Record<string, ConnectionOptions>> = {
  'TLS 1.3, AES-128': { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
  'TLS 1.3, AES-256': { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_256_GCM_SHA384' },
  'TLS 1.3, ChaCha20': { minVersion: 'TLSv1.3', ciphers: 'TLS_CHACHA20_POLY1305_SHA256' },
  'TLS 1.2, AES-128': { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  'TLS 1.2, ChaCha20': { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
};

for (const concurrency of CONCURRENCIES) {
  const sides = `${concurrency} data side${concurrency === 1 ? '' : 's'}`;

  for (const [handshake, options] of Object.entries(HANDSHAKES)) {
    t.test(`${handshake}, ${sides}: each refusal has its word, and an orderly end behind it`, async (t) => {
      await using zone = await startZone(t, { concurrency });
      for (const [what, [certificate, words, words12]] of Object.entries(REFUSED)) {
        // With a request in progress that is longer than the egress has read, and without one.
        for (const payload of [Buffer.alloc(0), Buffer.alloc(100_000)]) {
          const said = await refusal(zone.egress.port, certificate(zone), { options, payload });
          const expected = options.maxVersion === 'TLSv1.2' ? (words12 ?? words) : words;
          t.same(said, { words: expected, end: 'FIN' }, `${what}, ${payload.length} bytes behind the handshake`);
        }
      }
      const client = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'), options);
      t.equal(await ask(client, 'ping'), 'ping', 'a client that is let in notices nothing');
      client.destroy();
    });
  }

  t.test(`${sides}: one that reads its alert and neither ends nor falls silent is closed on`, async (t) => {
    await using zone = await startZone(t, { concurrency });
    const relay = await startRelay(() => zone.egress.port);
    const client = connectTls({ port: relay.port, host: '127.0.0.1', ...STAYS });
    const [error] = (await once(client, 'error')) as [Error];
    t.match(error.message, /alert certificate required/);
    const more = setInterval(() => relay.inject('up', Buffer.alloc(1)), 50);
    await relay.over();
    clearInterval(more);
    client.destroy();
    await relay.close();
  });

  t.test(`${sides}: an alert on its way does not keep an egress from stopping`, async (t) => {
    const clients: TLSSocket[] = [];
    {
      await using zone = await startZone(t, { concurrency });
      for (let i = 0; i < 4; i++) {
        const client = connectTls({ port: zone.egress.port, host: '127.0.0.1', ...STAYS });
        client.on('error', () => {});
        clients.push(client);
      }
      let seen = 0;
      await zone.record(({ reason }) => reason === 'no-client-certificate' && ++seen >= clients.length);
      for (const client of clients) client.destroy();
    }
    await Promise.all(clients.map(closed));
  });
}

const NAME: ConnectionOptions = { servername: 'legacy{mesh=default}', rejectUnauthorized: false };
const STAYS = { ...NAME, allowHalfOpen: true } as ConnectionOptions;

function bad(kind: Parameters<TestMesh['badClient']>[0]): (zone: Zone) => Certificate {
  return ({ mesh }) => mesh.badClient(kind);
}

/** Returns the library's text of the alert, and how TCP ends. */
async function refusal(
  port: number,
  certificate: Certificate | null,
  { options, payload }: { readonly options: ConnectionOptions; readonly payload: Buffer },
): Promise<{ readonly words: string; readonly end: string }> {
  const raw = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  // Node hides the end of TCP from a socket that TLS has taken over.
  const ended = new Promise<string>((resolve) => raw.on('end', () => resolve('FIN')).on('error', () => resolve('RST')));
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => void raw.write(chunk, () => done()),
  });
  raw.on('data', (chunk: Buffer) => wire.push(chunk));
  const client = connectTls({ socket: wire, ...NAME, ...certificate, ...options });
  const over = new Promise<string>((resolve) => {
    // The error comes with the read that brings the alert, or with a write in progress.
    client.on('error', ({ message }: Error) => resolve(/alert [a-z ]+/.exec(message)?.[0] ?? message));
    client.on('end', () => resolve('close_notify'));
  });
  if (payload.length > 0) client.write(payload);
  client.resume();
  const [words, end] = await Promise.all([over, ended]);
  client.destroy();
  raw.destroy();
  return { words, end };
}
