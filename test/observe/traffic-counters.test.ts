import t from 'tap';
import { EnvoyHistogram } from '../../src/observe/envoy-histogram.ts';
import { TrafficCounters } from '../../src/observe/traffic-counters.ts';
import { sessionRecord, unmatched } from './record.ts';

t.test('a session that was carried counts for the listener, for its cluster and for its endpoint', async (t) => {
  const counters = new TrafficCounters();
  counters.record(sessionRecord());
  t.match(counters.listener, { ended: 1, tlsFound: 1, sniFound: 1, alpnFound: 1, handshakes: 0 });
  const cluster = counters.cluster('default:backend');
  t.match(cluster, { sessions: 1, attempts: 1, connected: 1, connectFailed: 0, bytesUp: 100, bytesDown: 2000, allowed: 0 });
  t.match([cluster.connectMs.count, cluster.connectMs.sum], [1, 2]);
  t.same([...cluster.hosts], [['10.1.0.1:10001', { sessions: 1, failed: 0, requestsGood: 0, requestsBad: 0, requestsLate: 0 }]]);
});

t.test('what has no route counts for the listener only, by why it has none', async (t) => {
  const counters = new TrafficCounters();
  for (const reason of ['no-route', 'no-sni', 'client-gone', 'hello-timeout', 'hello-too-large', 'over-limit'] as const)
    counters.record(unmatched({ reason, sni: '', helloMs: reason === 'no-sni' ? 1 : -1 }));
  counters.record(unmatched({ reason: 'not-tls', helloMs: -1 }));
  t.match(counters.listener, {
    ended: 0,
    noRoute: 3,
    goneBeforeRoute: 1,
    helloTimeout: 1,
    helloTooLarge: 1,
    overflow: 1,
    tlsFound: 1,
    sniNotFound: 1,
    tlsNotFound: 1,
  });
});

t.test('a handshake counts as verified, or by what the client lacked', async (t) => {
  const counters = new TrafficCounters();
  const terminated = { mode: 'terminate', tlsVersion: 'TLSv1.3', cluster: 'default:es' } as const;
  counters.record(sessionRecord(terminated));
  counters.record(sessionRecord({ ...terminated, reason: 'denied', attempts: 0, connectMs: -1 }));
  for (const reason of ['handshake-failed', 'no-client-certificate', 'client-not-trusted', 'wrong-mesh'] as const)
    counters.record(sessionRecord({ ...terminated, reason, attempts: 0, connectMs: -1 }));
  for (const reason of ['client-not-trusted', 'wrong-mesh'] as const)
    counters.record(sessionRecord({ ...terminated, reason, check: 'names', attempts: 0, connectMs: -1 }));
  t.match(counters.listener, { ended: 8, handshakes: 2, handshakeFailed: 1, noCertificate: 1, notTrusted: 2, wrongNames: 2 });
  t.same([...counters.listener.tlsVersions], [['TLSv1.3', 2]]);
  t.match(counters.cluster('default:es'), { allowed: 1, denied: 1, attempts: 1 });
});

t.test('failed attempts are distinguished from the one whose client left', async (t) => {
  const counters = new TrafficCounters();
  counters.record(sessionRecord({ reason: 'connect-refused', attempts: 3, connectMs: -1 }));
  counters.record(sessionRecord({ reason: 'connect-timeout', attempts: 1, connectMs: -1 }));
  counters.record(sessionRecord({ reason: 'client-gone', attempts: 2, connectMs: -1 }));
  counters.record(sessionRecord({ attempts: 2 }));
  const cluster = counters.cluster('default:backend');
  t.match(cluster, { attempts: 8, connectFailed: 6, connectTimeout: 1, gaveUp: 2, cancelled: 1, connected: 1 });
});

t.test('no cluster but those of the configuration keeps counters, and no cluster those of endless addresses', async (t) => {
  const counters = new TrafficCounters();
  for (let i = 0; i < 1000; i++) counters.record(sessionRecord({ endpoint: `10.0.${i >> 8}.${i & 255}:80` }));
  t.equal(counters.cluster('default:backend').hosts.size, 256);
  t.equal(counters.cluster('default:backend').sessions, 1000);
  counters.keep(new Map([['default:other', {}]]));
  t.equal(counters.cluster('default:backend').sessions, 0);
});

t.test('a total of ended and open connections never goes back', async (t) => {
  const { tried } = new TrafficCounters().cluster('a');
  t.equal(tried.of(3, 2), 5);
  // Closed, and its record is still on its way.
  t.equal(tried.of(3, 1), 5);
  t.equal(tried.of(6, 1), 7);
});

t.test('a quantile lies in the bucket that it falls into', async (t) => {
  const histogram = new EnvoyHistogram();
  t.equal(histogram.quantile(0.5), 0);
  for (const value of [0.2, 0.3, 3, 4_000_000]) histogram.observe(value);
  t.equal(histogram.quantile(0.5), 0.5);
  t.ok(histogram.quantile(0.75) > 1 && histogram.quantile(0.75) <= 5);
  t.equal(histogram.quantile(1), 3_600_000);
});
