import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import t from 'tap';
import { connectTls } from '../../src/base/connect-tls.ts';
import { socketReason } from '../../src/base/tls-words.ts';
import type { SocketError } from '../../src/base/tls-words.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';

const partner = await createTestMesh('partner');
const names = { uris: [], dns: ['api.test'] };
const weak = partner.issue(names, generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey);
const sha1 = partner.issue({ ...names, digest: 'sha1' });

t.test('a weak certificate of a service is refused in words that name the weakness and what to do', async (t) => {
  for (const [title, certificate, says] of [
    ['RSA-1024', weak, /certificate of the service has a key that is too weak.*2048.*issued anew/],
    ['SHA-1', sha1, /signed with a hash that is too weak \(SHA-1 or MD5\).*issued anew.*SHA-256/],
  ] as const) {
    const server = createServer({ ...certificate, ciphers: 'DEFAULT@SECLEVEL=0' });
    server.on('tlsClientError', () => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const socket = connectTls({ host: '127.0.0.1', port, ca: partner.ca.cert, checkServer: () => undefined });
    const [error] = (await once(socket, 'error')) as [SocketError];
    t.match(socketReason(error), says, title);
    t.notMatch(socketReason(error), /UNSPECIFIED/);
    server.close();
    await once(server, 'close');
  }
});
