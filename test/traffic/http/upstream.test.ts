// Pools of connections to services, over real sockets to services that count them.
import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import type { ServerHttp2Session } from 'node:http2';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import type { Cluster, HttpPool } from '../../../src/model/cluster.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import { UpstreamPools } from '../../../src/traffic/http/upstream.ts';
import type { Lease } from '../../../src/traffic/http/upstream.ts';
import { cluster } from '../../routing/endpoints.ts';
import { until } from '../../egress/until.ts';

const UNHEARD = { attempt: () => {}, connected: () => {} };

interface Bed {
  readonly pools: UpstreamPools;
  readonly clock: FakeClock;
  readonly web: Cluster;
  dials: number;
  /** Number of ended connections. */
  left: number;
  lease(of?: { readonly mesh?: string; readonly cluster?: Cluster; readonly fresh?: boolean }): Promise<Lease>;
}

function startBed(t: Test, port: number, http: 'http1' | 'http2', httpPool?: HttpPool): Bed {
  const endpoint = {
    address: { kind: 'ip', ip: '127.0.0.1' },
    port,
    weight: 1,
    priority: 0,
    zone: '',
    tags: {},
    tls: null,
  } as const;
  const target = { endpoint, ip: '127.0.0.1' };
  const web: Cluster = { ...cluster([endpoint]), http, ...(httpPool === undefined ? {} : { httpPool }) };
  const clock = new FakeClock();
  const bed: Bed = {
    clock,
    web,
    dials: 0,
    left: 0,
    pools: new UpstreamPools({
      clock,
      wait: () => () => {},
      async dial() {
        bed.dials++;
        const socket = connect(port, '127.0.0.1');
        await once(socket, 'connect');
        return { kind: 'dialled', socket, target, leave: () => void bed.left++ };
      },
    }),
    lease: async ({ mesh = 'default', cluster: of = web, fresh = false } = {}) =>
      bed.pools.lease({ mesh, cluster: of, targets: [target], fresh, whenOver: () => {}, dialled: UNHEARD }),
  };
  t.teardown(() => bed.pools.close());
  return bed;
}

/** Answers each request with 200; returns the outcome of a request. */
function carried(lease: Lease): Promise<string> {
  return new Promise((resolve) => {
    let status = 0;
    lease.send(
      { method: 'GET', path: '/', headers: ['host', 'a'], body: null },
      {
        onSent: () => {},
        onHead: (head) => (status = head.status),
        onData: () => true,
        onEnd: () => resolve(String(status)),
        onReset: (reason) => resolve(reason),
        onUnsent: () => resolve('unsent'),
      },
    );
  });
}

async function startHttp1(t: Test): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function startHttp2(t: Test): Promise<{ readonly port: number; readonly sessions: ServerHttp2Session[] }> {
  const sessions: ServerHttp2Session[] = [];
  const server = createHttp2Server((request, response) => {
    request.resume();
    response.end();
  });
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sessions };
}

t.test('two leases of one moment never share a connection of HTTP/1.1, and what is free is used again', async (t) => {
  const bed = startBed(t, await startHttp1(t), 'http1');
  t.equal(await carried(await bed.lease()), '200');
  // Its place is free when the turn of its answer is over.
  await new Promise((resolve) => setImmediate(resolve));
  const before = bed.dials;
  const both = await Promise.all([bed.lease(), bed.lease()]);
  t.equal(bed.dials, before + 1);
  t.same(await Promise.all(both.map(carried)), ['200', '200']);
});

t.test('meshes share no connection, also where they have a cluster of one name', async (t) => {
  const bed = startBed(t, await startHttp1(t), 'http1');
  for (const mesh of ['one', 'two']) t.equal(await carried(await bed.lease({ mesh })), '200');
  t.equal(bed.dials, 2);
});

t.test('a connection carries as many requests as it may in its life, and then ends', async (t) => {
  for (const http of ['http1', 'http2'] as const) {
    const port = http === 'http1' ? await startHttp1(t) : (await startHttp2(t)).port;
    const bed = startBed(t, port, http, { maxRequests: 2 });
    for (let i = 0; i < 6; i++) t.equal(await carried(await bed.lease()), '200');
    t.ok(bed.dials >= 3, `${http}: ${bed.dials} connections for 6 requests`);
  }
});

t.test('a connection takes no request after its time', async (t) => {
  const { port } = await startHttp2(t);
  const bed = startBed(t, port, 'http2', { maxConnectionMs: 60_000 });
  t.equal(await carried(await bed.lease()), '200');
  t.equal(await carried(await bed.lease()), '200');
  t.equal(bed.dials, 1);
  bed.clock.advance(60_000);
  t.equal(await carried(await bed.lease()), '200');
  t.equal(bed.dials, 2);
});

t.test('one connection of HTTP/2 has no more requests at once than the settings say', async (t) => {
  const { port } = await startHttp2(t);
  const bed = startBed(t, port, 'http2', { maxStreams: 2 });
  const leases = await Promise.all(Array.from({ length: 5 }, () => bed.lease()));
  t.equal(bed.dials, 3);
  t.same(
    await Promise.all(leases.map(carried)),
    Array.from({ length: 5 }, () => '200'),
  );
});

t.test('a service that says it takes no more is left alone', async (t) => {
  const { port, sessions } = await startHttp2(t);
  const bed = startBed(t, port, 'http2');
  t.equal(await carried(await bed.lease()), '200');
  sessions[0]?.goaway(0);
  await until('another connection is made', async () => {
    await carried(await bed.lease());
    return bed.dials === 2;
  });
  t.equal(await carried(await bed.lease()), '200');
  t.equal(bed.dials, 2);
});

t.test('a connection that its service sends away ends, also where the service leaves it open', async (t) => {
  const { port, sessions } = await startHttp2(t);
  const bed = startBed(t, port, 'http2');
  t.equal(await carried(await bed.lease()), '200');
  sessions[0]?.goaway();
  await until('the connection to be left', () => bed.left === 1);
});

t.test('connections of an endpoint or a cluster that is gone take no more requests; those that stay are kept', async (t) => {
  const { port, sessions } = await startHttp2(t);
  const bed = startBed(t, port, 'http2');
  t.equal(await carried(await bed.lease()), '200');
  bed.pools.keep(new Map([[bed.web.name, { ...bed.web, connectTimeoutMs: 1 }]]));
  t.equal(await carried(await bed.lease()), '200');
  t.equal(bed.dials, 1, 'another timeout to connect is none of its affair');
  const [first] = sessions;
  bed.pools.keep(new Map([[bed.web.name, { ...bed.web, endpoints: [] }]]));
  await until('it is closed', () => first?.closed === true);
  t.equal(await carried(await bed.lease()), '200');
  t.equal(bed.dials, 2);
});

t.test('who gives up waiting is forgotten, and a stop ends those who wait', async (t) => {
  const bed = startBed(t, await startHttp1(t), 'http1');
  const never = new UpstreamPools({
    clock: bed.clock,
    wait: () => () => {},
    dial: () => new Promise(() => {}),
  });
  let cancel = (): void => {};
  const [endpoint] = bed.web.endpoints;
  const wanted = {
    mesh: 'default',
    cluster: bed.web,
    targets: endpoint === undefined ? [] : [{ endpoint, ip: '127.0.0.1' }],
    fresh: false,
    dialled: UNHEARD,
  };
  const given = Promise.resolve(never.lease({ ...wanted, whenOver: (given) => (cancel = given) }));
  const stays = Promise.resolve(never.lease({ ...wanted, whenOver: () => {} }));
  await new Promise((resolve) => setImmediate(resolve));
  cancel();
  t.match(await given.catch((error: unknown) => error), { refusal: { code: 'client-gone' } });
  never.close();
  t.match(await stays.catch((error: unknown) => error), { refusal: { code: 'drained' } });
});
