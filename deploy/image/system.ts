import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SystemPackage } from './sbom.ts';

const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** Returns the paragraphs of installed packages in a status file of dpkg, by name. */
function paragraphs(status: string): ReadonlyMap<string, string> {
  return new Map(
    status
      .split('\n\n')
      .filter((text) => text.includes('Status: install ok installed'))
      .map((text) => [field(text, 'Package'), text.trim()]),
  );
}

function field(paragraph: string, name: string): string {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1] ?? '';
}

export function systemPackages(status: string): readonly SystemPackage[] {
  return [...paragraphs(status).values()].map((text) => ({
    name: field(text, 'Package'),
    version: field(text, 'Version'),
    architecture: field(text, 'Architecture'),
  }));
}

/**
 * Returns the libraries that a program is linked with, by the output of its loader, including the
 * loader.
 */
export function librariesOf(program: string): readonly string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

/** Writes the authorities that clients of TLS trust, under `out`. */
export function writeCertificates(out: string): void {
  copy(CERTIFICATES, out);
}

/**
 * Writes what node needs of a system under `out`: its libraries where its loader looks for them,
 * the names of users, the configuration of look-ups. The list of packages is for scanners, with the
 * licence of each. Returns the part of the status file that is true of `out`.
 */
export function writeSystem(out: string, node: string): string {
  const libraries = librariesOf(node);
  for (const library of libraries) copy(library, out);
  writeCertificates(out);
  copy('/usr/lib/os-release', out);
  write(out, '/etc/passwd', 'root:x:0:0:root:/root:/sbin/nologin\nzone-egress:x:5678:5678::/tmp:/sbin/nologin\n');
  write(out, '/etc/group', 'root:x:0:\nzone-egress:x:5678:\n');
  write(out, '/etc/nsswitch.conf', 'hosts: files dns\n');
  mkdirSync(join(out, 'tmp'), { recursive: true, mode: 0o1777 });
  const all = paragraphs(readFileSync('/var/lib/dpkg/status', 'utf8'));
  const names = [...new Set([...libraries.map(ownerOf), 'ca-certificates'])].sort();
  for (const name of names) copy(`/usr/share/doc/${name}/copyright`, out);
  const status = names.map((name) => `${all.get(name) ?? ''}\n`).join('\n');
  write(out, '/var/lib/dpkg/status', status);
  return status;
}

/** dpkg knows a file by the path of its installation, which may be below /usr now. */
function ownerOf(library: string): string {
  const real = realpathSync(library);
  for (const path of [library, real, real.replace(/^\/usr\//, '/')]) {
    try {
      return /^([^:,]+)/.exec(execFileSync('dpkg', ['-S', path], { encoding: 'utf8', stdio: 'pipe' }))?.[1] ?? '';
    } catch {
      // The file is not under this path.
    }
  }
  throw new Error(`no package of Debian owns ${library}`);
}

function copy(path: string, out: string): void {
  if (!existsSync(path)) return;
  mkdirSync(dirname(join(out, path)), { recursive: true });
  copyFileSync(path, join(out, path));
}

function write(out: string, path: string, text: string): void {
  mkdirSync(dirname(join(out, path)), { recursive: true });
  writeFileSync(join(out, path), text);
}
