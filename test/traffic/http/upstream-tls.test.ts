// Answers of services that speak HTTP/2 over TLS. TLS runs over a stream of the egress, so that the
// library reports the bytes of an answer before the head that came in the same read.
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import type { ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { createTestMesh } from '../../../src/testing/egress/test-mesh.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import { dialTls } from '../../../src/traffic/connect.ts';
import { UpstreamPools } from '../../../src/traffic/http/upstream.ts';
import { cluster } from '../../routing/endpoints.ts';

const BODY = 'x'.repeat(1_000);

t.test('an answer whose head and bytes come in one read is whole, with its trailers', async (t) => {
  const mesh = await createTestMesh('default', { keyType: 'ec' });
  const server = createSecureServer(mesh.issue({ uris: [], dns: ['far.test'], subject: [['CN', 'far.test']] }));
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => void sessions.push(session.on('error', () => {})));
  server.on('stream', (stream, { ':path': path }) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 }, { waitForTrailers: path === '/trailers' });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(path === '/empty' ? '' : BODY);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
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
  const pools = new UpstreamPools({
    clock: new FakeClock(),
    wait: () => () => {},
    async dial() {
      const to = { host: '127.0.0.1', port };
      const { socket } = dialTls(to, { rejectUnauthorized: false, ALPNProtocols: ['h2'], checkServer: () => undefined });
      await once(socket, 'secureConnect');
      return { kind: 'dialled', socket, target, leave: () => {} };
    },
  });
  t.teardown(() => {
    pools.close();
    for (const session of sessions) session.destroy();
    server.close();
  });
  const ask = async (path: string): Promise<readonly string[]> => {
    const lease = await pools.lease({
      mesh: 'default',
      cluster: { ...cluster([endpoint]), http: 'http2' },
      targets: [target],
      fresh: false,
      whenOver: () => {},
      dialled: { attempt: () => {}, connected: () => {} },
    });
    const events: string[] = [];
    return new Promise((resolve) => {
      lease.send(
        { method: 'GET', path, headers: ['host', 'far.test'], body: null },
        {
          onSent: () => {},
          onHead: ({ status }) => void events.push(`head ${status}`),
          onData: ({ length }) => events.push(`bytes ${length}`) > 0,
          onEnd: (trailers) => resolve([...events, `end ${trailers.join(' ')}`]),
          onReset: (reason) => resolve([...events, reason]),
          onUnsent: (detail) => resolve([...events, detail]),
        },
      );
    });
  };
  for (let i = 0; i < 5; i++) {
    t.same(await ask('/'), ['head 200', 'bytes 1000', 'end ']);
    t.same(await ask('/trailers'), ['head 200', 'bytes 1000', 'end grpc-status 0']);
    t.same(await ask('/empty'), ['head 200', 'end ']);
  }
});
