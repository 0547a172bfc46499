// A service that only serves one name, as a partner's load balancer does, and the plain port that a
// sidecar opens beside its app. Real clients use the port, so they get what an app of the mesh
// gets.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp1 } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import type { Http2ServerRequest } from 'node:http2';
import { createServer as createTcp } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Test } from 'tap';
import { SHOP } from './http-zone.ts';
import type { Zone } from './zone.ts';

export const NAME = 'shop.partner.test';

export interface VirtualHost {
  readonly port: number;
  /** Methods and targets in the order of arrival. */
  readonly seen: string[];
  /** Sends the next event of each event stream. */
  nextEvent(): void;
}

/** Byte i of a body is `i % 251`, so that a misplaced piece is noticed. */
export function bodyOf(from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (from + i) % 251;
  return bytes;
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function startVirtualHost(t: Test, protocol: 'http' | 'http2'): Promise<VirtualHost> {
  const seen: string[] = [];
  const streams = new Set<() => void>();
  const handle = (request: Request, response: Response): void => {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    seen.push(`${request.method} ${request.url}`);
    const host = request.authority ?? request.headers.host;
    if (host !== NAME) return answer(response, 421, `this is ${NAME}`);
    const bytes = Number(query);
    switch (path) {
      case '/echo':
        response.writeHead(200);
        return void request.pipe(response);
      case '/hash': {
        const hash = createHash('sha256');
        let length = 0;
        request.on('data', (chunk: Buffer) => (length += hash.update(chunk) && chunk.length));
        return void request.on('end', () => answer(response, 200, `${length} ${hash.digest('hex')}`));
      }
      case '/bytes':
        return ranged(request, response, bytes);
      case '/stream':
        response.writeHead(200);
        response.write(bodyOf(0, Math.floor(bytes / 2)));
        return void response.end(bodyOf(Math.floor(bytes / 2), bytes));
      case '/until-close':
        response.removeHeader('transfer-encoding');
        response.shouldKeepAlive = false;
        return void response.end(bodyOf(0, bytes));
      case '/events': {
        let i = 0;
        const send = (): void => void response.write(`data: ${++i}\n\n`);
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        streams.add(send);
        response.once('close', () => streams.delete(send));
        return send();
      }
      case '/early':
        return answer(response, 413, 'too large');
      case '/hints':
        response.writeContinue();
        response.writeEarlyHints({ link: '</a.css>; rel=preload' });
        return answer(response, 200, 'after hints');
      case '/status':
        response.writeHead(bytes, bytes === 304 ? { etag: '"x"' } : {});
        return void response.end();
      default:
        return answer(response, 200, `hello from ${NAME}`);
    }
  };
  const server: Server = protocol === 'http' ? createHttp1(handle) : createHttp2(handle as never);
  const { port, [Symbol.asyncDispose]: close } = await listen(server);
  t.teardown(close);
  return { port, seen, nextEvent: () => streams.forEach((send) => send()) };
}

type Request = IncomingMessage & Partial<Pick<Http2ServerRequest, 'authority'>>;
type Response = ServerResponse;

function answer(response: Response, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function ranged(request: Request, response: Response, bytes: number): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const body = from === undefined ? bodyOf(0, bytes) : bodyOf(Number(from), Number(to) + 1);
  response.writeHead(from === undefined ? 200 : 206, {
    'content-length': body.length,
    ...(from === undefined ? {} : { 'content-range': `bytes ${from}-${to}/${bytes}` }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

export interface Listening extends AsyncDisposable {
  readonly port: number;
}

/** Listens on a port of its own; disposing also ends its connections. */
export async function listen(server: Server): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The port of a sidecar: each connection goes to the egress in its own TLS. */
export async function startSidecar(zone: Zone): Promise<Listening> {
  return listen(
    createTcp({ allowHalfOpen: true, noDelay: true }, (app) => {
      void zone.connect(SHOP, zone.mesh.client('frontend')).then((mesh) => {
        mesh.setNoDelay(true);
        app.pipe(mesh).pipe(app);
        app.once('close', () => mesh.destroy());
        mesh.once('close', () => app.destroySoon());
      });
    }),
  );
}
