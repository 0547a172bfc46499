import { isIP } from 'node:net';
import t from 'tap';
import fc from 'fast-check';
import { addressClass, isCidr, isForbiddenWhenResolved, sameAddress } from '../../src/routing/addresses.ts';
import type { AddressClass } from '../../src/routing/addresses.ts';

const table: Readonly<Record<AddressClass, string>> = {
  unspecified: `0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255 :: 0:0:0:0:0:0:0:0 0::0 ::0.0.0.0 ::ffff:0.0.0.0 ::ffff:0:0 64:ff9b:: 64:ff9b::0.0.0.0
    2002:: 2002:0:0:: ::2 ::ff 2001:0:1234:5678:0:0:ffff:ffff 64:ff9b:1:7f00:0:100::`,
  loopback: `127.0.0.1 127.0.0.0 127.1.2.3 127.255.255.255 ::1 0:0:0:0:0:0:0:1 0::1 ::0001 ::ffff:127.0.0.1 ::FFFF:7F00:1 ::ffff:7f00:0001
    0:0:0:0:0:ffff:127.0.0.1 ::ffff:0:127.0.0.1 ::ffff:0:7f00:1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:FF9B::7f12:3456 2002:7f00:1::
    2002:7f00:0001:0:0:0:0:1 2001:0:1234:5678:0:0:80ff:fffe ::127.0.0.1 ::7f00:1 ::127.255.0.1 64:ff9b:1::127.0.0.1`,
  'link-local': `169.254.0.0 169.254.169.254 169.254.255.255 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe 64:ff9b::169.254.169.254 64:ff9b::a9fe:a9fe
    2002:a9fe:a9fe:: ::169.254.169.254 2001:0:1:1:0:0:5601:5601 fe80:: fe80::1 fe80::1%eth0 FE80::dead:beef febf:ffff:: fd00:ec2::254
    fd00:0ec2:0:0:0:0:0:254 fd20:ce::254 100.100.100.200 192.0.0.192 168.63.129.16 ::ffff:100.100.100.200`,
  multicast: `224.0.0.0 224.0.0.1 239.255.255.255 232.1.1.1 ff00:: ff02::1 ff05::2 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::ffff:224.0.0.1
    64:ff9b::224.0.0.251 2002:e000:1:: ::239.1.1.1`,
  broadcast: '255.255.255.255 ::ffff:255.255.255.255 64:ff9b::ffff:ffff 2002:ffff:ffff:: ::255.255.255.255',
  private: `10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 ::ffff:10.1.2.3 64:ff9b::10.1.2.3 2002:a01:203::
    fc00:: fd12:3456::1 fdff:ffff:: fec0::1 ::192.168.1.1 fd00:ec2::255`,
  shared: '100.64.0.0 100.64.0.1 100.100.100.199 100.127.255.255 ::ffff:100.64.1.1',
  documentation: '192.0.2.1 198.51.100.255 203.0.113.7 2001:db8::1 2001:0db8:ffff::1 3fff::1 3fff:fff:ffff::',
  benchmarking: '198.18.0.1 198.19.255.255 2001:2::1',
  reserved: '192.0.0.1 192.88.99.1 240.0.0.1 241.0.0.9 255.255.255.254 100::1 2001:10::1 4000::1 5f00::1 fe00::1 64:ff9b:2::1',
  global: `1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255
    172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450:4001::200e 2001:4860:4860::8888
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808:: ::8.8.8.8 2003::1 3ffe::1`,
  invalid: '',
};

t.test('every address has the class of its bytes, whatever form it is written in', async (t) => {
  let checked = 0;
  for (const [expected, list] of Object.entries(table)) {
    for (const ip of list.split(/\s+/).filter((part) => part !== '')) {
      t.equal(addressClass(ip), expected, ip);
      t.not(isIP(ip), 0, `${ip} is an address`);
      checked++;
    }
  }
  t.ok(checked >= 120, `${checked} addresses`);
});

t.test('odd spellings of a host are no addresses, and nothing that is no address may be dialled', async (t) => {
  const odd = [
    ...[
      '',
      ' ',
      '0x7f000001',
      '0x7f.0.0.1',
      '2130706433',
      '127.1',
      '127.0.1',
      '0177.0.0.1',
      '127.0.0.01',
      '127.000.000.001',
      '00.0.0.0',
    ],
    ...[
      '①②⑦.⓪.⓪.①',
      '127。0。0。1',
      '127.0.0.1\0',
      '127.0.0.1\0.example.com',
      '127.0.0.1.',
      '127.0.0.1 ',
      ' 127.0.0.1',
      '+127.0.0.1',
    ],
    ...[
      '127.0.0.1/8',
      '[::1]',
      '::1]',
      '127.0.0.256',
      '127.0.0.-1',
      '1.2.3',
      '1.2.3.4.5',
      '1e1.0.0.1',
      '127.0.0.1:80',
      'localhost',
    ],
    ...[
      ':',
      ':::',
      '1::2::3',
      '::12345',
      '::g',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7:8::',
      '::1%',
      '::1%a b',
      '::127.0.0.1:1',
    ],
    ...[
      '::ffff:127.1',
      '::ffff:0x7f.0.0.1',
      '::ffff:0177.0.0.1',
      '1.2.3.4::',
      ':1',
      '1:',
      '::1:',
      '１２７.0.0.1',
      '::ffff:127.0.0.1.',
    ],
  ];
  for (const text of odd) {
    t.equal(addressClass(text), 'invalid', JSON.stringify(text));
    t.equal(isForbiddenWhenResolved(text, ['0.0.0.0/0', '::/0']), true, `${JSON.stringify(text)} stays forbidden`);
    t.equal(sameAddress(text, text), false, `${JSON.stringify(text)} is not even itself`);
  }
});

t.test(
  'a name may not lead to loopback, link-local, unspecified, multicast or broadcast addresses, to private ones it may',
  async (t) => {
    for (const [name, list] of Object.entries(table)) {
      const forbidden = ['unspecified', 'loopback', 'link-local', 'multicast', 'broadcast'].includes(name);
      for (const ip of list.split(/\s+/).filter((part) => part !== '')) t.equal(isForbiddenWhenResolved(ip, []), forbidden, ip);
    }
  },
);

t.test('an allowed block opens what lies in it and nothing else', async (t) => {
  t.equal(isForbiddenWhenResolved('127.0.0.1', ['127.0.0.0/8']), false);
  t.equal(isForbiddenWhenResolved('::ffff:127.0.0.1', ['127.0.0.0/8']), false, 'a mapped address is the IPv4 address');
  t.equal(isForbiddenWhenResolved('127.0.0.1', ['127.0.0.1']), false, 'an address alone is a block');
  t.equal(isForbiddenWhenResolved('127.0.0.2', ['127.0.0.1/32', '10.0.0.0/8']), true);
  t.equal(isForbiddenWhenResolved('127.128.0.1', ['127.0.0.0/9']), true);
  t.equal(isForbiddenWhenResolved('127.127.0.1', ['127.0.0.0/9']), false);
  t.equal(isForbiddenWhenResolved('64:ff9b::7f00:1', ['127.0.0.0/8']), true, 'a translated address needs a block of its own');
  t.equal(isForbiddenWhenResolved('64:ff9b::7f00:1', ['64:ff9b::/96']), false);
  t.equal(isForbiddenWhenResolved('fe80::1', ['fe80::/10']), false);
  t.equal(isForbiddenWhenResolved('::1', ['0.0.0.0/0']), true);
  t.equal(
    isForbiddenWhenResolved('127.0.0.1', ['127.0.0.0/33', '127.0.0.0/', '/8', 'all', '127.0.0.0/08', '']),
    true,
    'a bad block opens nothing',
  );
});

t.test('a CIDR block is an address with a prefix length that fits it', async (t) => {
  for (const good of ['10.0.0.0/8', '0.0.0.0/0', '1.2.3.4', '1.2.3.4/32', '::/0', 'fd00::/8', '::1/128', '::ffff:1.2.3.4/96'])
    t.ok(isCidr(good), good);
  for (const bad of [
    '',
    '/',
    '10.0.0.0/',
    '10/8',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    'a/8',
    'fe80::1%eth0/64',
  ])
    t.notOk(isCidr(bad), bad);
});

t.test('two spellings of an address are the same address', async (t) => {
  for (const [a, b] of [
    ['127.0.0.1', '::ffff:127.0.0.1'],
    ['127.0.0.1', '::FFFF:7f00:1'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['2001:DB8::A', '2001:db8:0:0::000a'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::', '0::'],
  ] as const) {
    t.ok(sameAddress(a, b), `${a} ${b}`);
    t.ok(sameAddress(b, a), `${b} ${a}`);
  }
  for (const [a, b] of [
    ['127.0.0.1', '127.0.0.2'],
    ['0.0.0.0', '::'],
    ['127.0.0.1', '::127.0.0.1'],
    ['127.0.0.1', '64:ff9b::7f00:1'],
    ['::1', '127.0.0.1'],
  ] as const)
    t.notOk(sameAddress(a, b), `${a} ${b}`);
});

t.test('a text is an address here exactly when it is one for Node', async (t) => {
  const part = fc.oneof(fc.nat(300).map(String), fc.constantFrom('0', '1', 'ffff', 'fe80', '', '127.0.0.1', '2002', '01'));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 9 }), fc.constantFrom('.', ':', '::'), (parts, separator) => {
      const text = parts.join(separator);
      return (addressClass(text) !== 'invalid') === (isIP(text) !== 0);
    }),
    { numRuns: 5000 },
  );
  fc.assert(
    fc.property(
      fc.oneof(fc.ipV4(), fc.ipV6()),
      (ip) => isIP(ip) === 0 || (addressClass(ip) !== 'invalid' && sameAddress(ip, ip)),
    ),
    { numRuns: 5000 },
  );
  t.pass('10000 texts');
});
