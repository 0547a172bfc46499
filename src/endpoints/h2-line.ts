import { connect } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import { bodyKeeper, errorText, headerMap, whenReady } from './http-line.ts';
import type { HttpLine, LineOptions, CheckRequest, OnCheckResponse } from './http-line.ts';

/** One connection of HTTP/2. */
export class Http2Line implements HttpLine {
  readonly #options: LineOptions;
  #session: ClientHttp2Session | null = null;
  #socket: Socket | null = null;
  #isAsked = false;
  /** True when the service announced that it takes no more requests on this connection. */
  #isLeaving = false;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  ask(question: CheckRequest, told: OnCheckResponse): () => void {
    let over = false;
    let stop: () => void = () => this.close();
    const finish = (answer: Parameters<OnCheckResponse>[0]): void => {
      if (over) return;
      over = true;
      this.#isAsked = false;
      if (typeof answer === 'string' || !this.#options.reuse || this.#isLeaving) this.close();
      told(answer);
    };
    this.#isAsked = true;
    const send = (session: ClientHttp2Session): void => {
      stop = () => this.close();
      try {
        exchange(session.request(headersOf(question), { endStream: question.body === null }), question, finish);
      } catch (error) {
        finish(errorText(error));
      }
    };
    if (this.#session !== null) send(this.#session);
    else {
      try {
        stop = whenReady(this.#options.dial(), (why, socket) => (why === null ? send(this.#open(socket)) : finish(why)));
      } catch (error) {
        finish(errorText(error));
      }
    }
    return () => {
      over = true;
      this.#isAsked = false;
      stop();
    };
  }

  close(): void {
    this.#session?.destroy();
    this.#session = null;
    // After a GOAWAY the session waits for the service to end the connection.
    this.#socket?.destroy();
    this.#socket = null;
  }

  #open(socket: Socket): ClientHttp2Session {
    // The library takes over only a handle that is reading.
    socket.read(0);
    const session = connect('http://service', { createConnection: () => socket, settings: { enablePush: false } });
    const forget = (): void => {
      if (this.#session === session) this.#session = null;
    };
    session.on('error', forget);
    session.on('close', forget);
    session.on('goaway', () => {
      this.#isLeaving = true;
      if (!this.#isAsked) this.close();
    });
    this.#session = session;
    this.#socket = socket;
    this.#isLeaving = false;
    return session;
  }
}

function headersOf({ method, scheme, host, path, headers }: CheckRequest): OutgoingHttpHeaders {
  const all: Record<string, string | string[]> = {};
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const before = all[name] ?? [];
    all[name] = [...(typeof before === 'string' ? [before] : before), headers[i + 1] ?? ''];
  }
  for (const [name, values] of Object.entries(all)) if (values.length === 1) all[name] = values[0] ?? '';
  return { ...all, ':method': method, ':scheme': scheme, ':authority': host, ':path': path };
}

function exchange(stream: ClientHttp2Stream, { body, keepBytes }: CheckRequest, finish: OnCheckResponse): void {
  const { take, whole } = bodyKeeper(keepBytes);
  let status = 0;
  let headers = headerMap([]);
  let trailers = headers;
  let why = '';
  stream.on('error', (error) => (why = errorText(error)));
  stream.on('response', (_headers, _flags, raw?: unknown) => {
    headers = headerMap(textsOf(raw));
    status = Number(headers.get(':status') ?? 0);
  });
  stream.on('trailers', (_headers, _flags, raw?: unknown) => (trailers = headerMap(textsOf(raw))));
  stream.on('data', (chunk: Buffer) => {
    if (!take(chunk)) finish(`its answer is longer than ${keepBytes} bytes`);
  });
  stream.on('close', () => {
    const isWhole = stream.rstCode === 0 && stream.readableEnded && status > 0;
    finish(isWhole ? { status, headers, trailers, body: whole() } : why || `reset with code ${stream.rstCode ?? 0}`);
  });
  if (body !== null) stream.end(body);
}

function textsOf(raw: unknown): readonly string[] {
  return Array.isArray(raw) ? raw.map(String) : [];
}
