// The clients of hashed requests: connections of HTTP/1.1 that carry one request at a time, and
// connections of HTTP/2 that carry many.
import { once } from 'node:events';
import { Agent, request as requestHttp1 } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import type { Readable, Writable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import { Digester, piecesOf } from './body.ts';
import type { Digest } from './body.ts';
import type { ServiceFault } from './service.ts';

/** `stream` gives up one request, `connection` everything on its connection. */
export type ClientFault = 'none' | 'stream' | 'connection';

export interface Plan {
  readonly id: number;
  readonly up: number;
  readonly down: number;
  readonly early: boolean;
  readonly serviceFault: ServiceFault;
  readonly clientFault: ClientFault;
}

export interface Outcome {
  readonly plan: Plan;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly status: number;
  /** Null for what did not come or go to its end. */
  readonly up: Digest | null;
  readonly down: Digest | null;
  readonly error: string;
}

export interface Client {
  ask(plan: Plan): Promise<Outcome>;
  /** Requests that were on a connection which a client cut by intention. */
  readonly cut: ReadonlySet<number>;
  close(): void;
}

export interface Door {
  readonly port: number;
  readonly sni: string;
  readonly certificate: CertificateAndKey;
}

export function connect({ port, sni, certificate }: Door): TLSSocket {
  const socket = connectTls({ port, host: '127.0.0.1', servername: sni, ...certificate, rejectUnauthorized: false });
  socket.on('error', () => {});
  return socket;
}

function pathOf({ id, up, down, serviceFault, early }: Plan): string {
  return `/?id=${id}&up=${up}&down=${down}&fault=${serviceFault}&early=${early ? 1 : 0}`;
}

export function http1Client(door: Door): Client {
  const cut = new Set<number>();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => connect(door);
  return {
    cut,
    close: () => agent.destroy(),
    ask(plan) {
      const request = requestHttp1({
        agent,
        host: 'service',
        method: plan.up === 0 ? 'GET' : 'POST',
        path: pathOf(plan),
        headers: plan.up > 0 && plan.id % 2 === 1 ? { 'content-length': plan.up } : {},
      });
      const answer = new Promise<IncomingMessage>((resolve, reject) => {
        request.once('response', resolve);
        request.once('error', reject);
        request.once('close', () => reject(new Error('closed without an answer')));
      });
      return run(plan, {
        body: request,
        answer: answer.then((message) => ({ status: message.statusCode ?? 0, stream: message })),
        giveUp() {
          cut.add(plan.id);
          request.destroy(new Error('given up'));
        },
      });
    },
  };
}

export function http2Client(door: Door): Client {
  const cut = new Set<number>();
  const running = new Set<number>();
  let session: ClientHttp2Session | null = null;
  const live = (): ClientHttp2Session => {
    if (session !== null && !session.closed && !session.destroyed) return session;
    running.clear();
    session = connectHttp2('https://service', { createConnection: () => connect(door) });
    session.on('error', () => {});
    return session;
  };
  return {
    cut,
    close: () => session?.destroy(),
    async ask(plan) {
      const on = live();
      const stream = on.request(
        { ':method': plan.up === 0 ? 'GET' : 'POST', ':path': pathOf(plan) },
        { endStream: plan.up === 0 },
      );
      running.add(plan.id);
      const answer = new Promise<{ status: number; stream: Readable }>((resolve, reject) => {
        stream.once('response', (headers) => resolve({ status: Number(headers[':status']), stream }));
        stream.once('error', reject);
        stream.once('close', () => reject(new Error(`closed with ${stream.rstCode} without an answer`)));
      });
      const outcome = await run(plan, {
        body: stream,
        answer,
        giveUp() {
          if (plan.clientFault === 'stream' || on !== session) {
            cut.add(plan.id);
            stream.close(8);
            return;
          }
          for (const id of running) cut.add(id);
          on.destroy();
        },
      });
      running.delete(plan.id);
      return outcome;
    },
  };
}

interface Ends {
  readonly body: Writable;
  readonly answer: Promise<{ readonly status: number; readonly stream: Readable }>;
  readonly giveUp: () => void;
}

async function run(plan: Plan, { body, answer, giveUp }: Ends): Promise<Outcome> {
  const startedMs = Date.now();
  const sent = new Digester();
  const received = new Digester();
  let status = 0;
  let isSent = plan.up === 0;
  let error = '';
  const fails = plan.clientFault !== 'none';
  const upload = async (): Promise<void> => {
    for (const piece of piecesOf(plan.id, plan.up)) {
      if (body.destroyed) return;
      if (fails && sent.bytes + piece.length > plan.up / 2) return giveUp();
      sent.add(piece);
      if (!body.write(piece)) await drained(body);
    }
    if (body.destroyed) return;
    isSent = true;
    body.end();
  };
  const download = async (): Promise<boolean> => {
    const { status: given, stream } = await answer;
    status = given;
    for await (const piece of stream) {
      received.add(piece as Buffer);
      if (status !== 200) error += (piece as Buffer).toString('latin1');
      if (fails && received.bytes >= plan.down / 2) giveUp();
    }
    // Node ends a stream of HTTP/2 that was reset with CANCEL as if it were whole.
    return !('rstCode' in stream) || stream.rstCode === 0;
  };
  body.on('error', () => {});
  const down = download().catch((failure: unknown) => {
    error = failure instanceof Error ? failure.message : String(failure);
    return false;
  });
  await upload();
  const isWhole = await down;
  return {
    plan,
    startedMs,
    endedMs: Date.now(),
    status,
    up: isSent ? sent.done() : null,
    down: isWhole ? received.done() : null,
    error,
  };
}

function drained(stream: Writable): Promise<unknown> {
  const over = new AbortController();
  const closed = once(stream, 'close', { signal: over.signal });
  const drain = once(stream, 'drain', { signal: over.signal });
  return Promise.race([closed, drain])
    .catch(() => {})
    .finally(() => over.abort());
}
