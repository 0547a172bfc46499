// Question: what does it cost to refuse resumption? A sidecar speaks TLS 1.2 and offers a ticket
// from its second connection on; this egress makes a full handshake each time. `node
// perf/resumption.ts [--connections 1000] [--rounds 5]`. Measured is the CPU time of the server's
// process per connection, with a client certificate: our server, and the same server with tickets.
// Both alternate; the client is a process of its own. With tickets OpenSSL keeps the client's
// certificate in the session, and nothing is verified again.
import { spawn } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { TlsOptions, TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { meshServerOptions } from '../src/identity/server-context.ts';
import { contentHash } from '../src/model/names.ts';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import { cpuSeconds } from './processes.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '5' },
    serve: { type: 'string' },
  },
});

if (values.serve !== undefined) await serve(values.serve === 'tickets');
else await measure();

/** Runs one server on a free port; prints the port, and the client certificate that it accepts. */
async function serve(tickets: boolean): Promise<void> {
  const mesh = await createTestMesh('default', { keyType: 'rsa' });
  const { cert, key } = mesh.issue(
    { uris: ['spiffe://default/zone-egress'] },
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  );
  const credentials = {
    mesh: mesh.name,
    trust: mesh.ca.cert,
    generation: contentHash(createHash('sha256').update(mesh.ca.cert).digest('hex')),
    cert,
    key,
    notAfter: Date.now() + 3_600_000,
  } as Parameters<typeof meshServerOptions>[0];
  const ours = meshServerOptions(credentials);
  const options: TlsOptions = tickets
    ? { cert, key, ca: mesh.ca.cert, requestCert: true, rejectUnauthorized: false, sessionIdContext: 'default' }
    : ours;
  const server = createServer(options, (socket: TLSSocket) => {
    socket.on('error', () => {});
    socket.getPeerX509Certificate();
    socket.end();
    socket.resume();
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo;
    console.log(JSON.stringify({ port, client: mesh.client('frontend') }));
  });
}

interface Ready {
  readonly port: number;
  readonly client: { readonly cert: string; readonly key: string };
}

async function measure(): Promise<void> {
  const [connections, rounds] = [Number(values.connections), Number(values.rounds)];
  const file = fileURLToPath(import.meta.url);
  const contenders = await Promise.all(
    (['full', 'tickets'] as const).map(async (kind) => {
      const child = spawn(process.execPath, [file, '--serve', kind], { stdio: ['pipe', 'pipe', 'inherit'] });
      const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
      return { kind, child, ready: JSON.parse(line) as Ready, costs: [] as number[], reused: 0 };
    }),
  );
  for (const each of contenders) await run(each.ready, 50);
  for (let round = 0; round < rounds; round++) {
    for (const each of contenders) {
      const before = cpuSeconds(each.child.pid ?? 0);
      each.reused = await run(each.ready, connections);
      each.costs.push(((cpuSeconds(each.child.pid ?? 0) - before) / connections) * 1e3);
    }
  }
  console.log(`node perf/resumption.ts --connections ${connections} --rounds ${rounds}   (Node ${process.version})`);
  console.log('TLS 1.2, client key RSA-2048, server key P-256   resumed   CPU ms per connection, median [min-max]');
  for (const { kind, costs, reused, child } of contenders) {
    const sorted = costs.toSorted((a, b) => a - b);
    const [low, median, high] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)].map((ms) =>
      (ms ?? NaN).toFixed(2),
    );
    console.log(`${kind.padEnd(48)} ${`${reused}/${connections}`.padEnd(9)} ${median} [${low}-${high}]`);
    child.kill();
  }
}

/**
 * Makes connections one after another, each offering the session of the one before; returns how
 * many were resumed.
 */
async function run({ port, client }: Ready, count: number): Promise<number> {
  let session: Buffer | undefined;
  let reused = 0;
  for (let i = 0; i < count; i++) {
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'legacy.default',
      ...client,
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
      ...(session === undefined ? {} : { session }),
    });
    socket.on('error', () => {});
    socket.on('session', (next: Buffer) => (session = next));
    socket.resume();
    await once(socket, 'secureConnect');
    if (socket.isSessionReused()) reused++;
    socket.end();
    await once(socket, 'close');
  }
  return reused;
}
