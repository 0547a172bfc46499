import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import type { Endpoint, TlsOrigination } from '../../src/model/cluster.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { Origination } from '../../src/traffic/originate.ts';

/** Connects to a service that asks for a new handshake at once; tells whether it got one. */
async function renegotiated(allowRenegotiation: boolean): Promise<boolean> {
  const mesh = await createTestMesh('partner', { keyType: 'ec' });
  const server = createServer({ ...mesh.issue({ uris: [], dns: ['api.test'] }), maxVersion: 'TLSv1.2' });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const tls: TlsOrigination = {
    serverName: 'api.test',
    trust: { kind: 'none', reason: 'test' },
    names: null,
    clientCertificate: null,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    alpn: [],
    allowRenegotiation,
  };
  const endpoint: Endpoint = { address: { kind: 'ip', ip: '127.0.0.1' }, port, weight: 1, priority: 0, zone: '', tags: {}, tls };
  const origination = new Origination({ secret: () => undefined, systemTrust: () => null, checkServerName: () => null });
  const accepted = once(server, 'secureConnection');
  const client = connect({ port, host: '127.0.0.1', ...origination.connectionOptions(tls, endpoint) });
  client.on('error', () => undefined);
  client.resume();
  const [socket] = (await accepted) as [TLSSocket];
  const outcome = new Promise<boolean>((resolve) => {
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.resume();
    socket.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error === null));
  });
  const done = await outcome;
  client.destroy();
  socket.destroy();
  server.close();
  await once(server, 'close');
  return done;
}

t.test('a service that asks for a new handshake gets one where the operator allows it, and nowhere else', async (t) => {
  t.equal(await renegotiated(true), true);
  t.equal(await renegotiated(false), false);
});
