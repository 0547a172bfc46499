// A stand-in for Kuma's sidecar: it takes plain connections of its application and brings them to
// the egress, as the recorded clusters of a real sidecar say: server name, ALPN, form of HTTP, the
// ids that the egress may have.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { DEV } from '../data.ts';
import type { At } from './client.ts';

/** A recorded cluster, by what a sidecar needs of it. */
export interface SidecarCluster {
  readonly name: string;
  readonly sni: string;
  readonly alpn: readonly string[];
  readonly egressIds: readonly string[];
  readonly speaks: 'tcp' | 'http' | 'http2';
}

export interface Sidecar extends AsyncDisposable {
  /** Where its application finds the service. */
  readonly at: At;
  /** The local ports of the connections to the egress, in their order. */
  readonly ports: readonly number[];
}

export interface SidecarOptions {
  readonly cluster: SidecarCluster;
  readonly egress: At;
  readonly identity: { readonly cert: string; readonly key: string };
  readonly trust: string;
  /** The value of `x-kuma-tags`. */
  readonly tags?: string;
}

export function recordedClusters(): ReadonlyMap<string, SidecarCluster> {
  const text = gunzipSync(readFileSync(new URL('client/sidecar-one-egress.json.gz', DEV))).toString();
  const { clusters } = JSON.parse(text) as { clusters: readonly RecordedCluster[] };
  return new Map(clusters.map((cluster) => [cluster.name, sidecarCluster(cluster)]));
}

export interface RecordedCluster {
  readonly name: string;
  readonly transport_socket: {
    readonly typed_config: {
      readonly sni: string;
      readonly common_tls_context: {
        readonly alpn_protocols: readonly string[];
        readonly combined_validation_context: {
          readonly default_validation_context: {
            readonly match_typed_subject_alt_names: readonly { readonly matcher: { readonly exact: string } }[];
          };
        };
      };
    };
  };
  readonly typed_extension_protocol_options?: object;
}

export function sidecarCluster(recorded: RecordedCluster): SidecarCluster {
  const { name, transport_socket: socket, typed_extension_protocol_options: http } = recorded;
  const { sni, common_tls_context: tls } = socket.typed_config;
  const names = tls.combined_validation_context.default_validation_context.match_typed_subject_alt_names;
  return {
    name,
    sni,
    alpn: tls.alpn_protocols,
    egressIds: names.map(({ matcher }) => matcher.exact),
    speaks: http === undefined ? 'tcp' : JSON.stringify(http).includes('http2_protocol_options') ? 'http2' : 'http',
  };
}

export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const ports: number[] = [];
  const sockets = new Set<Socket>();
  const dial = async (): Promise<TLSSocket> => {
    const socket = await connectAsSidecar(options);
    ports.push(socket.localPort ?? 0);
    sockets.add(socket);
    return socket;
  };
  const server: Server =
    options.cluster.speaks === 'tcp'
      ? createTcpServer({ allowHalfOpen: true }, (client) => void passBytes(client, dial))
      : createHttpServer((request, response) => void passRequest(request, response, { ...options, dial }));
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => undefined)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    at: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    ports,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Rejects where the egress shows an id that the sidecar does not expect, or one it cannot verify. */
export async function connectAsSidecar({ cluster, egress, identity, trust }: SidecarOptions): Promise<TLSSocket> {
  const socket = connectTls({
    ...egress,
    ...identity,
    ca: trust,
    servername: cluster.sni,
    ALPNProtocols: [...cluster.alpn],
    // As Envoy by default.
    maxVersion: 'TLSv1.2',
    allowHalfOpen: true,
    checkServerIdentity(_, { subjectaltname = '' }) {
      const shown = subjectaltname.split(', ').map((name) => name.replace('URI:', ''));
      return cluster.egressIds.some((id) => shown.includes(id)) ? undefined : new Error(`the egress is ${subjectaltname}`);
    },
  } as ConnectionOptions);
  await once(socket, 'secureConnect');
  socket.on('error', () => undefined);
  return socket;
}

async function passBytes(client: Socket, dial: () => Promise<TLSSocket>): Promise<void> {
  const egress = await dial().catch(() => null);
  if (egress === null) return void client.destroy();
  egress.pipe(client);
  client.pipe(egress);
  // What Envoy does: the end of one leg without its data is the end of the other.
  egress.on('close', () => client.destroySoon());
}

interface Passing extends SidecarOptions {
  readonly dial: () => Promise<TLSSocket>;
}

async function passRequest(request: IncomingMessage, response: ServerResponse, passing: Passing): Promise<void> {
  const { cluster, tags, dial } = passing;
  const socket = await dial();
  const [host = []] = [pairsOf(request.rawHeaders).filter(([name]) => name.toLowerCase() === 'host')];
  const own = pairsOf(request.rawHeaders).filter(([name]) => !/^(?:host|connection)$/i.test(name));
  const added: readonly Pair[] = [
    ['x-forwarded-proto', 'http'],
    ['x-request-id', randomUUID()],
    ...(tags === undefined ? [] : [['x-kuma-tags', tags] as const]),
    ['x-envoy-expected-rq-timeout-ms', '15000'],
  ];
  response.sendDate = false;
  if (cluster.speaks === 'http2') return passOverHttp2(request, response, { socket, headers: [...own, ...added] });
  const onward = httpRequest({
    createConnection: () => socket,
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers: [...host, ...own, ...added].flat(),
  });
  request.pipe(onward);
  const [answer] = (await once(onward, 'response')) as [IncomingMessage];
  const headers = pairsOf(answer.rawHeaders).filter(([name]) => name.toLowerCase() !== 'connection');
  response.writeHead(answer.statusCode ?? 0, answer.statusMessage ?? '', headers.flat());
  answer.pipe(response);
  answer.on('end', () => socket.destroy());
}

type Pair = readonly [name: string, value: string];

async function passOverHttp2(
  request: IncomingMessage,
  response: ServerResponse,
  { socket, headers }: { readonly socket: TLSSocket; readonly headers: readonly Pair[] },
): Promise<void> {
  const session = connectHttp2('https://egress', { createConnection: () => socket });
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': request.method ?? 'GET',
    ':path': request.url ?? '/',
    ':authority': request.headers.host ?? '',
    ...Object.fromEntries(headers),
  });
  request.pipe(stream);
  const [answer] = (await once(stream, 'response')) as [Readonly<Record<string, string>>];
  const shown = Object.entries(answer).filter(([name]) => !name.startsWith(':'));
  response.writeHead(Number(answer[':status']), shown.flat());
  stream.pipe(response);
  stream.on('end', () => session.destroy());
}

function pairsOf(raw: readonly string[]): readonly Pair[] {
  return raw.flatMap((name, i): readonly Pair[] => (i % 2 === 0 ? [[name, raw[i + 1] ?? '']] : []));
}
