/** Brings a declaration to one form. Throws TypeError for an invalid one. */
import { statSync } from 'node:fs';
import { formatProblem, hasErrors } from '../../base/problem.ts';
import type { Problem } from '../../base/problem.ts';
import { ConfigError } from '../../control/sources/config-source.ts';
import { readResourceFolder } from '../../files/read-folder.ts';
import type { ResourceFiles } from '../../egress.ts';
import type { MeshResources } from '../../resources/resource-set.ts';
import type { FakeMeshOptions, FakeZoneOptions, Place } from './fake-zone-options.ts';

/** Makes an error with every problem in its message. */
export function configError(problems: readonly Problem[]): ConfigError {
  const error = new ConfigError(problems);
  error.message = [error.message, ...problems.map(formatProblem)].join('\n  ');
  return error;
}

/** Reads `host:port`, `tcp://host:port`, `tls://[::1]:443`, or host and port as fields. */
export function addressAndPortOf(to: string | Place): Place {
  if (typeof to !== 'string') return { address: to.address, port: to.port };
  const match = /^(?:(?:tcp|tls):\/\/)?(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})$/.exec(to);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new TypeError(`address ${JSON.stringify(to)}: allowed are host:port, tcp://host:port and tls://host:port`);
  return { address: match[1] ?? match[2] ?? '', port };
}

export async function filesOf(resources: FakeZoneOptions['resources']): Promise<ResourceFiles> {
  if (resources === undefined) return [];
  if (typeof resources !== 'string') return resources;
  if (resources.includes('\n')) return [{ path: 'resources.yaml', text: resources }];
  if (statSync(resources, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new TypeError(`resources ${JSON.stringify(resources)}: no such folder`);
  const { files, problems } = await readResourceFolder(resources);
  if (hasErrors(problems)) throw configError(problems);
  return files;
}

export function meshesOf(meshes: FakeZoneOptions['meshes'], hasOthers: boolean): Readonly<Record<string, FakeMeshOptions>> {
  if (meshes === undefined) return hasOthers ? {} : { default: {} };
  if (!isList(meshes)) return meshes;
  return Object.fromEntries(meshes.map((name) => [name, {}]));
}

function isList(meshes: NonNullable<FakeZoneOptions['meshes']>): meshes is readonly string[] {
  return Array.isArray(meshes);
}

export function isDeclared(declared: Readonly<Record<string, FakeMeshOptions>>, key: string): boolean {
  return Object.entries(declared).some(([mesh, { services = {} }]) =>
    Object.keys(services).some((service) => `${mesh}/${service}` === key),
  );
}

/**
 * Returns the content of a data source, inline or from a Secret; null where it needs a file, or
 * does not exist.
 */
export function inlineOf(
  source: MeshResources['mesh']['mtls'] extends infer Backend | null
    ? Backend extends { readonly cert: infer Source }
      ? Source
      : never
    : never,
  secrets: MeshResources['secrets'],
): string | null {
  if (source === null || source === undefined) return null;
  if (source.kind === 'inlineString') return source.value;
  if (source.kind === 'inline') return Buffer.from(source.value, 'base64').toString();
  return source.kind === 'secret' ? (secrets.get(source.value)?.text ?? null) : null;
}
