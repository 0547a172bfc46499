import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { chainError } from '../../src/identity/check-chain.ts';
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
