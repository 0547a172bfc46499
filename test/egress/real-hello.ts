import { Duplex } from 'node:stream';
import { connect } from 'node:tls';

/** Returns the first flight of Node's own TLS client. */
export async function realHello(sni: string): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      resolve(chunk);
      done();
    },
  });
  const client = connect({ socket: wire, servername: sni });
  client.on('error', () => {});
  const hello = await promise;
  client.destroy();
  return hello;
}
