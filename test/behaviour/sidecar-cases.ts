// The recorded cases of clients behind a sidecar, each with a stand-in for it.
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { SessionRecord } from '../../src/egress.ts';
import { until } from '../egress/until.ts';
import { speakTcp } from './client.ts';
import type { Seen } from './client.ts';
import { TRUST_DOMAIN } from './dataplane-zone.ts';
import type { DataplaneZone } from './dataplane-zone.ts';
import { recordedClusters, startSidecar } from './sidecar.ts';
import { answerWords, counted } from './words.ts';

/** A recorded case: what the application saw. */
export interface RecordedSidecarCase {
  readonly end?: string;
  /** A number stands for bytes that came back as they were sent. */
  readonly got?: string | number;
  readonly status?: readonly string[];
}

/** The outcome; null for a connection that the sidecar ends by itself. */
export interface SidecarOutcome {
  readonly words: string;
  readonly record: SessionRecord | null;
}

export type SidecarCase = (zone: DataplaneZone) => Promise<SidecarOutcome>;

export function wordsOfSidecarCase({ end = '', got = '', status }: RecordedSidecarCase): string {
  if (status !== undefined) return counted(status.map((line) => line.split(' ')[1] ?? ''));
  if (typeof got === 'number') return 'all bytes came back; open';
  return [...answerWords(got), end.startsWith('FIN') ? 'FIN' : 'open'].join('; ');
}

const CLUSTERS = recordedClusters();

interface Asking {
  readonly workload?: string;
  readonly stays?: boolean;
  readonly quiet?: boolean;
}

/** Speaks plainly to the sidecar in front of this service. */
function through(cluster: string, play: (socket: Socket) => unknown, asking: Asking = {}): SidecarCase {
  return async (zone) => {
    const { workload = 'frontend', ...options } = asking;
    await using sidecar = await sidecarTo(zone, cluster, workload);
    const seen = await speakTcp(sidecar.at, play, options);
    return { words: wordsOf(seen), record: await zone.record(sidecar.ports.at(-1) ?? 0) };
  };
}

function sidecarTo(zone: DataplaneZone, name: string, workload: string): ReturnType<typeof startSidecar> {
  const cluster = CLUSTERS.get(name);
  if (cluster === undefined) throw new Error(`no recorded cluster ${name}`);
  const labels = { 'kuma.io/display-name': `${workload}-b`, 'kuma.io/mesh': 'mesh-b', 'kuma.io/workload': workload };
  return startSidecar({
    cluster,
    egress: zone.at,
    identity: zone.zone1.issue({ uris: [`spiffe://${TRUST_DOMAIN}/workload/${workload}`] }),
    trust: zone.zone1.ca.cert,
    tags: Object.entries(labels)
      .map(([key, value]) => `&${key}=${value}&`)
      .join(''),
  });
}

const wordsOf = ({ got, end }: Seen): string => [...answerWords(got.toString('latin1')), end].join('; ');

const ping = (cluster: string, asking: Asking = {}): SidecarCase =>
  through(cluster, (socket) => void socket.write('ping\n'), { stays: true, ...asking });
const refused = (cluster: string, asking: Asking = {}): SidecarCase =>
  through(cluster, (socket) => void socket.write('ping\n'), asking);
const http = (cluster: string, lines: readonly string[], asking: Asking = {}): SidecarCase =>
  through(cluster, (socket) => void socket.write(`${lines.join('\r\n')}\r\n\r\n`), asking);

const kri = (name: string, port: number): string => `kri_extsvc_mesh-b___${name}_${port}`;
const TCP = kri('b-tcp', 9_000);
const HTTP = kri('b-http', 80);
const OPEN = kri('b-http-open', 81);
const NONE = kri('b-none', 9_002);
const NONE_HTTP = kri('b-none-http', 82);
const OF_ZONE = 'kri_extsvc_mesh-b_zone-1__b-zone1_9000';
const GET = ['GET /x HTTP/1.1', 'host: b.test', 'connection: close'];
const WITH_USER = ['GET /x HTTP/1.1', 'host: b.test', 'x-user: u1', 'connection: close'];
const other: Asking = { workload: 'other' };

const megabyte: SidecarCase = async (zone) => {
  const bytes = randomBytes(2 ** 20);
  const got: Buffer[] = [];
  let length = 0;
  const outcome = await through(
    TCP,
    async (socket) => {
      socket.on('data', (chunk: Buffer) => {
        got.push(chunk);
        length += chunk.length;
      });
      socket.write(bytes);
      await until('all bytes have come back', () => length >= bytes.length || socket.readableEnded);
    },
    { stays: true },
  )(zone);
  const isSame = Buffer.concat(got).equals(bytes) && outcome.words.endsWith('open');
  return { ...outcome, words: isSame ? 'all bytes came back; open' : `${length} other bytes` };
};

/** One request is served before, as in the recording; the limit is five. */
export const rateLimitedSidecar: SidecarCase = async (zone) => {
  const lines: string[] = [];
  let last = await http(OPEN, WITH_USER)(zone);
  for (let i = 0; i < 8; i++) {
    last = await http(OPEN, WITH_USER)(zone);
    lines.push(/HTTP\/1\.1 (\d+)/.exec(last.words)?.[1] ?? last.words);
  }
  return { ...last, words: counted(lines) };
};

export const SIDECAR_CASES: Readonly<Record<string, SidecarCase>> = {
  frontend_tcp_allowed: ping(TCP),
  frontend_tcp_allowed_second_connection: ping(TCP),
  frontend_tcp_no_data: through(TCP, () => undefined, { quiet: true }),
  frontend_tcp_half_close: through(TCP, (socket) => void socket.end('bye\n')),
  frontend_tcp_1MiB: megabyte,
  frontend_http_allowed: http(HTTP, GET),
  frontend_http_other_host_header: http(HTTP, ['GET /x HTTP/1.1', 'host: anything.example:1234', 'connection: close']),
  frontend_http_post_100k: http(HTTP, [
    'POST /p HTTP/1.1',
    'host: b.test',
    'content-length: 100000',
    'connection: close',
    '',
    'x'.repeat(100_000 - 4),
  ]),
  frontend_http_two_requests_one_connection: http(HTTP, [
    'GET /1 HTTP/1.1',
    'host: b.test',
    '',
    'GET /2 HTTP/1.1',
    'host: b.test',
    'connection: close',
  ]),
  frontend_http_head: http(HTTP, ['HEAD /x HTTP/1.1', 'host: b.test', 'connection: close']),
  frontend_tcp_not_permitted: refused(NONE),
  frontend_tcp_not_permitted_no_data: through(NONE, () => undefined),
  frontend_http_not_permitted: http(NONE_HTTP, GET),
  frontend_zone_origin_mes: ping(OF_ZONE),
  frontend_http_open: http(OPEN, WITH_USER),
  frontend_tcp_mutual_tls_upstream: ping(kri('b-tls-mutual', 9_445)),
  frontend_grpc_upstream_down_http1_request: http(kri('b-grpc', 50_051), [
    'POST /service/method HTTP/1.1',
    'host: b.test',
    'content-type: application/grpc',
    'te: trailers',
    'content-length: 0',
    'connection: close',
  ]),
  other_tcp_not_permitted: refused(TCP, other),
  other_http_not_permitted: http(HTTP, GET, other),
  other_http_open_by_prefix: http(OPEN, GET, other),
  other_zone_origin_mes: ping(OF_ZONE, other),
};
