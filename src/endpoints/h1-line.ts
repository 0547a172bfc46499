import { Agent, request } from 'node:http';
import type { ClientRequest, ClientRequestArgs, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { ignoreError } from '../base/ignore-error.ts';
import { whenUnanswered } from '../base/unanswered.ts';
import { bodyKeeper, errorText, headerMap, whenReady } from './http-line.ts';
import type { HttpLine, LineOptions, CheckRequest, OnCheckResponse } from './http-line.ts';

/** One connection of HTTP/1.1, kept by Node's own agent. */
class OneSocket extends Agent {
  readonly #dial: LineOptions['dial'];
  #stop: (() => void) | null = null;

  constructor({ dial, reuse }: LineOptions) {
    super({ keepAlive: reuse, maxSockets: 1, maxFreeSockets: 1 });
    this.#dial = dial;
  }

  override createConnection(_options: ClientRequestArgs, done?: (error: Error | null, socket: Duplex) => void): null {
    const dialled = this.#dial();
    this.#stop = whenReady(dialled, (why, socket) => {
      this.#stop = null;
      done?.(why === null ? null : new Error(why), socket);
    });
    return null;
  }

  /** Ends the connection in the making, which is no longer needed. */
  stopDialling(): void {
    this.#stop?.();
    this.#stop = null;
  }
}

export class Http1Line implements HttpLine {
  readonly #agent: OneSocket;

  constructor(options: LineOptions) {
    this.#agent = new OneSocket(options);
  }

  ask({ method, host, path, headers, body, keepBytes }: CheckRequest, told: OnCheckResponse): () => void {
    let over = false;
    let sent: ClientRequest | null = null;
    const finish = (answer: Parameters<OnCheckResponse>[0]): void => {
      if (over) return;
      over = true;
      if (typeof answer === 'string') this.#drop(sent);
      told(answer);
    };
    try {
      const length = body === null && !/^(?:POST|PUT|PATCH)$/.test(method) ? [] : ['content-length', String(body?.length ?? 0)];
      sent = request({ agent: this.#agent, method, path, headers: ['host', host, ...headers, ...length] });
      sent.on('error', (error) => finish(errorText(error)));
      whenUnanswered(sent, (error) => finish(errorText(error)));
      sent.on('response', (response) => read(response, keepBytes, finish));
      sent.end(body ?? undefined);
    } catch (error) {
      finish(errorText(error));
    }
    return () => {
      over = true;
      this.#drop(sent);
    };
  }

  close(): void {
    this.#agent.stopDialling();
    this.#agent.destroy();
  }

  #drop(sent: ClientRequest | null): void {
    this.#agent.stopDialling();
    sent?.on('error', ignoreError);
    sent?.destroy();
  }
}

function read(response: IncomingMessage, keepBytes: number, finish: OnCheckResponse): void {
  const { take, whole } = bodyKeeper(keepBytes);
  response.on('error', (error) => finish(errorText(error)));
  response.on('data', (chunk: Buffer) => {
    if (!take(chunk)) finish(`its answer is longer than ${keepBytes} bytes`);
  });
  response.on('end', () =>
    finish({
      status: response.statusCode ?? 0,
      headers: headerMap(response.rawHeaders),
      trailers: headerMap(response.rawTrailers),
      body: whole(),
    }),
  );
  response.on('close', () => finish('its answer ended early'));
}
