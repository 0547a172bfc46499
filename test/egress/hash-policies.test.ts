// Hash policies of a MeshLoadBalancingStrategy, each with real requests to three endpoints.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const WEB = encodeHashSni({ kind: 'mes', name: 'web', mesh: 'default', port: 80 });

async function startService(t: Test, name: string): Promise<number> {
  const server = createServer((_, response) => void response.end(name)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function start(t: Test, balancer: string): Promise<Zone> {
  const ports = await Promise.all(['a', 'b', 'c'].map((name) => startService(t, name)));
  const endpoints = ports.map((port) => `{ address: 127.0.0.1, port: ${port} }`).join(', ');
  const service = `type: MeshExternalService
name: web
mesh: default
spec: { match: { type: HostnameGenerator, port: 80, protocol: http }, endpoints: [${endpoints}] }
`;
  const strategy = `type: MeshLoadBalancingStrategy
name: p
mesh: default
spec: { to: [{ targetRef: { kind: Mesh }, default: { loadBalancer: ${balancer} } }] }
`;
  return startZone(t, { resources: () => [service, strategy].join('---\n') });
}

interface Asked {
  readonly cookie: string;
  readonly service: string;
}

/** Asks these requests on one connection, one after another. */
async function ask(zone: Zone, requests: readonly (readonly [path: string, headers?: string])[]): Promise<readonly Asked[]> {
  const socket = await zone.connect(WEB, zone.mesh.client('frontend'));
  socket.setEncoding('latin1');
  let text = '';
  let arrived = (): void => {};
  socket.on('data', (piece: string) => {
    text += piece;
    arrived();
  });
  const all: Asked[] = [];
  for (const [path, headers = ''] of requests) {
    text = '';
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
    while (!/\r\n\r\n[abc]$/.test(text)) await new Promise<void>((resolve) => (arrived = resolve));
    all.push({ cookie: /\r\nset-cookie: ([^\r]*)/i.exec(text)?.[1] ?? '', service: text.slice(-1) });
  }
  socket.destroy();
  return all;
}

const services = (asked: readonly Asked[]): readonly string[] => [...new Set(asked.map(({ service }) => service))];
const times = <Value>(count: number, of: (i: number) => Value): readonly Value[] =>
  Array.from({ length: count }, (_, i) => of(i));
const ring = (policies: string): string => `{ type: RingHash, ringHash: { hashPolicies: [${policies}] } }`;
const maglev = (policies: string): string => `{ type: Maglev, maglev: { tableSize: 1021, hashPolicies: [${policies}] } }`;

t.test(
  'a client without the cookie gets one, and all requests of its connection go to the endpoint of that cookie',
  async (t) => {
    await using zone = await start(t, ring('{ type: Cookie, cookie: { name: c, ttl: 1h, path: /x } }'));
    const first = await ask(
      zone,
      times(24, () => ['/'] as const),
    );
    t.equal(services(first).length, 1);
    t.equal(new Set(first.map(({ cookie }) => cookie)).size, 1);
    t.match(first[0]?.cookie, /^c="[0-9a-f]{16}"; Max-Age=3600; Path=\/x; HttpOnly$/);
    const [pair = ''] = first[0]?.cookie.split(';') ?? [];
    const again = await ask(
      zone,
      times(6, () => ['/', `Cookie: d=1; ${pair}\r\n`] as const),
    );
    t.same(services(again), services(first), 'another connection with the cookie');
    t.same(new Set(again.map(({ cookie }) => cookie)), new Set(['']), 'gets no other');
    const empty = await ask(zone, [['/', 'Cookie: c=\r\n']]);
    t.match(empty[0]?.cookie, /^c="/, 'an empty cookie is none');
  },
);

for (const [name, of] of Object.entries({ ring, maglev })) {
  t.test(`${name}: by parameter of the query, by address, and by several policies of which one is terminal`, async (t) => {
    const query = '{ type: QueryParameter, queryParameter: { name: q }, terminal: true }';
    await using zone = await start(t, of(`${query}, { type: SourceIP, connection: { sourceIP: true } }`));
    // As many users as make it certain that each endpoint has one.
    const asked = await ask(
      zone,
      times(160, (i) => [`/${i}?x=${i}&q=u${i % 80}`] as const),
    );
    const all = asked.map(({ service }) => service);
    t.same(all.slice(80), all.slice(0, 80), 'a user stays');
    t.equal(services(asked).length, 3, 'users are spread: their address does not count beside the parameter');
    const others = await Promise.all(
      times(6, (i) =>
        ask(
          zone,
          times(3, () => [`/${i}`] as const),
        ),
      ),
    );
    t.equal(services(others.flat()).length, 1, 'without it the address counts');
  });
}
