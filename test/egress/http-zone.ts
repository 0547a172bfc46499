// A zone with one HTTP service. The service is a bare TCP server, so that a test reads the exact
// bytes that arrived.
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { gone, startZone } from './zone.ts';
import type { Zone, ZoneOptions } from './zone.ts';

export const SHOP = 'shop{mesh=default}';

/** One request as it arrived, complete or cut. */
export interface Arrived {
  /** The request line and the headers, without those that the egress adds to every request. */
  readonly head: string;
  /** As on the wire, with its chunks. */
  body: string;
  whole: boolean;
}

export interface RawService {
  readonly port: number;
  readonly arrived: Arrived[];
  readonly connections: () => number;
  /** Resolves as soon as the condition holds, which is checked at every event of the service. */
  until(holds: () => boolean): Promise<void>;
}

export type Answer = (request: Arrived, socket: Socket) => string | null;

/** Answers with the path that was asked for. */
export const echoPath: Answer = ({ head }) => answerOf(`at ${head.split(' ')[1] ?? ''}`);

export function answerOf(body: string, headers = ''): string {
  return `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;
}

export async function startRawService(t: Test, answer: Answer = echoPath): Promise<RawService> {
  const sockets = new Set<Socket>();
  const arrived: Arrived[] = [];
  const waiting = new Set<() => void>();
  let connections = 0;
  const look = (): void => {
    for (const each of waiting) each();
  };
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    let rest = '';
    let current: Arrived | null = null;
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('data', (text: string) => {
      rest += text;
      for (;;) {
        if (current === null) {
          const end = rest.indexOf('\r\n\r\n');
          if (end < 0) break;
          current = { head: withoutAdded(rest.slice(0, end)), body: '', whole: false };
          arrived.push(current);
          rest = rest.slice(end + 4);
        }
        const taken: number | null = bodyEnd(current.head, rest);
        current.body = taken === null ? rest : rest.slice(0, taken);
        if (taken === null) break;
        rest = rest.slice(taken);
        current.whole = true;
        const bytes = answer(current, socket);
        current = null;
        if (bytes !== null) socket.write(bytes, 'latin1');
      }
      look();
    });
    socket.on('close', () => {
      sockets.delete(socket);
      // Bytes that form no request are listed as one too, so that no test overlooks them.
      if (rest !== '' && current === null) arrived.push({ head: `(no head) ${rest}`, body: '', whole: false });
      look();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return {
    port: (server.address() as AddressInfo).port,
    arrived,
    connections: () => connections,
    until: (holds) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!holds()) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

/**
 * Finds the end of the body in these bytes, or null. The service reads by the RFC, so that a second
 * request in a body is seen as one.
 */
function bodyEnd(head: string, bytes: string): number | null {
  if (/\r\ntransfer-encoding: chunked/i.test(head)) {
    let at = 0;
    for (;;) {
      const line = bytes.indexOf('\r\n', at);
      if (line < 0) return null;
      const size = parseInt(bytes.slice(at, line), 16);
      if (size === 0) {
        const end = bytes.indexOf('\r\n\r\n', line);
        return end < 0 ? null : end + 4;
      }
      at = line + 2 + size + 2;
      if (at > bytes.length) return null;
    }
  }
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
  return bytes.length < length ? null : length;
}

/** Removes what every request gets, so that a test lists only its own headers. */
function withoutAdded(head: string): string {
  return head
    .replace(/\r\nhost: shop\.partner\.test(?=\r\n|$)/, '')
    .replace(/\r\nconnection: keep-alive(?=\r\n|$)/, '')
    .replace(/\r\nx-forwarded-proto: https(?=\r\n|$)/, '')
    .replace(/\r\nx-request-id: [0-9a-f-]{36}(?=\r\n|$)/, '')
    .replace(/\r\nx-envoy-original-host: a(?=\r\n|$)/, '');
}

/**
 * The service `shop` at this address, and who may use it: clients of these names, or every client
 * of the mesh where none is named.
 */
export function shopService(
  address: string,
  { protocol = 'http', clients = [] }: { readonly protocol?: string; readonly clients?: readonly string[] } = {},
): string {
  const all = '{ targetRef: { kind: Mesh }, default: { action: Allow } }';
  const named = clients.map((name) => `{ targetRef: { kind: MeshService, name: ${name} }, default: { action: Allow } }`);
  return `type: ExternalService
name: shop
mesh: default
tags: { kuma.io/service: shop, kuma.io/protocol: ${protocol} }
networking: { address: '${address}' }
---
type: MeshTrafficPermission
name: shop
mesh: default
spec:
  targetRef: ${named.length === 0 ? '{ kind: Mesh }' : '{ kind: MeshService, name: shop }'}
  from: [${named.length === 0 ? all : named.join(', ')}]
`;
}

export interface HttpZoneOptions extends Omit<ZoneOptions, 'resources'> {
  readonly protocol?: 'http' | 'http2' | 'grpc';
  readonly more?: string;
}

/** The service is `shop.partner.test`; every client may use it. */
export async function startHttpZone(t: Test, port: number, options: HttpZoneOptions = {}): Promise<Zone> {
  const { protocol = 'http', more = '', traffic, ...rest } = options;
  return startZone(t, {
    lookup: async () => ['127.0.0.1'],
    ...rest,
    traffic: { allowedResolved: ['127.0.0.0/8'], ...traffic },
    resources: () => `${shopService(`shop.partner.test:${port}`, { protocol })}${more}`,
  });
}

/**
 * Sends these bytes on a connection of its own and returns what comes back until the connection
 * ends.
 */
export async function readAll(zone: Zone, bytes: string | Buffer): Promise<string> {
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  return readUntilGone(socket, bytes);
}

export async function readUntilGone(socket: TLSSocket, bytes: string | Buffer): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  await gone(socket);
  return text;
}

/**
 * Splits what a client read into answers, each by its length or chunks; bytes that are no answer
 * come last.
 */
export function answersIn(text: string): { readonly status: number; readonly head: string; readonly body: string }[] {
  const answers = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const head = end < 0 ? rest : rest.slice(0, end);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? 0);
    rest = end < 0 ? '' : rest.slice(end + 4);
    const taken = end < 0 ? 0 : (bodyEnd(head, rest) ?? rest.length);
    answers.push({ status, head, body: rest.slice(0, taken) });
    rest = rest.slice(taken);
  }
  return answers;
}
