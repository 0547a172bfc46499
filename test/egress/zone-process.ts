// Runs `zone-egress` in a process of its own, as an operator does, with a zone on loopback around
// it.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createFakeZoneIngress } from '../../src/testing/egress/fake-zone-ingress.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { until } from './until.ts';

export const MAIN: string = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface ZoneFolder extends AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly adminPort: number;
  readonly readinessPort: number;
  /** Makes a session of `frontend` with this service, with its handshake done. */
  connect(service: string): Promise<TLSSocket>;
}

/** Writes a folder to serve, with the endpoints of its services. */
export async function writeZone(): Promise<ZoneFolder> {
  const mesh = await createTestMesh('default');
  const ingress = await createFakeZoneIngress({ ...mesh.client('backend'), trust: mesh.ca.cert });
  const tcp = await createFakeExternalService();
  const [port, adminPort, readinessPort] = [await freePort(), await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-process-'));
  writeFileSync(join(folder, 'zone.yaml'), zoneYaml(mesh, { port, adminPort, ingress: ingress.port, tcp: tcp.port }));
  const sockets = new Set<Socket>();
  return {
    folder,
    port,
    adminPort,
    readinessPort,
    async connect(service) {
      const socket = connectTls({
        port,
        host: '127.0.0.1',
        servername: `${service}{mesh=default}`,
        ...mesh.client('frontend'),
        rejectUnauthorized: false,
        allowHalfOpen: true,
      } as ConnectionOptions);
      sockets.add(socket);
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      return socket;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([ingress.close(), tcp.close()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function zoneYaml(mesh: TestMesh, ports: { port: number; adminPort: number; ingress: number; tcp: number }): string {
  return `${mesh.resources}---
type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: ${ports.port}, admin: { port: ${ports.adminPort} } }
---
type: ZoneIngress
name: west
zone: west
networking: { address: 127.0.0.1, port: ${ports.ingress}, advertisedAddress: 127.0.0.1, advertisedPort: ${ports.ingress} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: backend, kuma.io/zone: west } }]
---
type: ExternalService
mesh: default
name: legacy
tags: { kuma.io/service: legacy, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${ports.tcp}' }
---
type: TrafficPermission
mesh: default
name: frontend-out
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: legacy } }]
`;
}

export interface Process extends AsyncDisposable {
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  exited(): boolean;
  kill(signal: NodeJS.Signals): void;
  /** Returns its log so far. */
  lines(): readonly Record<string, unknown>[];
  stderr(): string;
  readonly pid: number;
}

/** Starts `zone-egress run` in a process of its own; resolves when it reports that it is ready. */
export async function run(zone: ZoneFolder, flags: readonly string[], openFiles?: number): Promise<Process> {
  const child = start(['run', '--resources', zone.folder, '--readiness-port', String(zone.readinessPort), ...flags], openFiles);
  const { output, exit } = child;
  const lines = (): Record<string, unknown>[] =>
    output.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  let exited = false;
  void exit.then(() => (exited = true));
  await until('it is ready', () => {
    if (exited) throw new Error(`it ended: ${output.stderr}${output.stdout}`);
    return lines().some(({ msg }) => msg === 'zone egress is ready');
  });
  return {
    exit,
    exited: () => exited,
    kill: (signal) => void child.process.kill(signal),
    lines,
    stderr: () => output.stderr,
    pid: child.process.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.process.kill('SIGKILL');
      await exit;
    },
  };
}

/** Runs a command to its end. */
export async function finish(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const { output, exit } = start(args);
  const { code } = await exit;
  return { code, ...output };
}

/** `openFiles`: at most so many files may be open in the process. */
export function start(
  args: readonly string[],
  openFiles?: number,
): {
  readonly process: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
} {
  // Without the variables of the test runner: this is the command as an operator runs it.
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const command = [process.execPath, MAIN, ...args];
  const limited = openFiles === undefined ? command : ['sh', '-c', `ulimit -n ${openFiles}; exec "$0" "$@"`, ...command];
  const [program = '', ...rest] = limited;
  const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const exit = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
  }));
  return { process: child, output, exit };
}

/** Returns status and body. */
export async function page(
  port: number,
  path: string,
  options: { readonly host?: string; readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  const { host = '127.0.0.1', method = 'GET', headers = {} } = options;
  const asked = request({ port, host, path, method, headers, agent: false });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return `${response.statusCode} ${text}`;
}

export async function refused(port: number): Promise<boolean> {
  const address = `:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  return !readFileSync('/proc/self/net/tcp', 'utf8').includes(address);
}
