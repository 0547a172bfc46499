import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { chainError } from '../../src/identity/check-chain.ts';
import { leadsToKeptAnchor } from '../../src/identity/kept-anchors.ts';
import { createCa, generateKey, issueCertificate } from '../../src/identity/issue.ts';

const HOUR = 3_600_000;
const nowMs = Date.now();
const dates = { notBefore: nowMs - HOUR, notAfter: nowMs + HOUR };
const read = (cert: string): X509Certificate => new X509Certificate(cert);

t.test('a chain leads to its CA by CA certificates only', async (t) => {
  const root = await createCa({ mesh: 'default', keyType: 'ec', nowMs });
  const ca = { caCert: root.cert, caKey: root.key };
  const [middleKey, leafKey] = await Promise.all([generateKey('ec'), generateKey('ec')]);
  const middle = { ...ca, ...dates, publicKey: middleKey, subject: [['CN', 'middle']] as const };
  const signer = issueCertificate({ ...middle, ca: { pathLength: null }, keyUsage: ['keyCertSign'] });
  const client = issueCertificate({ ...middle, uris: ['spiffe://default/web'] });
  const under = (cert: string): X509Certificate =>
    read(issueCertificate({ ...dates, caCert: cert, caKey: middleKey, publicKey: leafKey, uris: ['spiffe://default/admin'] }));

  t.equal(chainError([read(client)], [read(root.cert)]), null, 'a leaf of the root');
  t.equal(chainError([under(signer), read(signer)], [read(root.cert)]), null, 'a leaf of an intermediate CA');
  t.equal(
    chainError([under(client), read(client)], [read(root.cert)]),
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'a leaf that another leaf signed',
  );
  t.equal(chainError([under(signer)], [read(root.cert)]), 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'the intermediate is not sent');
});

t.test('a client stays trusted where the certificate that its chain led to is in the new trust', async (t) => {
  const [root, other] = await Promise.all([
    createCa({ mesh: 'default', keyType: 'ec', nowMs }),
    createCa({ mesh: 'default', keyType: 'ec', nowMs }),
  ]);
  const [middleKey, leafKey] = await Promise.all([generateKey('ec'), generateKey('ec')]);
  const signer = issueCertificate({
    ...{ caCert: root.cert, caKey: root.key, ...dates, publicKey: middleKey, subject: [['CN', 'middle']] as const },
    ...{ ca: { pathLength: null }, keyUsage: ['keyCertSign'] },
  });
  const leaf = (caCert: string, caKey: string | typeof middleKey): X509Certificate =>
    read(issueCertificate({ ...dates, caCert, caKey, publicKey: leafKey, uris: ['spiffe://default/web'] }));
  const direct = leaf(root.cert, root.key);
  const below = leaf(signer, middleKey);
  const both = `${other.cert}\n${root.cert}`;
  const rows: readonly (readonly [string, X509Certificate, string, string, boolean])[] = [
    ['a CA is added', direct, root.cert, both, true],
    ['a CA is taken away', direct, both, root.cert, true],
    ['its CA is taken away', direct, both, other.cert, false],
    ['its CA is only in the new trust', direct, other.cert, both, false],
    ['the trusted intermediate stays', below, `${signer}\n${root.cert}`, signer, true],
    ['the intermediate is gone, and was not sent', below, `${signer}\n${root.cert}`, root.cert, false],
    ['nothing can be read', direct, root.cert, 'no certificate', false],
  ];
  for (const [what, certificate, before, now, trusted] of rows) {
    t.equal(leadsToKeptAnchor(certificate, { before, now, nowMs }), trusted, what);
  }
  t.equal(leadsToKeptAnchor(direct, { before: root.cert, now: both, nowMs: nowMs + 2 * HOUR }), false, 'it has expired');
});
