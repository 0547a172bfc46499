import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Http2ServerRequest } from 'node:http2';
import type { Socket } from 'node:net';
import { ignoreError } from '../../base/ignore-error.ts';
import { options } from '../../base/shape.ts';
import type { Check } from '../../base/shape.ts';
import { RecordedHistory } from './session-history.ts';
import type { History } from './session-history.ts';

/** One complete request as it arrived at a fake service. */
export interface ServedRequest {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly method: string;
  /** Includes the query. */
  readonly path: string;
  /** `Host`, or the authority of HTTP/2. */
  readonly host: string;
  /** Names in lower case; several values of one name are joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const anything: Check = () => {};

const requestWants: Check = options<ServedRequest>({
  protocol: anything,
  method: anything,
  path: anything,
  host: anything,
  headers: anything,
  body: anything,
});

/**
 * A service that answers every request with 200 and the request as JSON, in the client's protocol,
 * HTTP/1.1 or HTTP/2.
 */
export class HttpService {
  readonly #requests = new RecordedHistory<ServedRequest>('request', requestWants);
  readonly #http1 = createHttpServer((request, response) => this.#serve(request, 'HTTP/1.1', response));
  readonly #http2 = createHttp2Server((request, response) => this.#serve(request, 'HTTP/2', response));

  get requests(): History<ServedRequest> {
    return this.#requests;
  }

  take(socket: Socket): void {
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null;
      // The client has gone without sending a byte.
      if (first === null) return void socket.destroy();
      socket.unshift(first);
      const server = first.subarray(0, 3).equals(Buffer.from('PRI')) ? this.#http2 : this.#http1;
      // The codecs take over the handle below the stream, in a turn that begins with the stream
      // alone.
      setImmediate(() => void server.emit('connection', socket));
    });
  }

  close(): void {
    this.#requests.close();
  }

  #serve(
    request: IncomingMessage | Http2ServerRequest,
    protocol: ServedRequest['protocol'],
    response: { setHeader(name: string, value: string): unknown; end(text: string): unknown },
  ): void {
    let body = '';
    request.setEncoding('utf8');
    request.on('error', ignoreError);
    request.on('data', (text: string) => (body += text));
    request.on('end', () => {
      const { method = '', url: path = '' } = request;
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(request.headers)) {
        if (value !== undefined && !name.startsWith(':')) headers[name] = Array.isArray(value) ? value.join(', ') : String(value);
      }
      const host = headers.host ?? String(request.headers[':authority'] ?? '');
      this.#requests.add({ protocol, method, path, host, headers, body });
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ method, path, headers: { ...headers, host } }));
    });
  }
}
