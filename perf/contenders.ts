// The contenders: this egress, the installed peers, and the floors. All do the same work with the
// same certificates and the same far end.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../test/free-ports.ts';
import type { Bed, HttpWork, MeshName, Work } from './bed.ts';
import { peers } from './peers/peers.ts';
import { startNode } from './processes.ts';

export interface StartOptions {
  readonly workers: number;
  /**
   * Number of further passthrough routes, named `route-<i>{mesh=default}`; all lead to the far end.
   */
  readonly routes?: number;
}

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly sni: string;
}

export interface Running {
  /** The root of its processes; null without any, because bytes go straight to the far end. */
  readonly pid: number | null;
  /** Returns null for work that it does not do. */
  at(work: Work | HttpWork, mesh?: MeshName): Target | null;
  /** Changes its configuration a little and makes it load the change. Null where it cannot. */
  readonly reload: (() => void) | null;
  stop(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  readonly kind: 'egress' | 'peer' | 'floor' | 'target';
  /** True for a peer with buffers as large as ours, which only some questions measure. */
  readonly variant: boolean;
  start(bed: Bed, options: StartOptions): Promise<Running>;
}

export function sniOf(work: Work | HttpWork, mesh: MeshName = 'default'): string {
  return `${SERVICES[work]}{mesh=${mesh}}`;
}

const SERVICES: Readonly<Record<Work | HttpWork, string>> = {
  passthrough: 'pass',
  terminated: 'term',
  're-encrypted': 're',
  http1: 'http1',
  http2: 'http2',
};

/** `main` is the program of this egress: the sources, or the build. */
export function allContenders(main = 'src/main.ts'): readonly Contender[] {
  return [
    { name: 'zone-egress', kind: 'egress', variant: false, start: (bed, options) => startEgress(main, bed, options) },
    ...peers(),
    pipe,
    direct,
  ];
}

async function startEgress(main: string, bed: Bed, { workers, routes = 0 }: StartOptions): Promise<Running> {
  const folder = join(bed.folder, `egress-${workers}-${routes}-${Math.random().toString(36).slice(2)}`);
  mkdirSync(folder);
  const [port, adminPort] = [await freePort(), await freePort()];
  writeFileSync(join(folder, 'zone.yaml'), zoneYaml(bed, { routes, port, adminPort }));
  let changes = 0;
  const change = (): void =>
    writeFileSync(join(folder, 'changed.yaml'), externalService('default', 'changed', bed.plain + (++changes % 2)));
  change();
  const egressProcess = await startNode(
    // As the image starts it.
    // prettier-ignore
    ['--max-semi-space-size=4', main, 'run', '--resources', folder, '--concurrency', String(workers), '--readiness-port', '0', '--allow-resolved', '127.0.0.0/8'],
    (line) => line.msg === 'zone egress is ready',
  );
  return {
    pid: egressProcess.pid,
    at: (work, mesh = 'default') => ({ host: '127.0.0.1', port: Number(egressProcess.ready.port), sni: sniOf(work, mesh) }),
    reload() {
      change();
      process.kill(egressProcess.pid, 'SIGHUP');
    },
    stop: () => egressProcess.stop(),
  };
}

/** The shortest relay that one can write with pipe(). */
const pipe: Contender = {
  name: '.pipe() relay',
  kind: 'floor',
  variant: false,
  async start(bed, { workers, routes = 0 }) {
    if (workers > 1 || routes > 0) return nothing;
    const relay = await startNode(['perf/pipe-relay.ts', bed.folder, String(bed.plain), String(bed.tls)]);
    return {
      pid: relay.pid,
      at: (work, mesh = 'default') =>
        work === 'http1' || work === 'http2'
          ? null
          : { host: '127.0.0.1', port: Number(relay.ready[`${work}-${mesh}`]), sni: sniOf(work, mesh) },
      reload: null,
      stop: () => relay.stop(),
    };
  },
};

const nothing: Running = { pid: null, at: () => null, reload: null, stop: async () => {} };

/**
 * Straight to the far end: the share of generator, far end and kernel. Its TLS asks for no client
 * certificate.
 */
const direct: Contender = {
  name: 'direct',
  kind: 'floor',
  variant: false,
  async start(bed) {
    return {
      ...nothing,
      at(work, mesh = 'default') {
        const ports = { passthrough: bed.plain, terminated: bed.tls, http1: bed.http?.http1, http2: bed.http?.http2 };
        const port = work === 're-encrypted' || mesh !== 'default' ? undefined : ports[work];
        return port === undefined ? null : { host: '127.0.0.1', port, sni: 'far.test' };
      },
    };
  },
};

interface Listener {
  readonly routes: number;
  readonly port: number;
  readonly adminPort: number;
}

export function zoneYaml(bed: Bed, { routes, port, adminPort }: Listener): string {
  const offered = ['pass', ...Array.from({ length: routes }, (_, i) => `route-${i}`)];
  return [
    bed.meshes,
    `type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: ${port}, admin: { port: ${adminPort} } }\n`,
    `type: ZoneIngress
name: far
zone: west
networking: { address: 127.0.0.1, port: ${bed.plain}, advertisedAddress: 127.0.0.1, advertisedPort: ${bed.plain} }
availableServices:
${offered.map((name) => `- { mesh: default, instances: 1, tags: { kuma.io/service: ${name}, kuma.io/zone: west } }\n`).join('')}`,
    externalService('default', 'term', bed.plain),
    externalService('ec', 'term', bed.plain),
    // By a name, which becomes the Host of their requests.
    externalService('default', 'http1', bed.http?.http1 ?? bed.plain, { host: 'localhost', protocol: 'http' }),
    externalService('default', 'http2', bed.http?.http2 ?? bed.plain, { host: 'localhost', protocol: 'http2' }),
    externalService(
      'default',
      're',
      bed.tls,
      {},
      `, tls: { enabled: true, serverName: far.test, caCert: { inlineString: ${JSON.stringify(bed.farCa)} } }`,
    ),
  ].join('---\n');
}

function externalService(
  mesh: string,
  name: string,
  port: number,
  { host = '127.0.0.1', protocol = 'tcp' }: { readonly host?: string; readonly protocol?: string } = {},
  more = '',
): string {
  return `type: ExternalService\nmesh: ${mesh}\nname: ${name}-${mesh}\ntags: { kuma.io/service: ${name}, kuma.io/protocol: ${protocol} }\nnetworking: { address: '${host}:${port}'${more} }\n`;
}
