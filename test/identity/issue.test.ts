import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { readCertificate } from '../../src/identity/der.ts';
import { createCa, issueCertificate, issueEgressIdentity, selfSigned } from '../../src/identity/issue.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';

const HOUR = 3_600_000;
const now = Date.UTC(2026, 5, 1, 12);
const cas = {
  EC: await createCa({ mesh: 'default', keyType: 'ec', nowMs: now }),
  RSA: await createCa({ mesh: 'default', keyType: 'rsa', nowMs: now }),
  Ed25519: caWith(generateKeyPairSync('ed25519').privateKey),
  'P-384': caWith(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey),
};

/**
 * `O=Kuma+OU=Mesh` as one part with PrintableStrings, `CN=Défaut` as a BMPString: rebuilding it
 * would give other bytes.
 */
const LEGACY_NAME = `-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIBBzAKBggqhkjOPQQDAjAzMRowCwYDVQQKEwRLdW1hMAsG
A1UECxMETWVzaDEVMBMGA1UEAx4MAEQA6QBmAGEAdQB0MCAXDTI2MTEyNTE2NDY1
N1oYDzIxMjYxMTAxMTY0NjU3WjAzMRowCwYDVQQKEwRLdW1hMAsGA1UECxMETWVz
aDEVMBMGA1UEAx4MAEQA6QBmAGEAdQB0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAE/p0AmUjiQHdoOXvITxqRQ3aTzXv6KHG5+KjT0njP4n/8vK0nDLLTpf0lwnV9
XrobcNYoiEckiIIfQ3+GhK1epaMyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4E
FgQU+N28Ca31heGj6LLf+DUHpej6bTAwCgYIKoZIzj0EAwIDSQAwRgIhAPs8332F
Oh1Gb45fheNNNPnSTMX/isncQ3EnwL3SjiqWAiEAm2sZc6vNKBzFeHC5f/KddN84
3YUOetiIEayHdTT1kPw=
-----END CERTIFICATE-----
`;

function caWith(key: ReturnType<typeof createPrivateKey>): CertificateAndKey {
  const validity = { notBefore: now - HOUR, notAfter: now + 1_000 * HOUR };
  return selfSigned({ key, subject: [['CN', 'x']], ...validity, ca: { pathLength: null }, keyUsage: ['keyCertSign'] });
}

t.test("the egress's own certificate has Kuma's shape under every kind of CA", async (t) => {
  for (const [kind, ca] of Object.entries(cas)) {
    const identity = await issueEgressIdentity({
      mesh: 'default',
      caCert: ca.cert,
      caKey: ca.key,
      lifetimeMs: 24 * HOUR,
      nowMs: now,
    });
    const certificate = new X509Certificate(identity.cert);
    const issuer = new X509Certificate(ca.cert);
    t.ok(certificate.verify(issuer.publicKey), `${kind}: signed by the CA`);
    t.ok(certificate.checkIssued(issuer), `${kind}: names and key ids fit`);
    t.ok(certificate.checkPrivateKey(createPrivateKey(identity.key)), `${kind}: the key belongs to it`);
    t.equal(certificate.subjectAltName, 'URI:spiffe://default/zone-egress, URI:kuma://kuma.io/service/zone-egress');
    t.notOk(certificate.subject, 'no subject');
    t.equal(certificate.ca, false);
    t.equal(Date.parse(certificate.validFrom), now - 10_000);
    t.equal(Date.parse(certificate.validTo), identity.notAfter);
    t.equal(identity.renewAt, now + 24 * HOUR * 0.8, 'to be renewed at four fifths of its life');
    const der = readCertificate(certificate.raw);
    t.match(der, { kind: 'certificate', certificate: { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'] } });
    t.equal(der.kind === 'certificate' && der.certificate.extensions.get('2.5.29.17')?.critical, true, 'critical names');
  }
});

t.test("a CA has the shape of Kuma's builtin ones", async (t) => {
  const ca = new X509Certificate(cas.EC.cert);
  t.equal(ca.subject, 'O=Kuma\nOU=Mesh\nCN=default');
  t.equal(ca.issuer, ca.subject);
  t.equal(ca.subjectAltName, 'URI:spiffe://default');
  t.equal(Number.parseInt(ca.serialNumber, 16), 0);
  t.equal(ca.ca, true);
  t.equal(Date.parse(ca.validTo), now + 3_650 * 24 * HOUR);
  t.ok(ca.verify(ca.publicKey));
});

t.test('a certificate never outlives its CA, and an expired CA issues none', async (t) => {
  const ca = await createCa({ mesh: 'default', keyType: 'ec', nowMs: now, lifetimeMs: HOUR });
  const request = { mesh: 'default', caCert: ca.cert, caKey: ca.key, lifetimeMs: 24 * HOUR };
  t.match(await issueEgressIdentity({ ...request, nowMs: now }), { notAfter: now + HOUR, renewAt: now + 0.8 * HOUR });
  await t.rejects(issueEgressIdentity({ ...request, nowMs: now + HOUR }), {
    message: /the CA of mesh default expired 2026-06-01T13/,
  });
});

t.test('the name of the issuer is copied byte for byte, in whatever string types it is written', async (t) => {
  const ca = new X509Certificate(LEGACY_NAME);
  const cert = issueCertificate({
    caCert: LEGACY_NAME,
    // The name does not depend on the signing key.
    caKey: cas.EC.key,
    publicKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
    uris: ['spiffe://default/a'],
    notBefore: now,
    notAfter: now + HOUR,
  });
  const leaf = new X509Certificate(cert);
  const [issuer, subject] = [readCertificate(leaf.raw), readCertificate(ca.raw)];
  t.ok(issuer.kind === 'certificate' && subject.kind === 'certificate');
  if (issuer.kind !== 'certificate' || subject.kind !== 'certificate') return;
  t.same(issuer.certificate.issuer, subject.certificate.subject);
  t.ok(leaf.checkIssued(ca));
});

t.test('serial numbers are positive, different and not zero', async (t) => {
  const key = createPublicKey(createPrivateKey(cas.EC.key));
  const serials = Array.from({ length: 20 }, () => {
    const cert = issueCertificate({
      caCert: cas.EC.cert,
      caKey: cas.EC.key,
      publicKey: key,
      notBefore: now,
      notAfter: now + HOUR,
    });
    return new X509Certificate(cert).serialNumber;
  });
  t.equal(new Set(serials).size, 20);
  t.notOk(serials.some((serial) => serial.startsWith('-') || /^0+$/.test(serial)));
});

t.test('a CA key of another type is refused by name', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa-pss', { modulusLength: 2_048 });
  const request = { caCert: cas.EC.cert, caKey: privateKey, publicKey, notBefore: now, notAfter: now + HOUR };
  t.throws(() => issueCertificate(request), { message: /a CA key of type rsa-pss \(RSA, EC or Ed25519\)/ });
});
