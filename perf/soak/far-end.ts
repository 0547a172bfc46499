// The services behind the egress of a soak: one plain, one with TLS. They echo; the first byte of a
// client may ask for something else.
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { TLSSocket, createServer as createTlsServer } from 'node:tls';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { CertificateAndKey } from '../../src/identity/issue.ts';

/** The requests that a client can make with the first byte after its hello. */
export const ASK = { echo: 'e', reset: 'r', silence: 's', answerAfterEnd: 'a' } as const;

/** The time after which a service ends a silent client, as services do. */
const IDLE_MS = 20_000;
const ANSWER: Buffer = Buffer.alloc(2_000, 'late');

export interface FarEndPorts {
  readonly plain: number;
  readonly tls: number;
}

// Runs in a thread of its own, so that the services do not wait for the clients of this process.
if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const plain = createServer({ allowHalfOpen: true, noDelay: true }, answer);
  const tls = createTlsServer({ ...(workerData as CertificateAndKey), allowHalfOpen: true }, answer);
  tls.on('tlsClientError', () => {});
  port.postMessage({ plain: await listen(plain), tls: await listen(tls) } satisfies FarEndPorts);
}

function answer(socket: Socket): void {
  let asked: string | null = null;
  let hello: number | null = null;
  let seen = 0;
  socket.on('error', () => {});
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    // The hello comes first where TLS passes through: its record has its length.
    hello ??= chunk[0] === 22 ? 5 + chunk.readUInt16BE(3) : 0;
    const first = chunk[hello - seen];
    if (asked === null && first !== undefined) asked = String.fromCharCode(first);
    seen += chunk.length;
    // Node has no reset under TLS: the socket is destroyed without close_notify.
    if (asked === ASK.reset && socket instanceof TLSSocket) socket.destroy();
    else if (asked === ASK.reset) socket.resetAndDestroy();
    else if ((asked === null || asked === ASK.echo) && !socket.write(chunk)) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  });
  socket.on('end', () => {
    if (asked === ASK.answerAfterEnd) socket.end(ANSWER);
    else if (asked !== ASK.silence) socket.end();
  });
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => resolve((server.address() as AddressInfo).port)),
  );
}
