// A zone with one endpoint for each path through the egress, all of which do what a test asks for,
// to test bytes, ends and resets.
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import type { TLSSocket, TlsOptions } from 'node:tls';
import type { SessionRecord } from '../../src/egress.ts';
import { echo } from '../../src/testing/egress/fake-external-service.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { startZone } from './zone.ts';
import type { ZoneOptions } from './zone.ts';

export const PATHS = ['passthrough', 'terminated', 're-encrypted'] as const;
export const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
/** Ways to carry bytes; worker threads use the adopted handle too. */
export const RELAYS: Readonly<Record<string, ZoneOptions>> = {
  'the adopted handle': { concurrency: 1 },
  'the public API': { concurrency: 1, traffic: { publicApiRelay: true } },
  'two worker threads': { concurrency: 2 },
};

type Path = (typeof PATHS)[number];
type Version = (typeof VERSIONS)[number];
type Serve = (socket: Socket, below: Socket) => void;

export interface On {
  readonly path: Path;
  readonly version: Version;
}

export interface Streams extends AsyncDisposable {
  /** What every endpoint does with its next connections. */
  serve: Serve;
  /** Connects a mesh client through the egress on this path; the record of the session follows. */
  connect(on: On): Promise<TLSSocket>;
  /** Returns the TCP connection of a client. */
  below(client: TLSSocket): Socket;
  record(client: TLSSocket): Promise<SessionRecord>;
}

/** Starts a zone with one endpoint for each path, all of which do what `serve` says. */
export async function startStreams(t: Parameters<typeof startZone>[0], options: ZoneOptions): Promise<Streams> {
  const zone = await startZone(t, options);
  const { mesh, external } = zone;
  const sealed = external.issue({ uris: [], dns: ['api.partner.test'] });
  const streams = { serve: echo as Serve };
  const serve: Serve = (socket, below) => streams.serve(socket, below);
  const plain = await startEndpoint(null, serve);
  const passed = await startEndpoint(
    { ...mesh.client('stream'), ca: mesh.ca.cert, requestCert: true, rejectUnauthorized: true },
    serve,
  );
  const tls = await startEndpoint({ ...sealed }, serve);
  zone.write('streams.yaml', resourcesOf({ plain: plain.port, passed: passed.port, tls: tls.port, ca: external.ca.cert }));
  await zone.egress.reload();
  const client = mesh.client('frontend');
  const raws = new WeakMap<TLSSocket, { raw: Socket; port: number; from: number }>();
  return Object.assign(streams, {
    async connect({ path, version }: On): Promise<TLSSocket> {
      // The kernel reuses the port of an ended session.
      const from = zone.records.length;
      const raw = zone.raw();
      await once(raw, 'connect');
      const { localPort = 0 } = raw;
      const socket = await zone.connect(sniOf(path, version), client, { socket: raw, minVersion: version, maxVersion: version });
      raws.set(socket, { raw, port: localPort, from });
      return socket;
    },
    below: (socket: TLSSocket): Socket => raws.get(socket)!.raw,
    record: (socket: TLSSocket): Promise<SessionRecord> => {
      const { port, from } = raws.get(socket)!;
      return zone.record((record) => record.clientPort === port && zone.records.indexOf(record) >= from);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([plain, passed, tls].map((endpoint) => endpoint.close()));
      await zone[Symbol.asyncDispose]();
    },
  });
}

export function sniOf(path: Path, version: Version): string {
  if (path === 'passthrough') return 'stream{mesh=default}';
  const name = path === 'terminated' ? 'plain' : version === 'TLSv1.2' ? 'sealed12' : 'sealed13';
  return encodeHashSni({ kind: 'mes', name, mesh: 'default', port: 9_000 });
}

export function resourcesOf(at: { host?: string; plain: number; passed: number; tls: number; ca: string }): string {
  const { host = '127.0.0.1' } = at;
  const mes = (name: string, port: number, tls: string): string => `type: MeshExternalService
mesh: default
name: ${name}
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: ${host}, port: ${port} }]
  ${tls}
`;
  const sealed = (version: string): string =>
    `tls: { enabled: true, version: { min: ${version}, max: ${version} }, verification: { serverName: api.partner.test, caCert: { inlineString: ${JSON.stringify(at.ca)} } } }`;
  return [
    `type: ZoneIngress
name: streams
zone: streams
networking: { address: 127.0.0.1, port: ${at.passed}, advertisedAddress: ${host}, advertisedPort: ${at.passed} }
availableServices:
- { mesh: default, instances: 1, tags: { kuma.io/service: stream, kuma.io/zone: streams } }
`,
    mes('plain', at.plain, ''),
    mes('sealed12', at.tls, sealed('TLS12')),
    mes('sealed13', at.tls, sealed('TLS13')),
  ].join('---\n');
}

interface Endpoint {
  readonly port: number;
  close(): Promise<void>;
}

/** Unlike the fakes it knows the TCP connection below TLS, which can be reset. */
export async function startEndpoint(tls: TlsOptions | null, serve: Serve): Promise<Endpoint> {
  const open = new Set<Socket>();
  const secured = tls === null ? null : createTlsServer({ ...tls, allowHalfOpen: true });
  const byPort = new Map<number, Socket>();
  secured?.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {});
    serve(socket, byPort.get(socket.remotePort ?? 0)!);
  });
  const front = createTcpServer({ allowHalfOpen: true }, (raw) => {
    const port = raw.remotePort ?? 0;
    open.add(raw);
    byPort.set(port, raw);
    raw.on('error', () => {});
    raw.on('close', () => {
      open.delete(raw);
      byPort.delete(port);
    });
    if (secured === null) serve(raw, raw);
    else secured.emit('connection', raw);
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  return {
    port: (front.address() as AddressInfo).port,
    async close() {
      for (const socket of open) socket.destroy();
      await once(front.close(), 'close');
    },
  };
}

/** Resolves with the end of a connection: the code of its error, or `end`. */
export function failureOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message));
    socket.on('end', () => resolve('end'));
    socket.on('close', () => resolve('close'));
    socket.resume();
  });
}

/** Resolves when a number has not changed for a fifth of a second. */
export async function stands(number: () => number): Promise<void> {
  let before = NaN;
  while (before !== number()) {
    before = number();
    await pause(200);
  }
}
