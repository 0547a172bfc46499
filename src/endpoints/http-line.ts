/**
 * Connections for HTTP checks, one at a time: sends a question and returns the answer. It follows
 * no redirects and judges no answer.
 */
import type { Socket } from 'node:net';
import { ownLack } from '../base/own-lack.ts';
import { socketReason } from '../base/tls-words.ts';
import type { SocketError } from '../base/tls-words.ts';
import type { Dialling } from './probe.ts';

export interface CheckRequest {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly path: string;
  /** Names and values alternate; names in lower case, without `host`. */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  /** The most bytes of the answer's body that are kept; a longer body fails. 0 drops it. */
  readonly keepBytes: number;
}

export interface CheckResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly trailers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A text says why there is no answer. */
export type OnCheckResponse = (answer: CheckResponse | string) => void;

export interface HttpLine {
  /** Calls `told` once, unless it is cancelled before; returns the function that cancels. */
  ask(question: CheckRequest, told: OnCheckResponse): () => void;
  close(): void;
}

export interface LineOptions {
  /** Throws where a connection cannot be started. */
  readonly dial: () => Dialling;
  /** True uses the connection of a question for the next one. */
  readonly reuse: boolean;
}

/**
 * Waits until a connection and its TLS are ready: a check sends nothing to a server that is not
 * verified. Returns the function that stops the wait.
 */
export function whenReady({ socket, ready }: Dialling, done: (error: string | null, socket: Socket) => void): () => void {
  let why = 'closed by the endpoint';
  // The listener stays for the life of the socket: an error without a listener would end the
  // process.
  socket.on('error', (error: SocketError) => (why = errorText(error)));
  const stop = (): void => {
    socket.removeListener(ready, onReady);
    socket.removeListener('close', onClose);
  };
  const onReady = (): void => {
    stop();
    done(null, socket);
  };
  const onClose = (): void => {
    stop();
    done(why, socket);
  };
  socket.once(ready, onReady);
  socket.once('close', onClose);
  return () => {
    stop();
    socket.destroy();
  };
}

export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const known: SocketError & { readonly reason?: string } = error;
  if (known.code?.startsWith('HPE_') === true) {
    return `its answer is no HTTP/1.1 (${[known.code, ...(known.reason === undefined ? [] : [known.reason])].join(': ')})`;
  }
  return known.code === 'UNSPECIFIED' || ownLack(known.code) !== null ? socketReason(known) : (known.code ?? known.message);
}

/** The first value of a name counts. */
export function headerMap(flat: readonly string[]): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] ?? '').toLowerCase();
    if (!map.has(name)) map.set(name, flat[i + 1] ?? '');
  }
  return map;
}

/** Collects the body of an answer, or only counts its bytes. */
export function bodyKeeper(keepBytes: number): { readonly take: (chunk: Buffer) => boolean; readonly whole: () => Buffer } {
  const chunks: Buffer[] = [];
  let length = 0;
  return {
    take(chunk) {
      if (keepBytes === 0) return true;
      length += chunk.length;
      chunks.push(chunk);
      return length <= keepBytes;
    },
    whole: () => Buffer.concat(chunks),
  };
}
