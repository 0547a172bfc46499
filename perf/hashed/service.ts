// The services of hashed requests, in a thread of their own: two of HTTP/1.1 and two of HTTP/2. They
// hash what comes, send what is asked for, and fail where the request asks for it.
import { createServer as createHttp1 } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { once } from 'node:events';
import { isMainThread, parentPort } from 'node:worker_threads';
import { Digester, piecesOf } from './body.ts';
import type { Digest } from './body.ts';

/** How a service fails a request: before its answer, in the middle of its body or of its answer. */
export const SERVICE_FAULTS = ['none', 'before', 'in-body', 'in-answer', 'connection'] as const;
export type ServiceFault = (typeof SERVICE_FAULTS)[number];

/** What a service saw of a request. */
export interface Arrival {
  readonly id: number;
  /** Null for a body that did not come to its end. */
  readonly up: Digest | null;
  /** Null for an answer that was not written to its end. */
  readonly down: Digest | null;
}

/** A connection that a service cut, with the requests that were on it. */
export interface Cut {
  readonly atMs: number;
  readonly ids: readonly number[];
}

export interface Report {
  readonly arrivals: readonly Arrival[];
  readonly cuts: readonly Cut[];
}

export interface ServicePorts {
  readonly http: readonly [number, number];
  readonly http2: readonly [number, number];
}

const arrivals: Arrival[] = [];
const cuts: Cut[] = [];
const running = new Map<ServerHttp2Session, Set<number>>();

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const http1 = (): Server => createHttp1({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }, answerHttp1);
  const http2 = (): Server => {
    const server = createHttp2({ settings: { maxConcurrentStreams: 2_000, initialWindowSize: 1_048_576 } });
    server.on('sessionError', () => {});
    server.on('stream', answerHttp2);
    return server;
  };
  port.postMessage({
    http: [await listen(http1()), await listen(http1())],
    http2: [await listen(http2()), await listen(http2())],
  } satisfies ServicePorts);
  port.on('message', () => port.postMessage({ arrivals, cuts } satisfies Report));
}

interface Asked {
  readonly id: number;
  readonly up: number;
  readonly down: number;
  readonly fault: ServiceFault;
  /** The answer begins before the body has come. */
  readonly early: boolean;
  /** Neither is the body read nor is an answer given. */
  readonly hold: boolean;
}

function askedOf(path: string): Asked {
  const query = new URL(path, 'http://service').searchParams;
  const number = (name: string): number => Number(query.get(name) ?? 0);
  const fault = SERVICE_FAULTS.find((each) => each === query.get('fault')) ?? 'none';
  return {
    id: number('id'),
    up: number('up'),
    down: number('down'),
    fault,
    early: query.get('early') === '1',
    hold: query.get('hold') === '1',
  };
}

interface Ends {
  readonly body: Readable;
  readonly answer: Writable;
  readonly begin: () => void;
  /** Ends the request as its fault says. */
  readonly fail: () => void;
}

function answerHttp1(request: IncomingMessage, response: ServerResponse): void {
  const asked = askedOf(request.url ?? '');
  const { socket } = request;
  request.on('error', () => {});
  response.on('error', () => {});
  void serve(asked, {
    body: request,
    answer: response,
    begin: () => response.writeHead(200, asked.id % 2 === 0 ? { 'content-length': asked.down } : {}),
    fail: () => {
      cuts.push({ atMs: Date.now(), ids: [asked.id] });
      socket.resetAndDestroy();
    },
  });
}

function answerHttp2(stream: ServerHttp2Stream, headers: { readonly ':path'?: string }): void {
  const asked = askedOf(headers[':path'] ?? '');
  const session = stream.session as ServerHttp2Session | undefined;
  stream.on('error', () => {});
  if (session === undefined) return;
  const ids = running.get(session) ?? new Set();
  if (ids.size === 0 && !running.has(session)) session.on('close', () => running.delete(session));
  running.set(session, ids.add(asked.id));
  stream.once('close', () => ids.delete(asked.id));
  void serve(asked, {
    body: stream,
    answer: stream,
    begin() {
      // Without this option the library would end a stream as complete before it resets it.
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({}));
    },
    fail: () => {
      // In the turn of the head, the library would end the stream as complete too.
      if (asked.fault !== 'connection') return void setImmediate(() => stream.close(2));
      cuts.push({ atMs: Date.now(), ids: [...ids] });
      session.socket.destroy();
    },
  });
}

async function serve({ id, up, down, fault, early, hold }: Asked, { body, answer, begin, ...ends }: Ends): Promise<void> {
  if (hold) return;
  let failed = false;
  const fail = (): void => {
    if (!failed) ends.fail();
    failed = true;
  };
  if (fault === 'before' || fault === 'connection') return fail();
  const received = new Digester();
  const sent = new Digester();
  let whole = false;
  let written = false;
  let over: () => void = () => {};
  const closed = new Promise<void>((resolve) => (over = resolve));
  answer.once('close', () => over());
  answer.once('finish', () => {
    written = true;
    over();
  });
  const read = new Promise<void>((resolve) => {
    body.once('end', () => {
      whole = true;
      resolve();
    });
    body.once('close', resolve);
  });
  body.on('data', (piece: Buffer) => {
    received.add(piece);
    if (fault === 'in-body' && received.bytes >= up / 2) fail();
  });
  if (!early) await read;
  if (answer.destroyed || (fault === 'in-body' && up === 0)) fail();
  else {
    begin();
    for (const piece of piecesOf(id, down)) {
      if (answer.destroyed || failed) break;
      if (fault === 'in-answer' && sent.bytes + piece.length > down / 2) {
        fail();
        break;
      }
      sent.add(piece);
      // The last piece waits for the whole body: an answer that ends sooner ends its request.
      if (sent.bytes === down) await read;
      if (!answer.destroyed && !answer.write(piece)) await Promise.race([once(answer, 'drain').catch(() => {}), closed]);
    }
    await read;
    if (fault === 'in-answer' && down === 0) fail();
    if (!answer.destroyed && !failed) answer.end();
  }
  await closed;
  arrivals.push({ id, up: whole ? received.done() : null, down: written ? sent.done() : null });
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => resolve((server.address() as AddressInfo).port)),
  );
}
