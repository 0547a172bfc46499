import { meshName, spiffeId } from '../model/names.ts';
import type { GoodConfig } from '../model/compiled.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { admitClaims, findRoute } from '../routing/decide.ts';
import type { UnusedPermission } from './print-suggestion.ts';
import type { SeenUse } from './seen-use.ts';

/**
 * Lists the permissions that decide about a destination here and let in none of these clients.
 * Those that select no destination of this egress are for the sidecars, and are not judged.
 */
export function unusedPermissions(
  { snapshot, origins }: Pick<GoodConfig, 'snapshot' | 'origins'>,
  uses: readonly SeenUse[],
): readonly UnusedPermission[] {
  const used = new Set(uses.flatMap((use) => [...use.by, decidesNow(snapshot, use)]).flatMap((by) => by.split(' and ')));
  return [...origins]
    .flatMap(([key, { file, line }]) => {
      const name = key.slice('permission:'.length);
      const isOne = key.startsWith('permission:') && POLICY.test(name) && !name.includes(', ');
      return isOne && !used.has(name) ? [{ name, place: `${file}:${line}` }] : [];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const POLICY = /^(Mesh)?TrafficPermission /;

/** Returns the name of the permission that lets the client in; empty where none does. */
function decidesNow(snapshot: Snapshot, { mesh, sni, uris }: SeenUse): string {
  const routed = findRoute(snapshot, sni);
  if (routed.kind === 'refusal') return '';
  const spiffeIds = uris.filter((uri) => uri.startsWith('spiffe://')).map(spiffeId);
  const admitted = admitClaims(routed, { mesh: meshName(mesh), spiffeIds, uris, issuer: '', expiry: '' });
  return admitted.kind === 'admitted' ? admitted.allowed.by : '';
}

/** Lists the destinations whose permission is judged here, and that no client used. */
export function unusedDestinations({ routes }: Snapshot, uses: readonly SeenUse[]): readonly string[] {
  const name = ({ mesh, destination }: { readonly mesh: string; readonly destination: string }): string =>
    `${destination} of mesh ${mesh}`;
  const used = new Set(uses.map(name));
  const all = [...routes.values()].flatMap((route) => (route.kind === 'terminate' ? [name(route)] : []));
  return [...new Set(all)].filter((each) => !used.has(each)).sort();
}
