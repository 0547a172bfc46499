import { Buffer } from 'node:buffer';
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { readCertificate } from '../../src/identity/der.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';

const now = Date.UTC(2026, 0, 1);
const mesh = await createTestMesh('default', { nowMs: now });

function rawOf(pem: string): Buffer {
  return new X509Certificate(pem).raw;
}

function read(pem: string): Extract<ReturnType<typeof readCertificate>, { kind: 'certificate' }>['certificate'] {
  const result = readCertificate(rawOf(pem));
  if (result.kind !== 'certificate') throw new Error(result.why);
  return result.certificate;
}

t.test('names are read as bytes, each with its kind, whatever characters they hold', async (t) => {
  const tricky = ['http://x/, URI:spiffe://default/admin', 'a"b', 'a\nb', 'a\0b', '\u00e9'];
  const { cert } = mesh.issue({ uris: tricky, dns: ['x, DNS:y'], emails: ['a@b'], ips: ['10.1.2.3', 'fe80::1'] });
  const names = read(cert).altNames.map(({ kind, bytes }) => [
    kind,
    kind === 'ip' ? bytes.toString('hex') : bytes.toString('latin1'),
  ]);
  t.same(names, [
    ...tricky.map((uri) => ['uri', uri]),
    ['dns', 'x, DNS:y'],
    ['email', 'a@b'],
    ['ip', '0a010203'],
    ['ip', 'fe800000000000000000000000000001'],
  ]);
});

t.test('validity, usages, the CA flag and the extensions are what was issued', async (t) => {
  const leaf = read(mesh.issue({ keyUsage: ['digitalSignature', 'decipherOnly'], notAfter: Date.UTC(2055, 4, 6, 7, 8, 9) }).cert);
  t.equal(leaf.notBefore, now - 10_000);
  t.equal(leaf.notAfter, Date.UTC(2055, 4, 6, 7, 8, 9), 'beyond the years that two digits can say');
  t.same([...(leaf.keyUsage ?? [])], ['digitalSignature', 'decipherOnly']);
  t.same(leaf.extendedKeyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  t.equal(leaf.isCa, false);
  t.equal(leaf.extensions.get('2.5.29.17')?.critical, true);

  const ca = read(mesh.ca.cert);
  t.equal(ca.isCa, true);
  t.equal(ca.extendedKeyUsage, null);
  t.ok(ca.subject.equals(leaf.issuer), 'the name of the issuer is the raw name of the CA');
});

t.test('a certificate that is cut anywhere is unreadable', async (t) => {
  const raw = rawOf(mesh.client('frontend').cert);
  const readable = Array.from({ length: raw.length }, (_, i) => i).filter(
    (end) => readCertificate(raw.subarray(0, end)).kind !== 'unreadable',
  );
  t.same(readable, []);
  t.match(readCertificate(Buffer.concat([raw, Buffer.from([0])])), { kind: 'unreadable', why: /bytes after the end/ });
});

t.test('no flip of a single byte makes the reader throw', async (t) => {
  const raw = rawOf(mesh.issue({ uris: ['spiffe://default/a'], dns: ['b'], ca: { pathLength: 1 } }).cert);
  let ended = 0;
  for (let i = 0; i < raw.length; i++) {
    for (const mask of [0x01, 0x80, 0xff, 0x1f]) {
      const copy = Buffer.from(raw);
      copy[i]! ^= mask;
      if (typeof readCertificate(copy).kind === 'string') ended++;
    }
  }
  t.equal(ended, raw.length * 4);
});

t.test('a doubled extension, too many names and lengths in a longer form than needed are unreadable', async (t) => {
  const doubled = mesh.issue({ extensions: [{ oid: '2.5.29.17', critical: false, value: Buffer.from('3000', 'hex') }] });
  t.match(readCertificate(rawOf(doubled.cert)), { kind: 'unreadable', why: /extension 2\.5\.29\.17: there twice/ });
  const many = mesh.issue({ uris: Array.from({ length: 1_001 }, (_, i) => `u:${i}`) });
  t.match(readCertificate(rawOf(many.cert)), { kind: 'unreadable', why: /more than 1000 names/ });
  const long = Buffer.from('3082000430020500', 'hex');
  t.match(readCertificate(long), { kind: 'unreadable', why: /shortest form/ });
  t.match(readCertificate(Buffer.from('3080', 'hex')), { kind: 'unreadable', why: /indefinite/ });
  t.match(readCertificate(Buffer.from('3084ffffffff', 'hex')), { kind: 'unreadable', why: /beyond its container/ });
  t.match(readCertificate(Buffer.alloc(0)), { kind: 'unreadable', why: /cut element/ });
});
