import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SystemPackage } from './sbom.ts';
import { librariesOf, ownerOf, within } from './target.ts';

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

/** Writes the authorities that clients of TLS trust, under `out`. */
export function writeCertificates(out: string): void {
  copy('/', CERTIFICATES, out);
}

/**
 * Writes what node needs of the system at `root` under `out`: its libraries where its loader looks
 * for them, the names of users, the configuration of look-ups. The list of packages is for
 * scanners, with the licence of each. Returns the part of the status file that is true of `out`.
 * The authorities are those of this machine, because the image of Node has none.
 */
export function writeSystem(out: string, root: string, node: string): string {
  const libraries = librariesOf(root, node);
  for (const library of libraries) copy(root, library, out);
  writeCertificates(out);
  copy(root, '/usr/lib/os-release', out);
  write(out, '/etc/passwd', 'root:x:0:0:root:/root:/sbin/nologin\nzone-egress:x:5678:5678::/tmp:/sbin/nologin\n');
  write(out, '/etc/group', 'root:x:0:\nzone-egress:x:5678:\n');
  write(out, '/etc/nsswitch.conf', 'hosts: files dns\n');
  mkdirSync(join(out, 'tmp'), { recursive: true, mode: 0o1777 });
  const names = [...new Set(libraries.map((library) => ownerOf(root, library)))].sort();
  const of = names.map((name) => ({ from: root, name }));
  const status = [...of, { from: '/', name: 'ca-certificates' }].map(({ from, name }) => {
    copy(from, `/usr/share/doc/${name}/copyright`, out);
    return `${paragraphs(readFileSync(join(from, '/var/lib/dpkg/status'), 'utf8')).get(name) ?? ''}\n`;
  });
  write(out, '/var/lib/dpkg/status', status.join('\n'));
  return status.join('\n');
}

function copy(root: string, path: string, out: string): void {
  const real = within(root, path);
  if (real === null) return;
  mkdirSync(dirname(join(out, path)), { recursive: true });
  copyFileSync(join(root, real), join(out, path));
}

function write(out: string, path: string, text: string): void {
  mkdirSync(dirname(join(out, path)), { recursive: true });
  writeFileSync(join(out, path), text);
}
