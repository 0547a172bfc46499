import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Clock } from '../../base/clock.ts';
import { oneLine } from '../../base/plain-text.ts';

/** How a collector took what was posted. */
export type PostAnswer =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfterMs: number | null; readonly text: string }
  /** There was no whole answer. */
  | { readonly kind: 'none'; readonly why: string };

/** For a whole answer: a collector that sends a byte now and then is slow too. */
export const ANSWER_MS = 10_000;
const MAX_ANSWER_BYTES = 65_536;
const MAX_WHY = 200;

/** Posts to one URL, one request at a time, over a connection that is kept. */
export class Poster {
  readonly #url: URL;
  readonly #clock: Clock;
  readonly #agent: HttpAgent;
  #end: ((why: Error) => void) | null = null;
  #closed = false;

  constructor(url: URL, clock: Clock) {
    this.#url = url;
    this.#clock = clock;
    const options = { keepAlive: true, maxSockets: 1 };
    this.#agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Never rejects. */
  async post(body: Uint8Array, headers: Readonly<Record<string, string>>): Promise<PostAnswer> {
    const first = await this.#once(body, headers);
    // The collector may end an idle connection in the moment in which it is used.
    return first === 'idle-connection-ended' ? this.#fresh(body, headers) : first;
  }

  /** Ends the request that runs, and the connection. */
  close(): void {
    this.#closed = true;
    this.#end?.(new Error('the egress ends'));
    this.#agent.destroy();
  }

  async #fresh(body: Uint8Array, headers: Readonly<Record<string, string>>): Promise<PostAnswer> {
    const second = await this.#once(body, headers);
    return second === 'idle-connection-ended' ? { kind: 'none', why: 'the connection was reset' } : second;
  }

  #once(body: Uint8Array, headers: Readonly<Record<string, string>>): Promise<PostAnswer | 'idle-connection-ended'> {
    if (this.#closed) return Promise.resolve({ kind: 'none', why: 'the egress ends' });
    const { promise, resolve } = Promise.withResolvers<PostAnswer | 'idle-connection-ended'>();
    const options: RequestOptions = {
      method: 'POST',
      agent: this.#agent,
      headers: { ...headers, 'content-type': 'application/json', 'content-length': body.length },
    };
    const request = (this.#url.protocol === 'https:' ? httpsRequest : httpRequest)(this.#url, options);
    const deadline = this.#clock.after(ANSWER_MS, () =>
      request.destroy(new Error(`there was no whole answer after ${ANSWER_MS} ms`)),
    );
    const end = (why: Error): void => void request.destroy(why);
    const settle = (answer: PostAnswer | 'idle-connection-ended'): void => {
      deadline.cancel();
      // The next request may run already.
      if (this.#end === end) this.#end = null;
      resolve(answer);
    };
    this.#end = end;
    request.on('error', (error: NodeJS.ErrnoException) => {
      const isIdle = request.reusedSocket && error.code === 'ECONNRESET' && !this.#closed;
      settle(isIdle ? 'idle-connection-ended' : { kind: 'none', why: shown(error.message || (error.code ?? 'unknown')) });
    });
    let answering: Promise<void> | null = null;
    request.on('response', (response) => {
      answering = answerOf(response).then(settle);
    });
    // An answer that switches protocols, among others, is neither a response nor an error.
    request.on('close', () => {
      if (answering === null) settle({ kind: 'none', why: 'the connection ended without an answer' });
    });
    request.end(body);
    return promise;
  }
}

function answerOf(response: IncomingMessage): Promise<PostAnswer> {
  const { promise, resolve } = Promise.withResolvers<PostAnswer>();
  const status = response.statusCode ?? 0;
  const retryAfterMs = secondsIn(response.headers['retry-after']);
  const answered = (text: string): void => resolve({ kind: 'status', status, retryAfterMs, text });
  let bytes = 0;
  const pieces: Buffer[] = [];
  response.on('data', (piece: Buffer) => {
    bytes += piece.length;
    pieces.push(piece);
    if (bytes <= MAX_ANSWER_BYTES) return;
    answered('');
    response.destroy();
  });
  response.on('end', () => answered(Buffer.concat(pieces).toString('utf8')));
  response.on('error', (error) => resolve({ kind: 'none', why: shown(error.message) }));
  response.on('close', () => resolve({ kind: 'none', why: 'its answer was cut off' }));
  return promise;
}

function secondsIn(value: string | undefined): number | null {
  return value !== undefined && /^\d{1,6}$/.test(value.trim()) ? Number(value) * 1_000 : null;
}

/** A collector chooses a part of these texts. */
function shown(text: string): string {
  return oneLine(text.slice(0, MAX_WHY));
}
