import t from 'tap';
import type { HttpRoute, RequestRateLimit, SenderRule } from '../../src/model/http-route.ts';
import { limitId, limitOf, mayHold, recordedHeaders, timeoutsFor } from '../../src/routing/request-rules.ts';

const header = (name: string): SenderRule => ({ kind: 'header', name, match: { kind: 'exact', value: 'x' } });
const limit = (...clients: readonly SenderRule[]): RequestRateLimit => ({ requests: 1, intervalMs: 1_000, clients });
const http = (...rateLimits: readonly RequestRateLimit[]): HttpRoute => ({
  autoHostRewrite: true,
  answersDenied: true,
  rateLimits,
});

t.test('a record keeps the headers that rules read and x-kuma-tags, no secrets and nothing that is long', async (t) => {
  const route = http(
    limit(header('a')),
    limit(header('authorization'), header('cookie'), header('x-auth-token'), header('api-key'), header('x-amz-security-token')),
    limit(header('long')),
  );
  const headers = [
    'a',
    '1',
    'b',
    '2',
    'a',
    '3',
    'authorization',
    'Bearer x',
    'cookie',
    'id=1',
    'x-auth-token',
    'y',
    'api-key',
    'z',
    'x-amz-security-token',
    'w',
    'long',
    'x'.repeat(3_000),
  ];
  t.same(recordedHeaders(route, headers), { 'x-kuma-tags': [], a: ['1', '3'] });
  t.same(recordedHeaders(null, ['x-kuma-tags', '&a=b&', 'c', 'd']), { 'x-kuma-tags': ['&a=b&'] });
  const many = http(...Array.from({ length: 100 }, (_, i) => limit(header(`h${i}`))));
  t.equal(Object.keys(recordedHeaders(many, [])).length, 16);
});

t.test('a rule about a header that is not known leaves open whether it holds, unless another does not', async (t) => {
  const sender = { headers: ['a', 'x', 'b', 'y'], uris: [], known: ['a', 'b'] };
  t.equal(mayHold([header('a')], sender), true);
  t.equal(mayHold([header('b')], sender), false);
  t.equal(mayHold([header('a'), header('c')], sender), null);
  t.equal(mayHold([header('b'), header('c')], sender), false);
  t.equal(mayHold(undefined, sender), true);
  t.equal(mayHold([header('c')], { ...sender, known: null }), false, 'all are known');
  const [first, open] = [limit(header('a')), limit(header('c'))];
  t.equal(limitOf(http(limit(header('b')), first), sender), first);
  t.equal(limitOf(http(open, first), sender), undefined);
  t.equal(limitOf(http(first, open), sender), first);
  t.equal(limitOf(http(limit(header('b'))), sender), null);
});

t.test('limits that read and allow the same have one id', async (t) => {
  t.equal(limitId(limit(header('a'))), limitId(limit(header('a'))));
  t.not(limitId(limit(header('a'))), limitId(limit(header('b'))));
  t.not(limitId({ requests: 1, intervalMs: 1 }), limitId({ requests: 2, intervalMs: 1 }));
});

t.test('the timeouts of a request are those of the first rule that covers its sender, with those of all', async (t) => {
  const timed: HttpRoute = {
    autoHostRewrite: false,
    answersDenied: true,
    timeouts: { requestMs: 5, streamIdleMs: 6 },
    clientTimeouts: [
      { clients: [{ kind: 'header', name: 'x-a', match: { kind: 'present' } }], requestMs: 1 },
      { clients: [{ kind: 'client', principal: { kind: 'uri-list', match: 'prefix', value: 'spiffe://m/' } }], requestMs: 2 },
    ],
  };
  const uris = ['spiffe://m/web'];
  t.same(timeoutsFor(timed, { headers: ['x-a', '1'], uris, known: null }), { requestMs: 1, streamIdleMs: 6 });
  t.same(timeoutsFor(timed, { headers: [], uris, known: null }), { requestMs: 2, streamIdleMs: 6 });
  t.same(timeoutsFor(timed, { headers: [], uris: ['spiffe://n/web'], known: null }), { requestMs: 5, streamIdleMs: 6 });
  t.equal(timeoutsFor(timed, { headers: [], uris, known: [] }), undefined, 'the header is not known');
});
