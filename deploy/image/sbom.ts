import { createHash } from 'node:crypto';
import type { RuntimePackage } from './lockfile.ts';

/** A package of Debian, from /var/lib/dpkg/status. */
export interface SystemPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

export interface Contents {
  readonly version: string;
  readonly nodeVersion: string;
  /** The processor of the image, by Debian's name. */
  readonly architecture: string;
  readonly npm: readonly RuntimePackage[];
  readonly system: readonly SystemPackage[];
}

/**
 * Writes the content of the image as CycloneDX 1.6. The same content gives the same text: the
 * serial number is derived from it, and no time is written.
 */
export function sbom(contents: Contents): string {
  const { version, nodeVersion, architecture, npm, system } = contents;
  const node = `pkg:generic/node@${nodeVersion}?arch=${architecture}`;
  const components = [
    {
      type: 'application',
      'bom-ref': node,
      name: 'node',
      version: nodeVersion,
      purl: node,
      licenses: [{ license: { id: 'MIT' } }],
    },
    ...npm.map(npmComponent),
    ...system.map(systemComponent),
  ];
  const egress = `pkg:npm/zone-egress@${version}`;
  return `${JSON.stringify(
    {
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      serialNumber: `urn:uuid:${uuidOf(JSON.stringify(components))}`,
      version: 1,
      metadata: {
        component: {
          type: 'application',
          'bom-ref': egress,
          name: 'zone-egress',
          version,
          purl: egress,
          licenses: [{ license: { id: 'Apache-2.0' } }],
        },
      },
      components,
    },
    null,
    2,
  )}\n`;
}

function npmComponent({ path, name, version, licence, integrity }: RuntimePackage): object {
  const [algorithm = '', digest = ''] = integrity.split(/-(.*)/);
  return {
    type: 'library',
    // The same version may be in two folders.
    'bom-ref': `${purlOfNpm(name, version)}#${path}`,
    name,
    version,
    purl: purlOfNpm(name, version),
    // An expression names several licences, an id one.
    licenses: [/[ (]/.test(licence) ? { expression: licence } : { license: { id: licence } }],
    hashes: [{ alg: algorithm.replace('sha', 'SHA-'), content: Buffer.from(digest, 'base64').toString('hex') }],
  };
}

function purlOfNpm(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

function systemComponent({ name, version, architecture }: SystemPackage): object {
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`;
  return { type: 'library', 'bom-ref': purl, name, version, purl };
}

function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}
