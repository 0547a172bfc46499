// assemble.ts OUT [--packages FILE] [--target DIR] [--app]: writes the content of the image, one
// folder for each layer. FILE is the list of packages of the base of `slim`, as dpkg prints it. DIR
// is the root of a system with Node, by default that of this machine. It may be for another
// processor, because nothing of it is started. --app leaves out the parts that need a build on
// Debian: Node, its libraries, certificates.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { HOME, licences, writeApp } from './app.ts';
import { readElf } from './elf.ts';
import type { Architecture } from './elf.ts';
import { runtimePackages } from './lockfile.ts';
import { sbom } from './sbom.ts';
import { systemPackages, writeCertificates, writeSystem } from './system.ts';
import { TRIPLETS } from './target.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { packages: { type: 'string' }, target: { type: 'string' }, app: { type: 'boolean', default: false } },
});
const out = positionals[0];
if (out === undefined) throw new Error('the folder to write to is missing');
const root = join(import.meta.dirname, '..', '..');
const npm = runtimePackages(root);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const nodeVersion = process.versions.node;
const node = process.execPath;
const system = values.target ?? '/';
/** The Node of the image, in `system`. */
const target = values.target === undefined ? node : '/usr/local/bin/node';
const architecture = architectureOf();

const app = join(out, 'app');
writeApp(root, app, npm);
writeFileSync(join(app, HOME, 'LICENSES-THIRD-PARTY'), licences(root, nodeLicence(), npm));
for (const [name, target] of [
  ['usr/local/bin/zone-egress', '/opt/zone-egress/bin/zone-egress.mjs'],
  // The path in Kuma's image, for manifests that use it.
  ['usr/bin/kuma-dp', '/opt/zone-egress/bin/zone-egress.mjs'],
] as const) {
  mkdirSync(dirname(join(app, name)), { recursive: true });
  symlinkSync(target, join(app, name));
}

const base = values.packages === undefined ? '' : readFileSync(values.packages, 'utf8');
writeSbom('slim', base);
const health = join(out, 'slim', HOME, 'bin', 'health');
mkdirSync(dirname(health), { recursive: true });
copyFileSync(join(import.meta.dirname, 'health'), health);
chmodSync(health, 0o755);

if (!values.app) {
  // Strips the names of functions that only debuggers read: 18 MB.
  const bin = join(out, 'node', 'usr', 'local', 'bin');
  mkdirSync(bin, { recursive: true });
  const strip = `${TRIPLETS[architecture]}-strip`;
  execFileSync(strip, ['--strip-unneeded', '-o', join(bin, 'node'), join(system, target)], { stdio: 'inherit' });
  chmodSync(join(bin, 'node'), 0o755);
  writeCertificates(join(out, 'certificates'));
  writeSbom('minimal', writeSystem(join(out, 'system'), system, target));
}

function writeSbom(variant: string, status: string): void {
  const home = join(out ?? '', variant, HOME);
  mkdirSync(home, { recursive: true });
  const text = sbom({ version, nodeVersion, architecture, npm, system: systemPackages(status) });
  writeFileSync(join(home, 'sbom.cdx.json'), text);
}

function architectureOf(): Architecture {
  if (values.target === undefined) return process.arch === 'arm64' ? 'arm64' : 'amd64';
  const found = readElf(readFileSync(join(system, target))).architecture;
  if (found === null)
    throw new Error(`${join(system, target)} is for another processor than ${Object.keys(TRIPLETS).join(' and ')}`);
  return found;
}

/** The official image has it beside its folders, npm's package inside. */
function nodeLicence(): string {
  const file = ['/usr/local/LICENSE', join(dirname(dirname(node)), 'LICENSE')].find((each) => existsSync(each));
  if (file === undefined) throw new Error('the licence of Node is not beside it');
  return readFileSync(file, 'utf8');
}
