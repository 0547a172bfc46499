// Requests appear everywhere: records, log, metrics, Envoy's pages, decisions, explain.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import type { RequestRecord } from '../../src/egress.ts';
import { readUntilGone, shopService, SHOP } from './http-zone.ts';
import { until } from './until.ts';
import { CONCURRENCIES, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

async function startService(t: Test): Promise<number> {
  const server: Server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      if (request.url === '/cut') {
        response.write('half');
        setImmediate(() => request.socket.destroy());
      } else if (request.url === '/bad') {
        response.statusCode = 500;
        response.end('no');
      } else if (request.url === '/gone') request.socket.destroy();
      else if (request.url !== '/never') response.end(`hello ${request.headers.host}`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

interface Seen {
  readonly zone: Zone;
  readonly requests: RequestRecord[];
  readonly lines: Record<string, unknown>[];
  /** Resolves when this many requests have ended. */
  readonly ended: (count: number) => Promise<void>;
  readonly page: (path: string) => Promise<string>;
}

async function startSeen(t: Test, concurrency: 1 | 2): Promise<Seen> {
  const port = await startService(t);
  const lines: Record<string, unknown>[] = [];
  const zone = await startZone(t, {
    concurrency,
    logLevel: 'info',
    logDestination: { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    lookup: async () => ['127.0.0.1'],
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: () => shopService(`shop.partner.test:${port}`, { clients: ['frontend'] }),
  });
  const requests: RequestRecord[] = [];
  zone.egress.onRequest((record) => requests.push(record));
  return {
    zone,
    requests,
    lines,
    ended: (count) => until(`${count} requests have ended`, () => requests.length >= count),
    page: async (path) => (await fetch(`http://127.0.0.1:${zone.egress.adminPort}${path}`)).text(),
  };
}

function get(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: shop.mesh\r\n${more}\r\n`;
}

const LAST = 'Connection: close\r\n';

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('a request that was served has a record, a log line, and its numbers', async (t) => {
      const { zone, requests, lines, ended, page } = await startSeen(t, concurrency);
      await using _ = zone;
      const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
      await readUntilGone(socket, `${get('/a?token=secret', 'X-Request-Id: me\r\n')}${get('/bad', LAST)}`);
      await ended(2);
      const session = await zone.record(({ destination }) => destination === 'shop');
      t.match(session, { reason: 'closed', attempts: 1, requests: 2 });
      t.ok(session.connectMs >= 0 && session.endpoint !== '', 'the session has its endpoint and the time to connect');
      const [first, second] = requests;
      t.match(first, {
        session: session.id,
        id: `${session.id}.1`,
        reason: 'closed',
        mesh: 'default',
        destination: 'shop',
        spiffeIds: ['spiffe://default/frontend'],
        protocol: 'HTTP/1.1',
        method: 'GET',
        path: '/a',
        authority: 'shop.mesh',
        host: 'shop.partner.test',
        requestId: 'me',
        status: 200,
        flags: '',
        details: 'via_upstream',
        endpoint: session.endpoint,
        attempts: 1,
        connections: 1,
        bytesUp: 0,
        bytesDown: 'hello shop.partner.test'.length,
      });
      t.ok(first !== undefined && Object.isFrozen(first) === (concurrency === 1), 'frozen where it is not posted');
      t.ok(first !== undefined && first.totalMs >= first.serviceTimeMs && first.serviceTimeMs >= 0);
      t.match(second, { id: `${session.id}.2`, status: 500, reason: 'closed', attempts: 0, connectMs: -1 });
      await until('the lines are there', () => lines.filter(({ msg }) => msg === 'request served').length === 2);
      t.match(
        lines.find(({ msg }) => msg === 'request served'),
        { level: 'info', path: '/a', status: 200 },
      );
      t.notOk(JSON.stringify(lines).includes('secret'), 'the query of a path is not logged');

      const stats = await page('/stats');
      for (const line of [
        'cluster.default_shop.upstream_rq_total: 2',
        'cluster.default_shop.upstream_rq_2xx: 1',
        'cluster.default_shop.upstream_rq_200: 1',
        'cluster.default_shop.upstream_rq_5xx: 1',
        'cluster.default_shop.upstream_rq_completed: 2',
        'cluster.default_shop.upstream_rq_active: 0',
        'cluster.default_shop.upstream_cx_total: 1',
        'cluster.default_shop.upstream_cx_http1_total: 1',
        'http.shop.downstream_rq_total: 2',
        'http.shop.downstream_rq_http1_total: 2',
        'http.shop.downstream_rq_2xx: 1',
        'http.shop.downstream_rq_5xx: 1',
        'http.shop.downstream_cx_total: 1',
        'http.shop.rbac.allowed: 2',
      ])
        t.ok(stats.split('\n').includes(line), line);
      const prometheus = await page('/stats/prometheus');
      t.match(prometheus, /envoy_cluster_upstream_rq_xx\{envoy_response_code_class="2",envoy_cluster_name="default_shop"\} 1\n/);
      t.match(prometheus, /envoy_cluster_upstream_rq_time_count\{envoy_cluster_name="default_shop"\} 2\n/);
      t.match(prometheus, /envoy_rbac_allowed\{listener="http\.shop",envoy_http_conn_manager_prefix="shop"\} 2\n/);

      t.match(prometheus, /zone_egress_requests_total\{mesh="default",code_class="2xx",reason="closed"\} 1\n/);
      t.match(prometheus, /zone_egress_request_seconds_count 2\n/);
    });

    t.test('a request that was refused is in the decisions, and explain says why', async (t) => {
      const { zone, requests, lines, ended, page } = await startSeen(t, concurrency);
      await using _ = zone;
      const socket = await zone.connect(SHOP, zone.mesh.client('batch'));
      await readUntilGone(socket, `${get('/x')}${get('/y', LAST)}`);
      await ended(2);
      t.match(requests, [
        { reason: 'denied', status: 403, path: '/x', details: 'rbac_access_denied_matched_policy[none]', endpoint: '' },
        { reason: 'denied', status: 403, path: '/y' },
      ]);
      t.match(requests[0]?.detail, /batch/);
      const { requests: told } = JSON.parse(await page('/decisions?reason=denied')) as { requests: RequestRecord[] };
      t.match(told, [{ path: '/y' }, { path: '/x', detail: requests[0]?.detail }]);
      await until('the lines are there', () => lines.filter(({ msg }) => msg === 'request refused').length === 2);
      const text = await page(`/explain?id=${requests[0]?.id ?? ''}&output=text`);
      t.match(text, /^refused at permission: denied\n/);
      t.match(text, /GET \/x is answered with 403 by the egress/);
      t.match(await page('/stats'), /^http\.shop\.rbac\.denied: 2$/m);
      t.match(
        await page('/stats/prometheus'),
        /zone_egress_requests_total\{mesh="default",code_class="4xx",reason="denied"\} 2\n/,
      );
    });

    t.test('a service that fails, a client that leaves, and bytes that are not HTTP have flags', async (t) => {
      const { zone, requests, ended, page } = await startSeen(t, concurrency);
      await using _ = zone;
      const client = zone.mesh.client('frontend');
      await readUntilGone(await zone.connect(SHOP, client), get('/cut'));
      await ended(1);
      await readUntilGone(await zone.connect(SHOP, client), get('/gone', LAST));
      await ended(2);
      await readUntilGone(await zone.connect(SHOP, client), 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
      await ended(3);
      const leaving = await zone.connect(SHOP, client);
      leaving.write(get('/never'));
      await until('the request is counted', async () =>
        /cluster\.default_shop\.upstream_rq_active: 1\n/.test(await page('/stats')),
      );
      leaving.destroy();
      await ended(4);
      t.match(requests, [
        { path: '/cut', reason: 'endpoint-failed', status: 200, flags: 'UC' },
        { path: '/gone', reason: 'endpoint-failed', status: 503, flags: 'UC' },
        { path: '/', reason: 'malformed-request', status: 400, flags: 'DPE', endpoint: '' },
        { path: '/never', reason: 'client-reset', status: 0, flags: 'DC', details: 'downstream_remote_disconnect' },
      ]);
      t.match(requests[0]?.details, /^upstream_reset_after_response_started\{connection_termination\}$/);
      t.match(await page(`/explain?id=${requests[2]?.id ?? ''}&output=text`), /^refused at request: malformed-request\n/);
      t.match(await page('/stats'), /^http\.shop\.downstream_rq_rx_reset: 1$/m);
    });
  });
}

t.test('explain says what a request would get', async (t) => {
  const { zone, page } = await startSeen(t, 1);
  await using _ = zone;
  const ask = (more: string): Promise<string> => page(`/explain?output=text&sni=${encodeURIComponent(SHOP)}&${more}`);
  const allowed = await ask('from=spiffe://default/frontend&method=GET&path=/x&header=Host:+shop.mesh');
  t.match(allowed, /^allowed\n/);
  t.match(allowed, /\nrequest +passed +GET \/x: no rate limit and no fault\n/);
  t.match(allowed, /GET \/x goes out with the Host shop\.partner\.test\n/);
  t.match(await ask('from=spiffe://default/batch&method=GET'), /GET \/ is answered with 403 by the egress/);
  t.match(await ask('from=spiffe://default/batch&path=x'), /path "x": it begins with a slash/);
  t.match(await ask('header=nonsense'), /header "nonsense": wanted is name: value/);
});
