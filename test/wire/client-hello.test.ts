import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:tls';
import t from 'tap';
import fc from 'fast-check';
import { parseClientHello } from '../../src/wire/client-hello.ts';
import type { HelloResult } from '../../src/wire/client-hello.ts';
import {
  alpnExtension,
  extension,
  handshake,
  helloMessage,
  nameEntry,
  nameExtension,
  record,
  records,
  sized,
} from './fixtures/hello-bytes.ts';
import type { HelloParts } from './fixtures/hello-bytes.ts';

function parse(parts: HelloParts): HelloResult {
  return parseClientHello(records(helloMessage(parts)));
}

function nameOf(result: HelloResult): string | null | undefined {
  return result.kind === 'hello' ? result.hello.serverName : undefined;
}

t.test('the hello of this Node is read: name, ALPN, version, length', async (t) => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const options = { servername: 'Backend.example', ALPNProtocols: ['kuma', 'h2'], maxVersion: version };
    const client = connect({ port, host: '127.0.0.1', ...options });
    client.on('error', () => undefined);
    const [socket] = (await once(server, 'connection')) as [Socket];
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    const hello = {
      serverName: 'Backend.example',
      alpn: ['kuma', 'h2'],
      maxVersion: version,
      ticket: null,
      length: bytes.length,
    };
    t.same(parseClientHello(bytes), { kind: 'hello', hello });
    client.destroy();
    socket.destroy();
    server.close();
    await once(server, 'close');
  }
});

t.test("Kuma's names come out exactly as they were sent, odd ones too", async (t) => {
  const names = [
    'backend{mesh=default,version=v1}',
    'ae10a8071b8a8eeb8.backend.8080.demo.ms',
    'sni.extsvc.prod.west.external-ns.ext-backend.9000',
    'BACKEND{mesh=Default}',
    'backend.',
    '.backend',
    'a..b',
    '*',
    '10.42.0.243',
    '__proto__',
    'constructor',
    'b\u00fccher',
    'caf\u00c3\u00a9',
    '\u00e2\u0084\u00aa.example',
    'tab\there',
    'x'.repeat(255),
  ];
  for (const name of names) t.equal(nameOf(parse({ extensions: [nameExtension(name)] })), name);
});

t.test('a hello without a name is a hello: without extensions, with an empty block, with others only', async (t) => {
  for (const extensions of [null, [], [extension(23), extension(0xffce, Buffer.alloc(40))]]) {
    t.equal(nameOf(parse({ extensions })), null);
  }
});

t.test('the version is the highest on offer: supported_versions where there is one, else the old field', async (t) => {
  const versions = (hex: string) => extension(43, sized(1, Buffer.from(hex, 'hex')));
  const of = (parts: HelloParts) => {
    const result = parse(parts);
    return result.kind === 'hello' ? result.hello.maxVersion : result.kind;
  };
  t.equal(of({ version: 0x0300 }), 'SSLv3');
  t.equal(of({ version: 0x0301 }), 'TLSv1');
  t.equal(of({ version: 0x0302 }), 'TLSv1.1');
  t.equal(of({ version: 0x0303 }), 'TLSv1.2');
  t.equal(of({ version: 0x0304 }), 'TLSv1.2');
  t.equal(of({ extensions: [versions('0303')] }), 'TLSv1.2');
  t.equal(of({ extensions: [versions('aaaa0302030403033a3a')] }), 'TLSv1.3');
  t.equal(of({ extensions: [versions('1a1a7f127f13')] }), 'unknown');
  for (const bad of ['', '03', '030403'])
    t.equal(of({ extensions: [versions(bad)] }), 'malformed', `list of ${bad.length / 2} bytes`);
  t.equal(of({ extensions: [extension(43, Buffer.from('04030403', 'hex'))] }), 'malformed');
});

t.test('GREASE, 1,000 unknown extensions and any order are fine', async (t) => {
  const unknown = Array.from({ length: 1_000 }, (_, index) => extension(0x1000 + index, Buffer.alloc(index % 5)));
  const grease = [extension(0x0a0a), extension(0xfafa, Buffer.of(0))];
  const name = nameExtension('backend');
  for (const extensions of [
    [...grease, name, ...unknown],
    [...unknown, alpnExtension(['h2']), name, ...grease],
    [name, ...unknown.reverse()],
  ]) {
    t.equal(nameOf(parse({ extensions, suites: Buffer.from('0a0a1301', 'hex') })), 'backend');
  }
});

t.test('two server name extensions, two names, or an unknown type of name is malformed', async (t) => {
  const name = nameExtension('a.example');
  const cases: Record<string, Buffer[]> = {
    'two extensions': [name, nameExtension('b.example')],
    'the same extension twice': [name, extension(23), name],
    'two names': [extension(0, sized(2, Buffer.concat([nameEntry('a.example'), nameEntry('b.example')])))],
    'the same name twice': [extension(0, sized(2, Buffer.concat([nameEntry('a.example'), nameEntry('a.example')])))],
    'an unknown type only': [extension(0, sized(2, nameEntry('a.example', 1)))],
    'an unknown type first': [extension(0, sized(2, Buffer.concat([nameEntry('a.example', 7), nameEntry('a.example')])))],
    'an unknown type last': [extension(0, sized(2, Buffer.concat([nameEntry('a.example'), nameEntry('b.example', 7)])))],
  };
  for (const [what, extensions] of Object.entries(cases)) t.equal(parse({ extensions }).kind, 'malformed', what);
});

t.test('an empty name, a NUL, 256 bytes, or lengths of the list that disagree are malformed', async (t) => {
  const entry = nameEntry('a.example');
  const cases: Record<string, Buffer> = {
    'no data': extension(0),
    'an empty list': extension(0, sized(2, Buffer.alloc(0))),
    'an empty name': nameExtension(''),
    'a NUL inside': nameExtension('a.example\0.b.example'),
    'a NUL at the end': nameExtension('a.example\0'),
    '256 bytes': nameExtension('x'.repeat(256)),
    'garbage behind the list': extension(0, Buffer.concat([sized(2, entry), Buffer.of(0)])),
    'garbage in the list': extension(0, sized(2, Buffer.concat([entry, Buffer.of(0)]))),
    'a list that is cut': extension(0, sized(2, entry).subarray(0, 8)),
    'a name longer than its list': extension(0, sized(2, Buffer.from('000009612e65', 'hex'))),
  };
  for (const [what, bytes] of Object.entries(cases)) t.equal(parse({ extensions: [bytes] }).kind, 'malformed', what);
});

t.test(
  'an ALPN list comes in the order of the client, and an empty one or one whose lengths disagree is malformed',
  async (t) => {
    const result = parse({ extensions: [alpnExtension(['kuma', 'h2', 'toString', '\u00ff'])] });
    t.match(result, { kind: 'hello', hello: { alpn: ['kuma', 'h2', 'toString', '\u00ff'], serverName: null } });
    const cases: Record<string, Buffer> = {
      'no data': extension(16),
      'an empty list': alpnExtension([]),
      'an empty name': alpnExtension(['h2', '']),
      'garbage behind the list': extension(16, Buffer.from('0003026832ff', 'hex')),
      'a name longer than its list': extension(16, Buffer.from('0003056832', 'hex')),
      'a list longer than its data': extension(16, Buffer.from('0009026832', 'hex')),
    };
    for (const [what, bytes] of Object.entries(cases)) t.equal(parse({ extensions: [bytes] }).kind, 'malformed', what);
  },
);

t.test('a duplicate extension, trailing garbage, or a length that disagrees anywhere else is malformed', async (t) => {
  const cases: Record<string, HelloParts> = {
    'an unknown extension twice': { extensions: [extension(0x1234), nameExtension('a'), extension(0x1234)] },
    'garbage behind the extensions': { garbage: Buffer.of(0) },
    'garbage where the extensions should be': { extensions: null, garbage: Buffer.of(0) },
    'half an extension header': { extensions: [Buffer.of(0, 23, 0)] },
    'an extension longer than the block': { extensions: [Buffer.from('0017000500', 'hex')] },
    'an odd number of bytes of cipher suites': { suites: Buffer.alloc(3) },
    'no cipher suite': { suites: Buffer.alloc(0) },
    'no compression method': { compressions: Buffer.alloc(0) },
    'a session id of 33 bytes': { sessionId: Buffer.alloc(33) },
    'a version that is not 3.x': { version: 0x0203 },
  };
  for (const [what, parts] of Object.entries(cases)) t.equal(parse(parts).kind, 'malformed', what);
  const suites = 4 + 34 + 33;
  for (const [what, at] of [
    ['cipher suites', suites],
    ['compression methods', suites + 6],
  ] as const) {
    const message = helloMessage();
    message[at] = 0xfe;
    t.match(parseClientHello(records(message)), { kind: 'malformed', detail: /beyond/ }, `${what} that lead beyond the end`);
  }
  t.match(parse({ extensions: null, sessionId: Buffer.alloc(0) }), { kind: 'hello' }, 'the fields in order, and nothing else');
});

t.test('a hello cut inside its name, into records of one byte, is still the whole name', async (t) => {
  const message = helloMessage({ extensions: [nameExtension('backend{mesh=default}')] });
  const cut = message.indexOf('mesh=');
  t.equal(nameOf(parseClientHello(records(message, [cut]))), 'backend{mesh=default}');
  t.equal(nameOf(parseClientHello(records(message, new Array<number>(message.length).fill(1)))), 'backend{mesh=default}');
});

t.test('an impossible record ends it with its header, first or later, without waiting for more', async (t) => {
  const message = helloMessage();
  const first = record(22, message.subarray(0, 30));
  for (const header of ['1603010000', '1603014001', '160301ffff']) {
    t.equal(parseClientHello(Buffer.from(header, 'hex')).kind, 'malformed', `first ${header}`);
    t.equal(parseClientHello(Buffer.concat([first, Buffer.from(header, 'hex')])).kind, 'malformed', `later ${header}`);
  }
  for (const type of [20, 21, 23, 24, 0x50]) {
    t.equal(parseClientHello(Buffer.concat([first, Buffer.of(type)])).kind, 'malformed', `record of type ${type} in between`);
  }
  t.equal(parseClientHello(Buffer.concat([first, Buffer.of(22, 2)])).kind, 'malformed', 'record of another version in between');
  t.equal(parseClientHello(Buffer.concat([first, Buffer.of(22, 3)])).kind, 'incomplete');
});

t.test('a handshake message that is not a ClientHello, or is too short for one, is malformed by its header', async (t) => {
  t.equal(parseClientHello(record(22, handshake(2, Buffer.alloc(100))).subarray(0, 6)).kind, 'malformed');
  for (const size of [0, 40]) {
    t.equal(parseClientHello(record(22, handshake(1, Buffer.alloc(size))).subarray(0, 9)).kind, 'malformed', `${size} bytes`);
  }
});

t.test('a claim over the limit ends after nine bytes, and a hello that is larger in its records at the limit', async (t) => {
  t.equal(parseClientHello(Buffer.from('160301400001ffffff', 'hex')).kind, 'too-large', 'a claim of 16 MB');
  t.equal(parseClientHello(Buffer.from('160301400001003ffd', 'hex')).kind, 'too-large', 'one byte more than the limit');
  t.same(parseClientHello(Buffer.from('160301400001003ffc', 'hex')), { kind: 'incomplete', needed: 16_384 });
  t.equal(parseClientHello(Buffer.from('160301010001000200', 'hex'), 515).kind, 'too-large', 'a limit of the caller');

  const padding = (bytes: number) => extension(21, Buffer.alloc(bytes));
  const base = records(helloMessage({ extensions: [nameExtension('backend'), padding(0)] })).length;
  const exact = records(helloMessage({ extensions: [nameExtension('backend'), padding(16_384 - base)] }));
  t.equal(exact.length, 16_384);
  t.equal(nameOf(parseClientHello(exact)), 'backend', 'exactly the limit');
  const over = records(helloMessage({ extensions: [nameExtension('backend'), padding(16_385 - base)] }));
  t.same(parseClientHello(over.subarray(0, 16_383)), { kind: 'incomplete', needed: 16_384 });
  for (const length of [16_384, 16_385]) t.equal(parseClientHello(over.subarray(0, length)).kind, 'too-large', `${length} bytes`);
  t.equal(nameOf(parseClientHello(over, 65_536)), 'backend', 'a higher limit');

  const dripped = records(exact.subarray(5), new Array<number>(16_384).fill(1));
  t.equal(parseClientHello(dripped.subarray(0, 16_383)).kind, 'incomplete');
  for (const length of [16_384, dripped.length]) t.equal(parseClientHello(dripped.subarray(0, length)).kind, 'too-large');
});

t.test('what is not TLS is known by its first byte or two, and named where a few more tell', async (t) => {
  const cases: [string | Buffer, RegExp][] = [
    ['GET / HTTP/1.1\r\n', /HTTP/],
    ['CONNECT a:1 HTTP/1.1\r\n', /HTTP/],
    ['SSH-2.0-OpenSSH_9.6\r\n', /SSH/],
    ['PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n', /PROXY/],
    [Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex'), /PROXY/],
    [Buffer.from('802e0103010015', 'hex'), /SSLv2/],
    [Buffer.from('16fefd0000000000000000', 'hex'), /DTLS/],
    [Buffer.from('0000000804d2162f', 'hex'), /0x00/],
    [Buffer.from('1503010002', 'hex'), /0x15/],
    [Buffer.alloc(100), /0x00/],
  ];
  for (const [bytes, detail] of cases) {
    const result = parseClientHello(Buffer.from(bytes as string, 'latin1'));
    t.match(result, { kind: 'not-tls', detail }, String(detail));
  }
  t.equal(parseClientHello(Buffer.from('G')).kind, 'not-tls');
  t.equal(parseClientHello(Buffer.from('1602', 'hex')).kind, 'not-tls');
  t.same(parseClientHello(Buffer.alloc(0)), { kind: 'incomplete', needed: 1 });
});

t.test('a plain Uint8Array in the middle of a larger buffer is read like a Buffer, and stays as it was', async (t) => {
  const flight = records(helloMessage());
  const larger = new Uint8Array(flight.length + 20).fill(0xee);
  larger.set(flight, 9);
  const view = larger.subarray(9, 9 + flight.length);
  const before = Buffer.from(view);
  t.same(parseClientHello(view), parseClientHello(flight));
  t.equal(nameOf(parseClientHello(view)), 'backend{mesh=default}');
  t.equal(Buffer.compare(before, view), 0);
});

t.test('one hello does not remember another', async (t) => {
  for (let i = 0; i < 50; i++) t.equal(nameOf(parse({ extensions: [nameExtension(`n${i}`), extension(23)] })), `n${i}`);
});

const kinds = ['incomplete', 'hello', 'not-tls', 'malformed', 'too-large'];

t.test('no bytes make it throw', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  const behind = (head: string) => bytes.map((tail) => Buffer.concat([Buffer.from(head, 'hex'), tail]));
  const any = fc.oneof(bytes, behind('160301'), behind('1603010080010000700303'), behind('16030100010116030300ff00008c0303'));
  fc.assert(
    fc.property(any, (input) => kinds.includes(parseClientHello(input).kind)),
    { numRuns: 3_000 },
  );
  t.pass('3,000 inputs');
});

t.test('any well-formed hello, in any records, gives back what was put in', async (t) => {
  const name = fc.string({
    unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 255,
  });
  const alpn = fc.array(fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 5 });
  const others = fc.uniqueArray(fc.integer({ min: 100, max: 65_535 }), { maxLength: 20 });
  const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 30 });
  fc.assert(
    fc.property(name, alpn, others, sizes, (serverName, protocols, types, cuts) => {
      const extensions = [
        ...types.map((type) => extension(type, Buffer.alloc(type % 9))),
        nameExtension(serverName),
        alpnExtension(protocols),
      ];
      const flight = records(helloMessage({ extensions }), cuts);
      const result = parseClientHello(flight);
      if (result.kind !== 'hello') return false;
      const { hello } = result;
      return hello.serverName === serverName && hello.alpn.join('\0') === protocols.join('\0') && hello.length === flight.length;
    }),
    { numRuns: 500 },
  );
  t.pass('500 hellos');
});

t.test('the one ticket that a client offers is found, of TLS 1.2 and of 1.3', async (t) => {
  const ticketIn = (...extensions: readonly Buffer[]): unknown => {
    const result = parse({ extensions });
    if (result.kind !== 'hello') return result.kind;
    const { ticket } = result.hello;
    return ticket === null || ticket === 'unclear' ? ticket : Buffer.from(ticket).toString('latin1');
  };
  const older = (ticket: string): Buffer => extension(35, Buffer.from(ticket));
  const identity = (ticket: string): Buffer => Buffer.concat([sized(2, Buffer.from(ticket)), Buffer.alloc(4)]);
  const binders = sized(2, sized(1, Buffer.alloc(32)));
  const newer = (...tickets: readonly string[]): Buffer =>
    extension(41, Buffer.concat([sized(2, Buffer.concat(tickets.map(identity))), binders]));
  t.equal(ticketIn(), null);
  t.equal(ticketIn(older('')), null, 'an empty one asks for a ticket');
  t.equal(ticketIn(older('abc')), 'abc');
  t.equal(ticketIn(newer('abc')), 'abc');
  t.equal(ticketIn(older(''), newer('abc')), 'abc');
  for (const [what, ...extensions] of [
    ['several', newer('abc', 'def')],
    ['one of each kind', older('abc'), newer('abc')],
    ['none in the list', newer()],
    ['an empty one', newer('')],
    ['a list beyond the extension', extension(41, Buffer.from([0, 200, 0, 1, 65, 0, 0, 0, 0]))],
    ['an identity beyond the list', extension(41, Buffer.from([0, 7, 0, 200, 65, 0, 0, 0, 0]))],
    ['nothing', extension(41, Buffer.alloc(0))],
    ['one byte', extension(41, Buffer.alloc(1))],
  ] as const)
    t.equal(ticketIn(...extensions), 'unclear', what);
});
