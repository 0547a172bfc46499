/** The one list of heads that are never served, which traffic and `explain` ask. */
import t from 'tap';
import { answerFault, checkHttp1, checkHttp2, UNSERVED } from '../../src/routing/check-head.ts';
import type { UnservedHead } from '../../src/routing/check-head.ts';
import { fieldsOf, valuesOf } from '../../src/wire/flat-headers.ts';
import type { FlatHeaders } from '../../src/wire/flat-headers.ts';

interface Asked {
  readonly version?: string;
  readonly method?: string;
  readonly target?: string;
  readonly host?: string | null;
  readonly more?: FlatHeaders;
}

function check({ version = '1.1', method = 'GET', target = '/x', host = 'a.test', more = [] }: Asked) {
  const headers = [...(host === null ? [] : ['host', host]), ...more];
  return checkHttp1({ version, method, target, headers, fields: fieldsOf(headers) });
}

const UNSERVED_HTTP1: readonly (readonly [asked: Asked, answer: UnservedHead['answer'], why: RegExp])[] = [
  [{ version: '1.0' }, 'upgradeRequired', /HTTP\/1\.0/],
  [{ more: Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? `a${i}` : 'b')) }, 'headTooLarge', /over 100 headers/],
  [{ more: ['host', 'a.test'] }, 'badRequest', /more than one Host/],
  [{ more: ['transfer-encoding', 'gzip'] }, 'notImplemented', /chunked/],
  [{ more: ['transfer-encoding', 'chunked', 'transfer-encoding', 'chunked'] }, 'notImplemented', /chunked/],
  [{ more: ['transfer-encoding', 'chunked', 'content-length', '1'] }, 'badRequest', /end of its body/],
  [{ more: ['content-length', '1', 'content-length', '1'] }, 'badRequest', /end of its body/],
  [{ more: ['connection', 'close, Host'] }, 'badRequest', /Connection names host/],
  [{ more: ['connection', 'close', 'connection', 'content-length'] }, 'badRequest', /names content-length/],
  [{ more: ['connection', 'transfer-encoding'] }, 'badRequest', /names transfer-encoding/],
  [{ method: 'TRACE' }, 'badRequest', /TRACE/],
  [{ method: 'CONNECT', target: 'a.test:80' }, 'notFound', /CONNECT/],
  [{ target: 'x' }, 'badRequest', /neither a path nor a URL/],
  [{ target: 'ftp://a.test/' }, 'badRequest', /neither a path nor a URL/],
  [{ host: null }, 'noHost', /no host/],
  [{ host: '' }, 'noHost', /no host/],
  [{ host: 'a/b' }, 'badRequest', /a\/b cannot be/],
  [{ host: 'a@b', target: 'http://a.test/' }, 'badRequest', /a@b cannot be/],
  [{ target: 'http://a@b/' }, 'badRequest', /a@b cannot be/],
  [{ method: 'OPTIONS', target: '*' }, 'notFound', /\* of OPTIONS/],
  [{ target: '*' }, 'badRequest', /\* of GET/],
  [{ target: '/a#b' }, 'badRequest', /a character/],
  [{ target: '/a b' }, 'badRequest', /a character/],
  [{ more: ['upgrade', 'h2c', 'upgrade', 'web\x01socket'] }, 'upgrade', /web\\x01socket/],
];

t.test('a head of HTTP/1 that is not served has its answer and says why', async (t) => {
  for (const [asked, answer, why] of UNSERVED_HTTP1) t.match(check(asked), { kind: 'unserved', answer, why });
  const tried = new Set(UNSERVED_HTTP1.map(([, answer]) => answer));
  t.same([...tried].sort(), Object.keys(UNSERVED).sort(), 'each answer has a head here');
});

t.test('a head of HTTP/1 that is served names its path and its authority', async (t) => {
  t.same(check({ target: '/a?b' }), { kind: 'head', path: '/a?b', authority: 'a.test' });
  t.same(check({ target: 'http://c.test:80?d' }), { kind: 'head', path: '/?d', authority: 'c.test:80' });
  t.same(check({ target: 'HTTPS://c.test', host: null }), { kind: 'head', path: '/', authority: 'c.test' });
  for (const more of [
    ['transfer-encoding', 'Chunked'],
    ['content-length', '5'],
    ['upgrade', 'H2C', 'connection', 'upgrade, http2-settings'],
  ])
    t.match(check({ more }), { kind: 'head' });
});

t.test('a head of HTTP/2 is held to the same list', async (t) => {
  const asked = (head: Partial<Parameters<typeof checkHttp2>[0]>) =>
    checkHttp2({ method: 'GET', path: '/x', authority: 'a.test', ...head });
  t.equal(asked({}), null);
  t.match(asked({ method: 'TRACE' }), { answer: 'badRequest' });
  t.match(asked({ method: 'FOO\n' }), { answer: 'badRequest', why: /FOO\\x0a/ });
  t.match(asked({ method: 'CONNECT' }), { answer: 'notFound' });
  t.match(asked({ method: 'OPTIONS', path: '*', authority: '' }), { answer: 'notFound' });
  t.match(asked({ path: '*' }), { answer: 'badRequest' });
  t.match(asked({ path: '/a#' }), { answer: 'badRequest' });
  t.match(asked({ authority: '' }), { answer: 'noHost' });
  t.match(asked({ authority: 'a/b' }), { answer: 'badRequest' });
});

t.test('an answer whose end is not plain is not sound', async (t) => {
  const isSound = (status: number, ...headers: string[]): boolean => answerFault(status, headers, fieldsOf(headers)) === null;
  t.ok(isSound(200, 'content-length', '5'));
  t.ok(isSound(200, 'transfer-encoding', 'CHUNKED'));
  t.ok(isSound(204, 'content-length', '00'));
  t.notOk(isSound(204, 'content-length', '1'));
  t.notOk(isSound(204, 'transfer-encoding', 'chunked'));
  t.notOk(isSound(199));
  t.notOk(isSound(200, 'transfer-encoding', 'gzip'));
  t.notOk(isSound(200, 'transfer-encoding', 'chunked', 'transfer-encoding', 'chunked'));
  t.notOk(isSound(200, ...Array.from({ length: 202 }, () => 'a')));
});

t.test('one pass over a head finds what a walk for each name finds', async (t) => {
  const heads: readonly FlatHeaders[] = [
    [],
    ['a', 'b'],
    ['host', 'a', 'host', '', 'content-type', 'x', 'content-type', 'y', 'x-request-id', '', 'x-request-id', '1'],
    ['connection', 'A, b', 'te', 'x', 'connection', '', 'expect', '100-Continue', 'grpc-status', '', 'grpc-status', '5'],
    [
      'upgrade',
      'a',
      'transfer-encoding',
      'b',
      'content-length',
      'c',
      'upgrade',
      'd',
      'transfer-encoding',
      'e',
      'content-length',
      'f',
    ],
  ];
  for (const headers of heads) {
    const all = (name: string): readonly string[] => valuesOf(headers, name);
    const names = all('connection').flatMap((each) => each.split(',').map((name) => name.trim().toLowerCase()));
    t.same(fieldsOf(headers), {
      hosts: all('host'),
      transferEncodings: all('transfer-encoding'),
      contentLengths: all('content-length'),
      upgrades: all('upgrade'),
      expects: all('expect'),
      connectionNames: new Set(names),
      contentType: all('content-type')[0] ?? '',
      requestId: all('x-request-id')[0] ?? '',
      traceparent: '',
      grpcStatus: all('grpc-status')[0] ?? null,
    });
  }
});
