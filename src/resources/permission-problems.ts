import type { Origin } from '../model/compiled.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import type { Findings } from './findings.ts';
import { meshPermissionName } from './mesh-permissions.ts';
import type { RemoteService } from './passthrough.ts';
import { permissionName } from './permissions.ts';
import type { MeshResources } from './resource-set.ts';
import { MATCH_ALL, SERVICE_TAG } from './tags.ts';

/** The most hints. Each search for the intended name compares it with every service. */
const HINTS = 20;

/**
 * Warns about permissions whose services do not exist here: they belong to the zone itself, or are
 * misspelt.
 */
export function tellOfUnknownServices(
  { externalServices, permissions, meshPermissions }: MeshResources,
  remote: ReadonlyMap<string, RemoteService>,
  findings: Findings,
): void {
  const known = new Set([...externalServices.map(({ service }) => service), ...remote.keys()]);
  let hints = HINTS;
  const tell = (by: string, at: Origin, names: readonly (string | undefined)[]): void => {
    const unknown = names.filter((name) => name !== undefined && name !== '' && name !== MATCH_ALL && !known.has(name));
    const [first] = unknown;
    if (first === undefined || unknown.length < names.length) return;
    const hint = hints-- > 0 ? didYouMean(first, known) : '';
    findings.warn(at, '', `${by}: selects nothing on this egress: no ExternalService and no ZoneIngress offers ${first}${hint}`);
  };
  for (const permission of permissions) {
    const names = permission.destinations.map((tags) => tags.get(SERVICE_TAG));
    tell(permissionName(permission), permission.meta.at, names);
  }
  for (const permission of meshPermissions) {
    const { targetRef } = permission;
    const isNamed = targetRef?.kind === 'MeshService' || targetRef?.kind === 'MeshServiceSubset';
    if (isNamed && !targetRef.byLabels) tell(meshPermissionName(permission), permission.meta.at, [targetRef.name]);
  }
}
