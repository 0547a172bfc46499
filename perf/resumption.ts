// Question: what does resumption save, and what do tickets cost a client that offers none? `node
// perf/resumption.ts [--connections 500] [--rounds 7] [--case TEXT] [--profile FOLDER]`. Measured is the CPU time
// of the process of an egress per connection of a client with a certificate, which reads one answer
// of a service and ends: with resumption off, with it on for a client that offers nothing, and for
// one that offers its ticket each time, as sidecars do. All take turns. Client and service are
// another process. `perf/handshakes.ts` asks the same beside Envoy.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startEgress } from '../src/egress.ts';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../src/testing/egress/test-mesh.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '7' },
    case: { type: 'string', default: '' },
    profile: { type: 'string' },
    egress: { type: 'boolean', default: false },
  },
});

interface Start {
  readonly resources: string;
  readonly resumption: boolean;
  readonly profile: string | null;
}

if (values.egress) process.once('message', (start: Start) => void serve(start));
else await measure();

/** Runs an egress; answers each message with the CPU seconds that the process has used. */
async function serve({ resources, resumption, profile }: Start): Promise<void> {
  const egress = await startEgress({
    resources: [{ path: 'zone.yaml', text: resources }],
    port: 0,
    admin: false,
    logLevel: 'info',
    logDestination: { write: () => {} },
    traffic: { resumption },
  });
  const session = new Session();
  session.connect();
  if (profile !== null) await session.post('Profiler.enable');
  process.on('message', (message) => void answer(message));
  process.send?.({ port: egress.port });

  async function answer(message: unknown): Promise<void> {
    if (profile !== null && message === 'begin') await session.post('Profiler.start');
    if (profile !== null && message === 'end') {
      const { profile: found } = await session.post('Profiler.stop');
      writeFileSync(profile, JSON.stringify(found));
    }
    const { user, system } = process.cpuUsage();
    process.send?.((user + system) / 1e6);
  }
}

async function measure(): Promise<void> {
  const [connections, rounds] = [Number(values.connections), Number(values.rounds)];
  const mesh = await createTestMesh('default', { keyType: 'rsa' });
  const service = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.resume();
    socket.end('hello');
  });
  await once(service.listen(0, '127.0.0.1'), 'listening');
  const resources = zoneYaml(mesh, (service.address() as AddressInfo).port);
  const off = await startChild({ resources, resumption: false, profile: profileOf('off') });
  const on = await startChild({ resources, resumption: true, profile: profileOf('on') });
  const all = (['TLSv1.2', 'TLSv1.3'] as const).flatMap((version) => [
    { name: `${version}, resumption off`, egress: off, version, offers: false },
    { name: `${version}, on, no ticket offered`, egress: on, version, offers: false },
    { name: `${version}, on, ticket offered`, egress: on, version, offers: true },
  ]);
  const cases = all.filter(({ name }) => name.includes(values.case));
  const costs = cases.map(() => [] as number[]);
  const reused = cases.map(() => 0);
  const client = mesh.client('frontend');
  for (const each of cases) await run({ ...each, port: each.egress.port, client }, connections);
  for (let round = 0; round < rounds; round++) {
    for (const [i, each] of cases.entries()) {
      const before = await each.egress.ask('begin');
      reused[i] = await run({ ...each, port: each.egress.port, client }, connections);
      costs[i]?.push((((await each.egress.ask('end')) - before) / connections) * 1e3);
    }
  }
  console.log(`node perf/resumption.ts --connections ${connections} --rounds ${rounds}   (Node ${process.version})`);
  console.log('client key P-256, CA RSA-2048               resumed      CPU ms per connection, median [min-max]');
  for (const [i, { name }] of cases.entries()) {
    const sorted = (costs[i] ?? []).toSorted((a, b) => a - b);
    const [low, median, high] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)].map((ms) =>
      (ms ?? NaN).toFixed(3),
    );
    console.log(`${name.padEnd(43)} ${`${reused[i]}/${connections}`.padEnd(12)} ${median} [${low}-${high}]`);
  }
  for (const egress of [off, on]) egress.end();
  service.close();
}

function profileOf(name: string): string | null {
  return values.profile === undefined ? null : `${values.profile}/${name}.cpuprofile`;
}

async function startChild(start: Start) {
  const child = fork(fileURLToPath(import.meta.url), ['--egress']);
  child.send(start);
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return {
    port,
    async ask(message: string): Promise<number> {
      child.send(message);
      const [seconds] = (await once(child, 'message')) as [number];
      return seconds;
    },
    end: () => void child.kill(),
  };
}

interface Run {
  readonly port: number;
  readonly client: { readonly cert: string; readonly key: string };
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  readonly offers: boolean;
}

/** Makes connections one after another; returns how many were resumed. */
async function run({ port, client, version, offers }: Run, count: number): Promise<number> {
  let session: Buffer | undefined;
  let reused = 0;
  for (let i = 0; i < count; i++) {
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'api{mesh=default}',
      ...client,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      ALPNProtocols: ['kuma'],
      ...(session === undefined ? {} : { session }),
    });
    socket.on('error', () => {});
    if (offers) socket.on('session', (next: Buffer) => (session = next));
    socket.on('end', () => socket.end());
    socket.resume();
    await once(socket, 'secureConnect');
    if (socket.isSessionReused()) reused++;
    await once(socket, 'close');
  }
  return reused;
}

function zoneYaml(mesh: TestMesh, port: number): string {
  return [
    mesh.resources,
    `type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: 10002 }
`,
    `type: ExternalService
mesh: default
name: api
tags: { kuma.io/service: api, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${port}' }
`,
    `type: TrafficPermission
mesh: default
name: out
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: api } }]
`,
  ].join('\n---\n');
}
