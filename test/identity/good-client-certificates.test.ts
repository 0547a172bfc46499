/**
 * Client certificates that pass, under every form of mesh CA, and what a connection must not do
 * after that.
 */
import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import type { Test } from 'tap';
import { createCa, generateKey, issueCertificate } from '../../src/identity/issue.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { VERSIONS, credentialsFor, startMeshServer } from './mesh-server.ts';
import type { MeshServer } from './mesh-server.ts';

const HOUR = 3_600_000;
const now = Date.now();
const ec = await createTestMesh('default');
const rsa = await createTestMesh('default', { keyType: 'rsa' });

async function accepts(
  t: Test,
  server: MeshServer,
  client: CertificateAndKey,
  what: string,
  spiffeIds?: readonly string[],
): Promise<void> {
  for (const version of VERSIONS) {
    const outcome = await server.meet({ ...client, minVersion: version, maxVersion: version });
    t.match(
      outcome,
      {
        kind: 'judged',
        protocol: version,
        verification: { kind: 'verified', client: { spiffeIds: spiffeIds ?? ['spiffe://default/frontend'] } },
      },
      `${version}: ${what}`,
    );
  }
}

async function serverOf(t: Test, mesh: Pick<TestMesh, 'ca'>, more?: Parameters<typeof credentialsFor>[2]): Promise<MeshServer> {
  const server = await startMeshServer(await credentialsFor('default', mesh.ca, more));
  t.teardown(() => server.close());
  return server;
}

t.test('a client is verified with its ids, all its URI names, its issuer and its expiry', async (t) => {
  const server = await serverOf(t, ec);
  const outcome = await server.meet({ ...ec.client(['frontend', 'admin_UI:v1.2'], { tags: { team: 'red' } }) });
  t.match(outcome, {
    verification: {
      kind: 'verified',
      client: {
        mesh: 'default',
        spiffeIds: ['spiffe://default/frontend', 'spiffe://default/admin_UI:v1.2'],
        uris: [
          'spiffe://default/frontend',
          'spiffe://default/admin_UI:v1.2',
          'kuma://kuma.io/service/frontend',
          'kuma://kuma.io/service/admin_UI:v1.2',
          'kuma://team/red',
        ],
        issuer: 'O=Kuma, OU=Mesh, CN=default',
        expiry: /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/,
      },
    },
  });
});

t.test('the mesh CA may be RSA or EC, with serial number 0 or another, and the client key RSA, EC or Ed25519', async (t) => {
  const rsaKey = await generateKey('rsa');
  for (const [name, mesh] of [
    ['EC CA', ec],
    ['RSA CA', rsa],
  ] as const) {
    const server = await serverOf(t, mesh);
    await accepts(t, server, mesh.client('frontend'), `${name}, P-256 client`);
    await accepts(t, server, mesh.issue({}, rsaKey), `${name}, RSA client`);
    await accepts(
      t,
      server,
      mesh.issue({}, generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey),
      `${name}, P-384 client`,
    );
    await accepts(t, server, mesh.issue({}, generateKeyPairSync('ed25519').privateKey), `${name}, Ed25519 client`);
  }
  const numbered = await createCa({ mesh: 'default', keyType: 'ec', nowMs: now, serial: 0xdeadbeefn });
  const server = await serverOf(t, { ca: numbered });
  await accepts(t, server, ec.issue({ caCert: numbered.cert, caKey: numbered.key }), 'a CA with a serial number');
});

t.test('a CA that is an intermediate is enough trust, without its root', async (t) => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const cert = issueCertificate({
    caCert: rsa.ca.cert,
    caKey: rsa.ca.key,
    publicKey: key,
    subject: [['CN', 'mesh intermediate']],
    notBefore: now - HOUR,
    notAfter: now + HOUR,
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign'],
  });
  const intermediate = { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
  const server = await serverOf(t, { ca: intermediate });
  const client = ec.issue({ caCert: intermediate.cert, caKey: intermediate.key });
  await accepts(t, server, client, 'a client that sends its own certificate only');
  await accepts(t, server, { ...client, cert: client.cert + cert }, 'a client that sends the intermediate too');
  const fromRoot = await server.meet({ ...rsa.client('frontend') });
  t.match(fromRoot, { verification: { kind: 'rejected' } }, 'what the root issued directly is not trusted');

  const root = await serverOf(t, { ca: rsa.ca });
  await accepts(t, root, { ...client, cert: client.cert + cert }, 'under the root, with the intermediate sent');
});

t.test('during a rotation clients of the old and of the new CA pass', async (t) => {
  const next = await createCa({ mesh: 'default', keyType: 'ec', nowMs: now });
  const server = await serverOf(t, ec, { trust: ec.ca.cert + next.cert });
  await accepts(t, server, ec.client('frontend'), 'the old CA');
  await accepts(t, server, ec.issue({ caCert: next.cert, caKey: next.key }), 'the new CA, which has the same name');
});

t.test(
  'a certificate without usage extensions, with DNS and IP names beside its id, or with a thousand names passes',
  async (t) => {
    const server = await serverOf(t, ec);
    const bare = bareLeafOf(ec);
    await accepts(t, server, bare, 'no usage extensions');
    await accepts(
      t,
      server,
      ec.issue({ uris: ['spiffe://default/frontend'], dns: ['frontend.mesh'], ips: ['10.0.0.1', '::1'] }),
      'other names',
    );
    const uris = Array.from({ length: 1_000 }, (_, i) => `spiffe://default/s${i}`);
    await accepts(t, server, ec.issue({ uris }), 'a thousand names', uris);
  },
);

t.test('a session is never resumed: a client that offers one gets a full handshake and is verified again', async (t) => {
  const server = await serverOf(t, ec);
  for (const version of VERSIONS) {
    const options = { ...ec.client('frontend'), minVersion: version, maxVersion: version };
    let session: Buffer | undefined;
    const first = await server.meet(options, {
      async use(client) {
        session = client.getSession();
      },
    });
    t.match(first, { verification: { kind: 'verified' }, resumed: false });
    let reused: boolean | undefined;
    const again = await server.meet(
      { ...options, ...(session === undefined ? {} : { session }) },
      { use: async (client) => void (reused = client.isSessionReused()) },
    );
    t.match(again, { verification: { kind: 'verified' }, resumed: false }, `${version}: the server`);
    t.equal(reused, false, `${version}: the client`);
  }
});

t.test('a client that asks for renegotiation is refused', async (t) => {
  const server = await serverOf(t, ec);
  let answer: Error | null | undefined;
  await server.meet(
    { ...ec.client('frontend'), maxVersion: 'TLSv1.2' },
    {
      use: async (client) => {
        answer = await new Promise((resolve) => {
          client.once('error', resolve);
          client.renegotiate({}, (error) => resolve(error));
        });
      },
    },
  );
  t.type(answer, Error);
});

/** A leaf with only its name. */
function bareLeafOf(mesh: TestMesh): CertificateAndKey {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const cert = issueCertificate({
    caCert: mesh.ca.cert,
    caKey: mesh.ca.key,
    publicKey: key,
    uris: ['spiffe://default/frontend'],
    notBefore: now - HOUR,
    notAfter: now + HOUR,
  });
  return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
