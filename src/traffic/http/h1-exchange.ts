import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { ignoreError } from '../../base/ignore-error.ts';
import { freeMemory } from '../free-memory.ts';
import type { Exchange, RequestHead, ResponseBody, ResponseHead } from './exchange.ts';
import type { H1Connection } from './h1-connection.ts';
import { wireReply } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';
import { RequestBody } from './request-body.ts';

/** One request of HTTP/1.1 and its answer. */
export class H1Exchange implements Exchange {
  readonly head: RequestHead;
  readonly body: RequestBody | null;
  answered = false;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #connection: H1Connection;
  readonly #wallMs: () => number;
  readonly #whenGone: (() => void)[] = [];

  constructor(
    head: RequestHead,
    {
      request,
      response,
      connection,
      wallMs,
    }: {
      readonly request: IncomingMessage;
      readonly response: ServerResponse;
      readonly connection: H1Connection;
      readonly wallMs: () => number;
    },
  ) {
    this.head = head;
    this.#request = request;
    this.#response = response;
    this.#connection = connection;
    this.#wallMs = wallMs;
    const { contentLengths, transferEncodings } = head.fields;
    const [length] = contentLengths;
    const hasBody = (length !== undefined && /[1-9]/.test(length)) || transferEncodings.length > 0;
    this.body = hasBody ? new RequestBody(request) : null;
    request.on('error', ignoreError);
    response.on('error', ignoreError);
  }

  get bodyIsRead(): boolean {
    return this.#request.complete;
  }

  get gone(): boolean {
    const { ending, socket } = this.#connection;
    return (ending && !this.answered) || socket.destroyed;
  }

  onGone(listener: () => void): void {
    this.#whenGone.push(listener);
    if (this.#whenGone.length > 1) return;
    const once = (): void => {
      if (this.#response.writableFinished) return;
      for (const each of this.#whenGone.splice(0)) each();
    };
    this.#connection.onCut = once;
    this.#response.once('close', once);
  }

  reply(reply: LocalReply): void {
    // The codec would end the connection at once, before the client has read its answer.
    if (reply.lingers === true && this.#isLast(reply.close === true)) {
      this.answered = true;
      this.#connection.end(reply);
      return;
    }
    const { status, headers, body } = wireReply(reply, { isGrpc: this.head.isGrpc, wallMs: this.#wallMs() });
    const sink = this.#begin({ status, headers }, reply.close === true);
    if (body !== '' && this.head.method !== 'HEAD') sink.write(Buffer.from(body));
    sink.end([]);
  }

  respond(head: ResponseHead): ResponseBody {
    return this.#begin(head, false);
  }

  /**
   * Tells whether the connection ends. An answer that comes before the end of its request ends it:
   * the rest of the request is not read.
   */
  #isLast(close: boolean): boolean {
    const { lastOfAll, last, front } = this.#connection;
    const isLastOfAll = lastOfAll && last === this.#request;
    return close || isLastOfAll || front.closing || !this.#response.shouldKeepAlive || !this.#request.complete;
  }

  #begin({ status, headers }: ResponseHead, close: boolean): ResponseBody {
    const response = this.#response;
    const connection = this.#connection;
    const last = this.#isLast(close);
    response.sendDate = false;
    response.removeHeader('connection');
    response.removeHeader('keep-alive');
    const { out, hasLength } = withoutTrailer(headers);
    const isBare = status === 204 || status === 304 || this.head.method === 'HEAD';
    if (!hasLength && !isBare) out.push('transfer-encoding', 'chunked');
    if (last) out.push('connection', 'close');
    if (isBare && !hasLength) response.strictContentLength = false;
    response.writeHead(status, STATUS_CODES[status] ?? '', out);
    this.answered = connection.answering = true;
    if (last) connection.ending = true;
    connection.gather();
    // Bytes above 0x7f stay as they are; `flushHeaders` would write them in UTF-8.
    if (!isBare) response.write('', 'latin1');
    return {
      write: (chunk) => response.write(chunk, () => freeMemory(chunk)),
      onDrain: (listener) => void response.on('drain', listener),
      end: () => {
        response.end();
        if (!last) return;
        // A client that is still sending would lose an answer that is followed directly by the end
        // of the connection.
        const finish = (): void => connection.finish(!this.#request.complete);
        if (response.writableFinished) finish();
        else response.once('finish', finish);
      },
      reset: () => connection.cut(),
    };
  }
}

/** Drops the header that announces trailers, which are not forwarded, and looks for a length. */
function withoutTrailer(headers: FlatHeaders): { readonly out: string[]; readonly hasLength: boolean } {
  const out: string[] = [];
  let hasLength = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name === 'content-length') hasLength = true;
    if (name !== 'trailer') out.push(name, headers[i + 1] ?? '');
  }
  return { out, hasLength };
}
