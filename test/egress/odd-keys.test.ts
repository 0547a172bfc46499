/**
 * Services, and a control plane, whose certificates have keys of every kind: none of them reaches a
 * call of Node that could end the process.
 */
import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket, createServer } from 'node:tls';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { connectTls, hostProblem } from '../../src/base/connect-tls.ts';
import { issueCertificate, selfSigned } from '../../src/identity/issue.ts';
import { echo } from '../../src/testing/egress/fake-external-service.ts';
import { BootstrapError } from '../../src/xds/bootstrap/bootstrap-problem.ts';
import { fetchBootstrap } from '../../src/xds/bootstrap/fetch-bootstrap.ts';
import { stateOfTheWorld } from '../../src/xds/stream/state-of-the-world.ts';
import { openStream } from '../../src/xds/stream/transport.ts';
import { startControlPlane } from '../xds/control-plane.ts';
import { gone, startZone } from './zone.ts';

const HOST = 'api.partner.test';
const DAY_MS = 24 * 3_600_000;
const dates = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS };

/**
 * Node's object form of a certificate ends the process; each call of it, by any code, is counted
 * here.
 */
let objects = 0;
TLSSocket.prototype.getPeerCertificate = function (): never {
  objects++;
  return {} as never;
};

const KEYS: Readonly<Record<string, () => KeyObject>> = {
  secp256k1: () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey,
  brainpoolP256r1: () => generateKeyPairSync('ec', { namedCurve: 'brainpoolP256r1' }).privateKey,
  brainpoolP384t1: () => generateKeyPairSync('ec', { namedCurve: 'brainpoolP384t1' }).privateKey,
  'wap-wsg-idm-ecid-wtls12': () => generateKeyPairSync('ec', { namedCurve: 'wap-wsg-idm-ecid-wtls12' }).privateKey,
  sect283k1: () => generateKeyPairSync('ec', { namedCurve: 'sect283k1' }).privateKey,
  'P-256 with its parameters written out': () =>
    generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).privateKey,
  'secp256k1 with its parameters written out': () =>
    generateKeyPairSync('ec', { namedCurve: 'secp256k1', paramEncoding: 'explicit' }).privateKey,
  'P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  'P-521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey,
  ed25519: () => generateKeyPairSync('ed25519').privateKey,
  'RSA-1024': () => generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey,
  'RSA-2048': () => generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey,
};

interface Chain {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const good = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

function root(key: KeyObject, name: string): { readonly cert: string; readonly key: string } {
  return selfSigned({ ...dates, key, subject: [['CN', name]], ca: { pathLength: null }, keyUsage: ['keyCertSign'] });
}

/**
 * The odd key is that of the root, of an intermediate, of the server, or of an unrelated
 * certificate.
 */
function chainOf(kind: string, place: 'root' | 'between' | 'server' | 'beside'): Chain {
  const odd = KEYS[kind]!();
  const above = root(place === 'root' ? odd : good(), `root ${place} ${kind}`);
  const betweenKey = place === 'between' ? odd : good();
  const between = issueCertificate({
    ...dates,
    caCert: above.cert,
    caKey: above.key,
    publicKey: betweenKey,
    subject: [['CN', `between ${place} ${kind}`]],
    ca: { pathLength: null },
    keyUsage: ['keyCertSign'],
  });
  const key = place === 'server' ? odd : good();
  const leaf = issueCertificate({
    ...dates,
    caCert: between,
    caKey: betweenKey,
    publicKey: key,
    subject: [['CN', HOST]],
    dns: [HOST],
    ips: ['127.0.0.1'],
  });
  const beside = place === 'beside' ? root(odd, `between ${place} ${kind}`).cert : '';
  return { ca: above.cert, cert: leaf + between + beside, key: pem(key) };
}

const PLACES = ['root', 'between', 'server', 'beside'] as const;

t.test('services of every kind of key are reached, or end with a reason; the egress lives', async (t) => {
  objects = 0;
  const chains = Object.keys(KEYS).flatMap((kind) => PLACES.map((place) => ({ kind, place, ...chainOf(kind, place) })));
  const servers = await Promise.all(
    chains.map(async ({ cert, key }) => {
      const server = createServer({ cert, key, ciphers: 'DEFAULT@SECLEVEL=0', ecdhCurve: 'X25519:P-256:P-521' }, (socket) => {
        socket.on('error', () => {});
        echo(socket);
      });
      server.on('tlsClientError', (_error, socket) => socket.destroy());
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return { server, port: (server.address() as AddressInfo).port };
    }),
  );
  const check = `type: MeshHealthCheck
mesh: default
name: check
spec:
  targetRef: { kind: Mesh }
  to:
  - targetRef: { kind: Mesh }
    default: { interval: 1s, timeout: 5s, unhealthyThreshold: 1000, healthyThreshold: 1, tcp: {} }
`;
  const resources = (): string =>
    [
      `type: TrafficPermission
mesh: default
name: everybody
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`,
      check,
      ...chains.map(
        ({ ca }, i) => `type: ExternalService
mesh: default
name: odd-${i}
tags: { kuma.io/service: odd-${i}, kuma.io/protocol: tcp }
networking:
  address: 127.0.0.1:${servers[i]!.port}
  tls: { enabled: true, serverName: ${HOST}, caCert: { inlineString: ${JSON.stringify(ca)} } }
`,
      ),
    ].join('---\n');
  {
    await using zone = await startZone(t, { resources });
    for (const [i, { kind, place }] of chains.entries()) {
      const client = await zone.connect(`odd-${i}{mesh=default}`, zone.mesh.client('frontend'));
      client.write('ping');
      client.once('data', () => client.end());
      await gone(client);
      const record = await zone.record(({ destination }) => destination === `odd-${i}`);
      t.match(
        record.reason,
        /^(closed|upstream-tls-failed)$/,
        `${kind} as ${place}: ${record.reason} ${record.detail.slice(0, 150)}`,
      );
      if (record.reason !== 'closed') t.notMatch(record.detail, /UNSPECIFIED/);
      if (place === 'beside') t.equal(record.reason, 'closed', `${kind} beside the chain changes nothing`);
    }
    t.match(await zone.egress.metrics(), 'zone_egress_faults_total 0\n');
  }
  t.equal(objects, 0, 'no certificate of a service was made an object');
  await Promise.all(servers.map(({ server }) => once(server.close(), 'close')));
});

for (const kind of ['secp256k1', 'brainpoolP256r1', 'P-256']) {
  for (const place of ['root', 'between', 'beside'] as const) {
    t.test(`a control plane with a ${kind} key as ${place} is spoken to by both clients`, async (t) => {
      objects = 0;
      const { ca, cert, key } = chainOf(kind, place);
      const server = createHttps({ cert, key }, (request, response) => {
        request.resume();
        response.writeHead(400).end('no');
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      await t.rejects(
        fetchBootstrap({
          clock: systemClock({ keepAlive: true }),
          version: '0',
          operatingSystem: 'linux',
          onRetry: () => {},
          controlPlane: {
            url: `https://127.0.0.1:${port}`,
            caCert: ca,
            systemTrust: null,
            skipVerify: false,
            token: () => Promise.resolve(null),
            name: 'egress',
            resource: null,
            retryBackoffMs: 1,
            retryMaxMs: 0,
            readinessPort: 9902,
            drainTimeMs: 0,
            systemCaPath: '',
            ipv6Enabled: true,
            maxHeapSizeBytes: 0,
            dynamicMetadata: {},
            warnings: [],
          },
        }),
        { constructor: BootstrapError, code: 'refused' },
        'the answer came through TLS',
      );
      server.close();
      await once(server, 'close');

      const plane = await startControlPlane({ cert, key });
      const ready = await new Promise<string>((resolve) => {
        const stream = openStream(
          {
            protocol: stateOfTheWorld,
            target: { host: '127.0.0.1', port: plane.port },
            tls: { kind: 'tls', ca, verify: true, serverName: HOST },
            keepAlive: { timeMs: 60_000, timeoutMs: 20_000 },
            token: null,
          },
          {
            onReady: () => {
              stream.close();
              resolve('ready');
            },
            onAnswer: () => {},
            onEnd: ({ message }) => resolve(message),
          },
        );
      });
      t.equal(ready, 'ready');
      plane.stop();
      t.equal(objects, 0, 'no certificate of the control plane was made an object');
    });
  }
}

t.test('a host is compared with the names that a certificate has', async (t) => {
  const { ca, cert, key } = chainOf('P-256', 'root');
  const server = createServer({ cert, key }, (socket) => socket.on('error', () => {}).end('x'));
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  for (const [host, isRight] of [
    [HOST, true],
    [`${HOST}.`, true],
    ['127.0.0.1', true],
    ['other.partner.test', false],
    ['127.0.0.2', false],
    ['::1', false],
  ] as const) {
    const socket = connectTls({ host: '127.0.0.1', port, ca, checkServer: (certificate) => hostProblem(certificate, host) });
    const outcome = await Promise.race([
      once(socket, 'secureConnect').then(() => null),
      once(socket, 'error').then(([error]) => error as Error & { code?: string }),
    ]).catch((error: unknown) => error as Error & { code?: string });
    t.equal(outcome === null, isRight, host);
    if (outcome !== null) t.match(outcome, { code: 'ERR_TLS_CERT_ALTNAME_INVALID', message: HOST });
    socket.destroy();
  }
  server.close();
  await once(server, 'close');
});
