// Runs the floor of the comparison: the shortest relay with pipe(), for each kind of work. `node
// perf/pipe-relay.ts FOLDER PLAIN_PORT TLS_PORT` prints a port for each.
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';

const [folder = '', plain = '', tls = ''] = process.argv.slice(2);
const read = (name: string): Buffer => readFileSync(join(folder, name));
const farCa = read('far-ca.pem');

function toPlain(): Socket {
  return connect({ port: Number(plain), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
}

function toTls(): Socket {
  const options = { port: Number(tls), host: '127.0.0.1', servername: 'far.test', ca: farCa, allowHalfOpen: true };
  return connectTls(options as ConnectionOptions);
}

function relay(client: Socket, upstream: Socket): void {
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
  client.pipe(upstream);
  upstream.pipe(client);
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => resolve((server.address() as AddressInfo).port)),
  );
}

function terminating(mesh: string, far: () => Socket): Promise<number> {
  const options = {
    cert: read(`${mesh}-server.pem`),
    key: read(`${mesh}-server.key`),
    ca: read(`${mesh}-ca.pem`),
    requestCert: true,
    allowHalfOpen: true,
    noDelay: true,
  };
  const server = createTlsServer(options, (client) => relay(client, far()));
  server.on('tlsClientError', () => {});
  return listen(server);
}

const passthrough = createServer({ allowHalfOpen: true, noDelay: true }, (client) => relay(client, toPlain()));
console.log(
  JSON.stringify({
    'passthrough-default': await listen(passthrough),
    'terminated-default': await terminating('default', toPlain),
    'terminated-ec': await terminating('ec', toPlain),
    're-encrypted-default': await terminating('default', toTls),
  }),
);
process.stdin.on('end', () => process.exit()).resume();
