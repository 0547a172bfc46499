import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { ipBytes } from '../../src/base/ip-bytes.ts';
import { checkServerName } from '../../src/identity/upstream-name.ts';
import type { NameMatcher } from '../../src/model/cluster.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';

const mesh = await createTestMesh('default');

function server(names: Parameters<typeof mesh.issue>[0]): X509Certificate {
  return new X509Certificate(mesh.issue({ uris: [], ...names }).cert);
}

const exact = (value: string): NameMatcher[] => [{ kind: 'exact', value }];

t.test('a DNS name of the certificate is met whole, in either case, and by nothing else', async (t) => {
  const certificate = server({ dns: ['Api.Example.com', 'b.test'] });
  for (const name of ['api.example.com', 'API.EXAMPLE.COM', 'b.test'])
    t.equal(checkServerName(certificate, exact(name)), null, name);
  for (const name of [
    'example.com',
    'x.api.example.com',
    'api.example.com.',
    'api.example.co',
    'b.test\0',
    '',
    '*',
    'a\u212ai.test',
  ]) {
    t.type(checkServerName(certificate, exact(name)), 'string', JSON.stringify(name));
  }
});

t.test('a wildcard is one whole left-most label', async (t) => {
  const certificate = server({ dns: ['*.b.test'] });
  t.equal(checkServerName(certificate, exact('a.b.test')), null);
  t.equal(checkServerName(certificate, exact('A.B.test')), null);
  for (const name of ['b.test', '.b.test', 'x.a.b.test', 'ab.test'])
    t.type(checkServerName(certificate, exact(name)), 'string', name);
  const odd = server({ dns: ['f*.b.test', 'a.*.test', '*.test', '*', '*.*.b.test', '**.b.test'] });
  for (const name of ['foo.b.test', 'a.x.test', 'b.test', 'x.b.test', 'x.y.b.test']) {
    t.type(checkServerName(odd, exact(name)), 'string', `${name} by an odd wildcard`);
  }
});

t.test('the CN, URI and e-mail names never count: a mesh certificate is no server certificate', async (t) => {
  const certificate = server({
    subject: [['CN', 'api.example.com']],
    uris: ['spiffe://default/api.example.com'],
    emails: ['api.example.com'],
  });
  t.equal(
    checkServerName(certificate, exact('api.example.com')),
    'its certificate is for no DNS name and no address, wanted one of: api.example.com',
  );
});

t.test('a name with a byte that no DNS name has meets nothing', async (t) => {
  const certificate = server({ dns: ['a.test\0.evil', 'b.test, DNS:c.test', ' d.test'] });
  for (const name of ['a.test', 'b.test', 'c.test', 'd.test']) t.type(checkServerName(certificate, exact(name)), 'string', name);
});

t.test('an address meets an IP name by its bytes, in whatever way it is written, and never a DNS name', async (t) => {
  const certificate = server({ ips: ['10.0.0.1', '2001:db8::1'], dns: ['10.0.0.2', '2001:db8::2'] });
  for (const ip of ['10.0.0.1', '2001:db8::1', '2001:DB8:0:0:0:0:0:1', '2001:0db8::0.0.0.1']) {
    t.equal(checkServerName(certificate, exact(ip)), null, ip);
  }
  for (const ip of ['10.0.0.2', '2001:db8::2', '::ffff:10.0.0.1', '2001:db8::'])
    t.type(checkServerName(certificate, exact(ip)), 'string', ip);
});

t.test('one of several names is enough, a prefix meets DNS names only, and without a wanted name nothing fits', async (t) => {
  const certificate = server({ dns: ['api-7.example.com'], ips: ['10.0.0.1'] });
  const prefix = (value: string): NameMatcher => ({ kind: 'prefix', value });
  t.equal(checkServerName(certificate, [...exact('other.test'), prefix('API-')]), null);
  t.type(checkServerName(certificate, [prefix('10.')]), 'string');
  t.type(checkServerName(certificate, [prefix('pi-')]), 'string');
  t.type(checkServerName(certificate, [prefix('')]), 'string', 'an empty prefix would meet every certificate');
  t.match(checkServerName(certificate, []), /wanted no name at all/);
  t.equal(
    checkServerName(certificate, exact('x.test')),
    'its certificate is for api-7.example.com, 10.0.0.1, wanted one of: x.test',
  );
});

t.test('addresses become the bytes that certificates hold', async (t) => {
  const cases: readonly (readonly [string, string | null])[] = [
    ['127.0.0.1', '7f000001'],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['fe80::1%eth0', `fe80${'0'.repeat(27)}1`],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
    ['1.2.3', null],
    ['example.com', null],
  ];
  for (const [text, hex] of cases) t.equal(ipBytes(text)?.toString('hex') ?? null, hex, text);
});

t.test('an address as a DNS name in a certificate is reported, with what to do', async (t) => {
  const certificate = server({ dns: ['127.0.0.1', 'api.test'] });
  t.equal(
    checkServerName(certificate, exact('127.0.0.1')),
    'its certificate has the address 127.0.0.1 as a DNS name, and only an IP name is one for an address: have it issued with subjectAltName IP:127.0.0.1, or give a serverName that it has',
  );
  t.match(checkServerName(certificate, exact('127.0.0.2')), /is for 127\.0\.0\.1, api\.test, wanted one of: 127\.0\.0\.2/);
});

t.test('a certificate for thousands of names is one for each of them', async (t) => {
  const certificate = server({ dns: Array.from({ length: 3_000 }, (_, i) => `n${i}.test`) });
  t.equal(checkServerName(certificate, exact('n2999.test')), null);
  t.match(checkServerName(certificate, exact('n3000.test')), /is for n0\.test, .* and 2992 more, wanted/);
});
