// Tests that a refused connection leaves all facts that explaining it needs, here by the egress
// that refused it.
import { once } from 'node:events';
import { get } from 'node:http';
import t from 'tap';
import type { Trace } from '../../src/explain/trace.ts';
import { CONCURRENCIES, gone, startZone } from './zone.ts';

for (const concurrency of CONCURRENCIES) {
  t.test(`a session that was refused is explained by its id, on ${concurrency} data sides`, async (t) => {
    await using zone = await startZone(t, { concurrency });
    const client = await zone.connect('api{mesh=default}', zone.mesh.client('batch'), { maxVersion: 'TLSv1.2' });
    await gone(client);
    const record = await zone.record(({ reason }) => reason === 'denied');
    t.match(record, {
      sni: 'api{mesh=default}',
      alpn: ['kuma'],
      tlsOffered: 'TLSv1.2',
      tlsVersion: 'TLSv1.2',
      clientAddress: '127.0.0.1',
      spiffeIds: ['spiffe://default/batch'],
      snapshotVersion: zone.egress.snapshot().version,
    });
    t.not(record.certificateIssuer, '');
    t.ok(Date.parse(record.certificateExpiry) > 0);
    const trace = zone.egress.explain({ id: record.id });
    t.match(trace, {
      outcome: 'refused',
      reason: 'denied',
      endsAt: 'permission',
      detail: record.detail,
      record: { id: record.id, changed: false },
      connection: { from: [...record.uris], certificateIssuer: record.certificateIssuer },
    });
    t.match(trace.advice, {
      resource: 'TrafficPermission default/frontend-out',
      text: /^let kuma\.io\/service: batch in by TrafficPermission default\/frontend-out \(.*zone\.yaml:\d+\)$/,
    });
  });
}

t.test('what never became TLS has a record with an id, the address and the configuration, and is explained', async (t) => {
  await using zone = await startZone(t);
  const plain = zone.raw();
  plain.write('GET / HTTP/1.1\r\n\r\n');
  await gone(plain);
  const record = await zone.record(({ reason }) => reason === 'not-tls');
  t.match(record, { clientAddress: '127.0.0.1', sni: '', tlsOffered: '', snapshotVersion: zone.egress.snapshot().version });
  t.not(record.detail, '');
  const trace = zone.egress.explain({ id: record.id });
  t.match(trace, { outcome: 'refused', reason: 'not-tls', endsAt: 'hello', detail: record.detail });
  t.same(new Set(trace.steps.slice(1).map(({ outcome }) => outcome)), new Set(['not-reached']));
});

t.test('an SNI with odd characters is explained as it was sent', async (t) => {
  await using zone = await startZone(t);
  const client = zone.connect('caf\\é"{mesh=default}', zone.mesh.client('frontend'));
  await t.rejects(client);
  const record = await zone.record(({ reason }) => reason === 'no-route');
  t.equal(zone.egress.explain({ id: record.id }).detail, record.detail);
});

t.test('when the configuration has changed since, the explanation says so and goes by the one that is live', async (t) => {
  await using zone = await startZone(t);
  const client = await zone.connect('api{mesh=default}', zone.mesh.client('batch'));
  await gone(client);
  const record = await zone.record(({ reason }) => reason === 'denied');
  zone.write(
    'aa.yaml',
    `type: TrafficPermission
mesh: default
name: aa-batch-too
sources: [{ match: { kuma.io/service: batch } }]
destinations: [{ match: { kuma.io/service: api } }]
`,
  );
  t.equal((await zone.egress.reload()).kind, 'live');
  const trace = zone.egress.explain({ id: record.id });
  t.match(trace, {
    outcome: 'allowed',
    reason: null,
    record: { changed: true, reason: 'denied', configuration: record.snapshotVersion },
  });
  t.match(trace.notes[0], /^the configuration has changed since: session \S+ was judged by [0-9a-f]{16} and ended with denied/);
});

t.test('a session that went through is explained with its end', async (t) => {
  await using zone = await startZone(t);
  const client = await zone.connect('api{mesh=default}', zone.mesh.client('frontend'));
  client.end();
  await gone(client);
  const record = await zone.record(({ reason }) => reason === 'closed');
  t.match(zone.egress.explain({ id: record.id }), { outcome: 'allowed', reason: 'closed', endsAt: null, advice: null });
});

t.test('the admin page and the process give the same answer, and a session that is not remembered is none', async (t) => {
  await using zone = await startZone(t);
  const question = { sni: 'apii{mesh=default}', from: ['spiffe://default/frontend'] };
  const query = new URLSearchParams({ sni: question.sni, from: question.from[0]! });
  const request = get({ port: zone.egress.adminPort, host: '127.0.0.1', path: `/explain?${query.toString()}`, agent: false });
  const [response] = (await once(request, 'response')) as [AsyncIterable<Buffer>];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  const trace = zone.egress.explain(question);
  t.same(JSON.parse(body) as Trace, trace);
  t.match(trace.nearest[0], { kind: 'spelling', name: 'api{mesh=default}' });
  t.throws(() => zone.egress.explain({ id: '0.99' }), { message: 'session "0.99": not among the last ones that ended' });
  t.throws(() => zone.egress.explain({ sni: 'x', from: ['nobody'] }), { message: /carries a SPIFFE id/ });
});
