// Starts peers that `install.sh` fetched, or that the machine has: with the configurations beside
// this file, everything in one folder, as one process tree.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { freePort } from '../../test/free-ports.ts';
import type { Bed } from '../bed.ts';
import { sniOf } from '../contenders.ts';
import type { Contender, Running, StartOptions } from '../contenders.ts';
import { CACHE } from '../generator.ts';
import { stop } from '../processes.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const NAMES = ['envoy', 'haproxy', 'nginx'] as const;
type PeerName = (typeof NAMES)[number];
/** Their own default, or Kuma's, and the maximum of this egress: 1 MiB for a direction. */
const BUFFERS: Readonly<Record<PeerName, number>> = { envoy: 1_048_576, haproxy: 16_384, nginx: 16_384 };
const LARGE = 1_048_576;

export function peers(): readonly Contender[] {
  return NAMES.flatMap((name) => {
    const binary = find(name);
    if (binary === null) return [];
    const usual = contender(name, binary, BUFFERS[name]);
    // Envoy's default is that large.
    return BUFFERS[name] === LARGE ? [usual] : [usual, contender(name, binary, LARGE)];
  });
}

export function missingPeers(): readonly string[] {
  return NAMES.filter((name) => find(name) === null);
}

/** Returns the version that each prints. */
export function peerVersions(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const binary = find(name);
      if (binary === null) return [];
      const { stdout, stderr } = spawnSync(binary, [name === 'envoy' ? '--version' : '-v'], { encoding: 'utf8' });
      return [[name, /\d+\.\d+\.\d+/.exec(stdout + stderr)?.[0] ?? 'unknown']];
    }),
  );
}

function find(name: PeerName): string | null {
  const folders = [join(CACHE, 'perf-peers', 'bin'), ...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

function contender(name: PeerName, binary: string, buffer: number): Contender {
  const variant = buffer !== BUFFERS[name];
  return {
    name: variant ? `${name} 1 MiB` : name,
    kind: 'peer',
    variant,
    start: (bed, options) => startPeer({ name, binary, buffer }, bed, options),
  };
}

interface Peer {
  readonly name: PeerName;
  readonly binary: string;
  readonly buffer: number;
}

interface Ports {
  readonly pass: number;
  readonly term: number;
  readonly ec: number;
  readonly re: number;
  readonly admin: number;
}

async function startPeer(peer: Peer, bed: Bed, { workers, routes = 0 }: StartOptions): Promise<Running> {
  const { name, binary, buffer } = peer;
  const folder = join(bed.folder, `${name}-${buffer}-${Math.random().toString(36).slice(2)}`);
  mkdirSync(folder);
  const [pass, admin] = [await freePort(), await freePort()];
  const ports: Ports =
    name === 'envoy'
      ? { pass, term: pass, ec: pass, re: pass, admin }
      : { pass, term: await freePort(), ec: await freePort(), re: await freePort(), admin };
  const write = (changed: number): void => {
    for (const [file, text] of configuration(peer, { bed, folder, ports, workers, routes, changed })) {
      writeFileSync(join(folder, `${file}.new`), text);
      renameSync(join(folder, `${file}.new`), join(folder, file));
    }
  };
  write(0);
  // prettier-ignore
  const args: Readonly<Record<PeerName, readonly string[]>> = {
    envoy: ['-c', join(folder, 'envoy.yaml'), '--concurrency', String(workers), '--log-level', 'error', '--use-dynamic-base-id', '--disable-hot-restart'],
    haproxy: ['-W', '-db', '-f', join(folder, 'haproxy.cfg')],
    nginx: ['-p', folder, '-c', join(folder, 'nginx.conf')],
  };
  const child = spawn(binary, args[name], { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  await listening(pass, () =>
    child.exitCode !== null || said.length > 10_000
      ? `${name} ended with ${child.exitCode}: ${said.join('').slice(-1_000)}`
      : null,
  );
  const pid = child.pid ?? 0;
  let changes = 0;
  return {
    pid,
    at(work, mesh = 'default') {
      const isHttp = work === 'http1' || work === 'http2';
      if (isHttp && name !== 'envoy') return null;
      const port =
        work === 'passthrough' ? ports.pass : work === 're-encrypted' ? ports.re : mesh === 'ec' ? ports.ec : ports.term;
      return { host: '127.0.0.1', port, sni: sniOf(work, mesh) };
    },
    reload() {
      write(++changes);
      // Envoy notices the moved file; the other two get a signal.
      if (name === 'haproxy') process.kill(pid, 'SIGUSR2');
      if (name === 'nginx') process.kill(pid, 'SIGHUP');
    },
    stop: () => stop(child),
  };
}

interface Facts {
  readonly bed: Bed;
  readonly folder: string;
  readonly ports: Ports;
  readonly workers: number;
  readonly routes: number;
  /** Another number makes another configuration. */
  readonly changed: number;
}

function configuration(peer: Peer, facts: Facts): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  const { bed, folder, ports, workers, routes, changed } = facts;
  const words: Readonly<Record<string, string | number>> = {
    FOLDER: bed.folder,
    PORT: ports.pass,
    TERM_PORT: ports.term,
    EC_PORT: ports.ec,
    RE_PORT: ports.re,
    ADMIN_PORT: ports.admin,
    PLAIN: bed.plain,
    TLS: bed.tls,
    HTTP1: bed.http?.http1 ?? bed.plain,
    HTTP2: bed.http?.http2 ?? bed.plain,
    WORKERS: workers,
    BUFFER: peer.buffer,
    PIPE: Math.max(peer.buffer, 65_536),
    USER: process.getuid?.() === 0 ? 'user root;' : '',
    MODULE: join(dirname(dirname(realpathSync(peer.binary))), 'debian/usr/lib/nginx/modules/ngx_stream_module.so'),
  };
  // Files of this process are in its own folder; certificates are shared.
  const own = /__FOLDER__(?=\/(envoy-listener|haproxy\.map|nginx\.))/g;
  const filled = (file: string): string =>
    readFileSync(join(HERE, file), 'utf8')
      .replaceAll(own, folder)
      .replace(/__([A-Z_]+[0-9]?)__/g, (_, word: string) => String(words[word] ?? ''));
  const names = [...(changed % 2 === 1 ? ['changed'] : []), ...Array.from({ length: routes }, (_, i) => `route-${i}`)];
  if (peer.name === 'envoy') {
    files.set('envoy-listener.yaml', withChains(filled('envoy-listener.yaml'), names, routes > 0));
    files.set('envoy.yaml', routes > 0 ? withClusters(filled('envoy.yaml'), names) : filled('envoy.yaml'));
  } else if (peer.name === 'haproxy') {
    files.set('haproxy.cfg', filled('haproxy.cfg'));
    files.set('haproxy.map', ['pass', ...names].map((name) => `${name}{mesh=default} pass\n`).join(''));
  } else {
    const system = '/usr/lib/nginx/modules/ngx_stream_module.so';
    const text = filled('nginx.conf');
    files.set('nginx.conf', existsSync(String(words.MODULE)) ? text : text.replace(String(words.MODULE), system));
    files.set('nginx.map', ['pass', ...names].map((name) => `"${name}{mesh=default}" 127.0.0.1:${bed.plain};\n`).join(''));
  }
  return files;
}

/** Adds a chain for each name, as kuma-cp makes them; JSON is YAML. */
function withChains(text: string, names: readonly string[], clusters: boolean): string {
  const listener = parse(text, { maxAliasCount: -1 }) as { resources: [{ filter_chains: unknown[] }] };
  for (const name of names)
    listener.resources[0].filter_chains.push({
      filter_chain_match: { transport_protocol: 'tls', server_names: [`${name}{mesh=default}`] },
      filters: [
        {
          name: 'envoy.filters.network.tcp_proxy',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
            stat_prefix: `default_${name}`,
            cluster: clusters ? `default:${name}` : 'default:pass',
          },
        },
      ],
    });
  return JSON.stringify(listener);
}

function withClusters(text: string, names: readonly string[]): string {
  const bootstrap = parse(text) as { static_resources: { clusters: [{ load_assignment: object }, ...object[]] } };
  const { clusters } = bootstrap.static_resources;
  const [first] = clusters;
  for (const name of names)
    clusters.push({
      ...first,
      name: `default:${name}`,
      load_assignment: { ...first.load_assignment, cluster_name: `default:${name}` },
    });
  return JSON.stringify(bootstrap);
}

/** Tries until the port accepts; throws the text of `problem`, or after a minute. */
async function listening(port: number, problem: () => string | null): Promise<void> {
  const until = performance.now() + 60_000;
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    const text = problem();
    if (text !== null) throw new Error(text);
    if (performance.now() > until) throw new Error(`wait for port ${port}: nobody listens after 60 s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
