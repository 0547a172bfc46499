// Follows the pages of docs/guides: each command runs as it stands there, in its order, in a folder
// of its own. A line that ends with `# exits with N` has to do so. `UPDATE_README=1` writes the
// table of capacity.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { REFUSALS } from '../src/base/refusal.ts';
import type { EnvoyResources } from '../src/testing/control-plane/envoy-resources.ts';
import { createFakeControlPlane } from '../src/testing/control-plane/fake-control-plane.ts';
import { capacityTable } from './capacity-table.ts';
import { runCommand } from './cli/running.ts';
import { until } from './egress/until.ts';
import { MAIN } from './egress/zone-process.ts';
import { freePort } from './free-ports.ts';
import { env, root } from './packed.ts';

const GUIDES = join(root, 'docs/guides');
const PAGES = readdirSync(GUIDES);

/** What another test runs, because it installs everything or takes fixed ports. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'npm pack': 'examples.test.ts',
  'npm install --global ./zone-egress-0.1.0.tgz': 'examples.test.ts',
  'zone-egress demo --once': 'egress/process.test.ts',
};

interface Ports {
  readonly mesh: number;
  readonly admin: number;
  readonly ready: number;
}

const withPorts = (text: string, { mesh, admin, ready }: Ports): string =>
  text.replaceAll('10002', String(mesh)).replaceAll('9901', String(admin)).replaceAll('9902', String(ready));

/** The commands of a page, with the exit code that it names. */
function commandsOf(text: string): readonly { readonly line: string; readonly code: number }[] {
  return [...text.matchAll(/^ *```sh\n([^]*?)^ *```/gm)]
    .flatMap(([, block = '']) => block.replaceAll('\\\n', ' ').split('\n'))
    .map((line) => ({ line: line.replace(/\s+#.*$/, '').trim(), code: Number(/exits with (\d+)/.exec(line)?.[1] ?? 0) }))
    .filter(({ line }) => line !== '');
}

/** Starts the line in the folder, and waits until it serves. */
async function serve(
  t: Test,
  dir: string,
  { args, ports }: { readonly args: readonly string[]; readonly ports: Ports },
): Promise<void> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: dir,
    env: { ...env, KUMA_READINESS_PORT: String(ports.ready) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += String(chunk)));
  await until(args.join(' '), () => {
    if (child.exitCode !== null) throw new Error(output);
    return output.includes('zone egress is ready');
  });
}

async function runLine(
  t: Test,
  dir: string,
  command: { readonly line: string; readonly code: number; readonly ports: Ports },
): Promise<void> {
  const { code, ports } = command;
  const line = withPorts(command.line, ports);
  const [, page] = /^curl -s '?(http:[^']+)'?$/.exec(line) ?? [];
  if (page !== undefined) {
    const { status } = await fetch(page);
    t.equal(status, 200, line);
    return;
  }
  const [words = '', target] = line.split(' > ');
  const args = [...words.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain = '']) => quoted ?? plain);
  if (args[0] !== 'zone-egress' || args[1] === 'version') {
    const shell = line.replace(/^zone-egress /, `"${process.execPath}" "${MAIN}" `);
    const { status, stderr } = spawnSync('sh', ['-c', shell], { cwd: dir, env, encoding: 'utf8' });
    t.strictSame({ status, stderr }, { status: code, stderr: '' }, line);
  } else if (args[1] === 'run') await serve(t, dir, { args: args.slice(1), ports });
  else {
    const ran = await runCommand(...args.slice(1));
    t.strictSame([ran.code, ran.err], [code, ''], `${line}: ${ran.out}`);
    if (target !== undefined) writeFileSync(join(dir, target), ran.out);
  }
  const zone = join(dir, 'my-zone/resources/20-zone.yaml');
  // The sample has fixed ports, which may be in use here.
  if (/^zone-egress generate zone /.test(line)) writeFileSync(zone, withPorts(readFileSync(zone, 'utf8'), ports));
}

/** What a control plane sends for one service of another zone. */
function oneRoute(port: number): EnvoyResources {
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const inspector = {
    name: 'envoy.filters.listener.tls_inspector',
    typedConfig: { '@type': type('listener.tls_inspector.v3.TlsInspector') },
  };
  const proxy = { '@type': type('network.tcp_proxy.v3.TcpProxy'), statPrefix: 'backend', cluster: 'backend' };
  const chain = {
    filterChainMatch: { transportProtocol: 'tls', serverNames: ['backend{mesh=default}'] },
    filters: [{ name: 'envoy.filters.network.tcp_proxy', typedConfig: proxy }],
  };
  const address = { socketAddress: { address: '127.0.0.1', portValue: port } };
  return {
    clusters: [{ name: 'backend', type: 'STATIC', connectTimeout: '5s' }],
    listeners: [{ name: 'egress', trafficDirection: 'INBOUND', address, listenerFilters: [inspector], filterChains: [chain] }],
  };
}

/** Connects a client of the sample zone to `api`, and waits until that has ended. */
async function connectAs(client: string, dir: string, ports: Ports): Promise<void> {
  const file = (name: string): string => readFileSync(join(dir, 'my-zone/certs', name), 'utf8');
  const socket = connect({
    port: ports.mesh,
    servername: 'api{mesh=default}',
    cert: file(`${client}.crt`),
    key: file(`${client}.key`),
    rejectUnauthorized: false,
  });
  socket.on('error', () => {}).resume();
  await once(socket, 'close');
}

/** What a page takes for granted, by its name. */
const BEFORE: Readonly<Record<string, (t: Test, dir: string, ports: Ports) => Promise<void>>> = {
  'join.md': async (t, dir, ports) => {
    const cp = await createFakeControlPlane({ resources: oneRoute(ports.mesh) });
    t.teardown(() => cp[Symbol.asyncDispose]());
    writeFileSync(join(dir, 'cp-ca.pem'), cp.caCert);
    writeFileSync(join(dir, 'key.pem'), (await runCommand('generate', 'signing-key', '--format', 'pem')).out);
    const [, resource = ''] = /^```yaml\n# egress\.yaml\n([^]*?)^```/m.exec(readFileSync(join(GUIDES, 'join.md'), 'utf8')) ?? [];
    writeFileSync(join(dir, 'egress.yaml'), withPorts(resource, ports));
    writeFileSync(join(dir, 'zone-1'), cp.url);
    writeFileSync(join(dir, 'zone-1-token'), cp.tokens.issue());
  },
  'troubleshooting.md': async (t, dir, ports) => {
    await runLine(t, dir, { line: 'zone-egress generate zone my-zone', code: 0, ports });
    await serve(t, dir, { args: ['run', '--resources', 'my-zone/resources'], ports });
    await connectAs('batch', dir, ports);
    await until('it is recorded', async () => {
      const answer = await fetch(`http://127.0.0.1:${ports.admin}/decisions?reason=denied`);
      const { decisions } = (await answer.json()) as { decisions: readonly { readonly id: string }[] };
      writeFileSync(join(dir, 'id'), decisions[0]?.id ?? '');
      return decisions.length > 0;
    });
  },
};

const start = process.cwd();
t.teardown(() => process.chdir(start));

for (const name of PAGES) {
  t.test(`${name}: its commands run`, async (t) => {
    const text = readFileSync(join(GUIDES, name), 'utf8');
    const dir = realpathSync(mkdtempSync(join(tmpdir(), 'zone-egress-guide-')));
    t.teardown(() => {
      process.chdir(start);
      rmSync(dir, { recursive: true, force: true });
    });
    process.chdir(dir);
    const ports = { mesh: await freePort(), admin: await freePort(), ready: await freePort() };
    await BEFORE[name]?.(t, dir, ports);
    for (const { line, code } of commandsOf(text).filter((each) => ELSEWHERE[each.line] === undefined)) {
      if (line.startsWith('zone-egress suggest')) {
        await connectAs('frontend', dir, ports);
        await connectAs('batch', dir, ports);
        const recorded = (): string => readFileSync(join(dir, 'sessions.ndjson'), 'utf8');
        await until('both are recorded', () => recorded().split('\n').length > 2);
      }
      // The control plane of the test has an address and a signing key of its own.
      if (name === 'join.md' && line.startsWith('zone-egress run')) {
        writeFileSync(join(dir, 'token'), readFileSync(join(dir, 'zone-1-token')));
        await runLine(t, dir, {
          line: line.replace('https://cp.zone-1:5678', readFileSync(join(dir, 'zone-1'), 'utf8')),
          code,
          ports,
        });
      } else if (line.includes('--id 0.1 ')) {
        await runLine(t, dir, { line: line.replace('--id 0.1 ', `--id ${readFileSync(join(dir, 'id'), 'utf8')} `), code, ports });
      } else await runLine(t, dir, { line, code, ports });
    }
  });
}

t.test('the reasons that troubleshooting names are codes of refusals', async (t) => {
  const rows = readFileSync(join(GUIDES, 'troubleshooting.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '));
  const named = rows.flatMap((row) =>
    [...(row.split(' | ')[1] ?? '').matchAll(/`([a-z]+(?:-[a-z]+)*)`/g)].map(([, code = '']) => code),
  );
  t.ok(named.length > 20, `${named.length} reasons`);
  t.strictSame(
    named.filter((code) => !Object.hasOwn(REFUSALS, code)),
    [],
  );
});

t.test('the table of capacity is made from the kept run of perf', async (t) => {
  const file = join(GUIDES, 'capacity.md');
  const block = /(?<=<!-- capacity -->)[^]*(?=<!-- \/capacity -->)/;
  if (process.env.UPDATE_README === '1') writeFileSync(file, readFileSync(file, 'utf8').replace(block, capacityTable()));
  t.equal(block.exec(readFileSync(file, 'utf8'))?.[0], capacityTable());
});

t.test('every page has a line in the list of guides, and commands are what is run', async (t) => {
  const list = readFileSync(join(GUIDES, 'README.md'), 'utf8');
  for (const name of PAGES.filter((each) => each !== 'README.md')) t.ok(list.includes(`](${name})`), name);
  const all = PAGES.flatMap((name) => commandsOf(readFileSync(join(GUIDES, name), 'utf8')));
  t.ok(all.length > 25, `${all.length} commands`);
  for (const [line, file] of Object.entries(ELSEWHERE)) {
    t.ok(
      all.some((each) => each.line === line),
      line,
    );
    t.ok(existsSync(join(root, 'test', file)), file);
  }
});
