// A peer may vanish without a word: the kernel is asked to look after every connection that may be
// quiet.
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { Socket } from 'node:net';
import { connect as connectHttp2 } from 'node:http2';
import t from 'tap';
import type { Test } from 'tap';
import { withKernelTimers } from '../data.ts';
import { ignoreError } from '../../src/base/ignore-error.ts';
import { SHOP, startHttpZone, startRawService } from './http-zone.ts';
import { connections, tellsTimers } from './kernel-timers.ts';
import type { Connection } from './kernel-timers.ts';
import { PATHS, RELAYS, startStreams } from './stream-zone.ts';
import { until } from './until.ts';
import { listen } from './virtual-host.ts';
import { ask, startZone } from './zone.ts';

const told = withKernelTimers(await tellsTimers());
/** Without a byte for so long, and where one side has ended. */
const QUIET_MS = 60_000;
const HALF_CLOSED_MS = 15_000;

/** These connections, at least one, are looked after within this time. */
async function areLookedAfter(
  t: Test,
  what: string,
  { fits, within }: { readonly fits: (one: Connection) => boolean; readonly within: number },
): Promise<void> {
  const isLookedAfter = ({ asksInMs }: Connection): boolean => asksInMs !== null && asksInMs > 0 && asksInMs <= within;
  await until(`the kernel to look after ${what} within ${within} ms`, () => {
    const found = connections().filter(fits);
    return found.length > 0 && found.every(isLookedAfter);
  });
  t.pass(what);
}

/** The connections of the egress to these two. */
function sidesOf(client: Socket, service: Socket): Readonly<Record<'client' | 'service', (one: Connection) => boolean>> {
  const pair =
    (localPort = 0, remotePort = 0) =>
    (one: Connection): boolean =>
      one.localPort === localPort && one.remotePort === remotePort;
  return { client: pair(client.remotePort, client.localPort), service: pair(service.remotePort, service.localPort) };
}

for (const [relay, options] of Object.entries(RELAYS)) {
  t.test(`over ${relay} both sides of a session are asked for, sooner when it is half over`, told, async (t) => {
    await using streams = await startStreams(t, options);
    const over: Promise<void>[] = [];
    for (const path of PATHS) {
      const { promise: served, resolve } = Promise.withResolvers<Socket>();
      streams.serve = (socket, below) => {
        socket.on('data', (chunk: Buffer) => void socket.write(chunk));
        resolve(below);
      };
      const client = await streams.connect({ path, version: 'TLSv1.3' });
      t.equal(await ask(client, 'ping'), 'ping');
      const sides = Object.entries(sidesOf(streams.below(client), await served));
      for (const [side, fits] of sides) await areLookedAfter(t, `the ${side}, ${path}`, { fits, within: QUIET_MS });
      client.end();
      for (const [side, fits] of sides)
        over.push(areLookedAfter(t, `the ${side} when the client has ended, ${path}`, { fits, within: HALF_CLOSED_MS }));
    }
    await Promise.all(over);
  });
}

t.test('the peers of clients that have sent nothing yet are checked', told, async (t) => {
  await using zone = await startZone(t);
  const raw = zone.raw();
  await once(raw, 'connect');
  const { localPort, remotePort } = raw;
  await areLookedAfter(t, 'the client', {
    fits: (one) => one.localPort === remotePort && one.remotePort === localPort,
    within: QUIET_MS,
  });
});

t.test('clients of HTTP and the connections kept for their requests are asked for', told, async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  const client = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const fits = (one: Connection): boolean => one.localPort === zone.egress.port;
  await areLookedAfter(t, 'a client before its first request', { fits, within: QUIET_MS });
  t.match(await ask(client, 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n'), 'HTTP/1.1 200 ');
  await areLookedAfter(t, 'a client after a request', { fits, within: QUIET_MS });
  await areLookedAfter(t, 'its service', { fits: (one) => one.remotePort === service.port, within: QUIET_MS });
});

t.test('the connections of health checks are asked for', told, async (t) => {
  const service = await startRawService(t);
  await using _zone = await startZone(t, {
    resources: () => `type: MeshExternalService
name: web
mesh: default
spec:
  match: { type: HostnameGenerator, port: 80, protocol: http }
  endpoints: [{ address: 127.0.0.1, port: ${service.port} }]
---
type: MeshHealthCheck
name: web
mesh: default
spec:
  to:
  - targetRef: { kind: MeshExternalService, name: web }
    default: { interval: 1h, noTrafficInterval: 1h, timeout: 60s, http: { path: /check } }
`,
  });
  await service.until(() => service.arrived.length === 1);
  await areLookedAfter(t, 'the service', { fits: (one) => one.remotePort === service.port, within: QUIET_MS });
});

t.test('clients of HTTP/2 and the connections to their service are asked for', told, async (t) => {
  const server = createServer();
  // Streams that wait for their answer.
  const arrived = once(server, 'stream');
  await using service = await listen(server);
  await using zone = await startHttpZone(t, service.port, { protocol: 'http2' });
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const session = connectHttp2('https://a', { createConnection: () => socket });
  session.on('error', ignoreError);
  session.request({ ':path': '/' }).on('error', ignoreError);
  await arrived;
  await areLookedAfter(t, 'the client', { fits: (one) => one.localPort === zone.egress.port, within: QUIET_MS });
  await areLookedAfter(t, 'its service', { fits: (one) => one.remotePort === service.port, within: QUIET_MS });
  session.destroy();
});
