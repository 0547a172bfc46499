/** Finds the clients that a permission admits and whose names are spelt like this one. */
import { editsWithin } from '../base/edits.ts';
import type { ClientClaims } from '../model/client.ts';
import type { Permission, Principal } from '../model/permission.ts';
import { inFile, filePlaceOf } from './trace.ts';
import type { NearMiss, Sources } from './trace.ts';

const MAX_EDITS = 2;
const MAX_SHOWN = 3;
/** Bounds the work for a client with many ids and a permission with many rules. */
const MAX_COMPARISONS = 100_000;

/** Returns at most three, nearest first. */
export function nearestClients(permission: Permission, client: ClientClaims, sources: Sources): readonly NearMiss[] {
  const found: { readonly rank: number; readonly miss: NearMiss }[] = [];
  let left = MAX_COMPARISONS;
  for (const { by, value } of allowedUris(permission)) {
    for (const uri of client.uris) {
      if (left-- <= 0) break;
      if (uri === value) continue;
      const place = filePlaceOf(sources, `permission:${by}`);
      if (uri.toLowerCase() === value.toLowerCase()) {
        const text = `the same in other letters: the client carries ${uri}, ${by} names ${value}${inFile(place)}`;
        found.push({ rank: 0, miss: { kind: 'case', name: value, text, place } });
        continue;
      }
      const edits = editsWithin(uri, value, MAX_EDITS);
      if (edits === null) continue;
      const away = edits === 1 ? 'one edit' : `${edits} edits`;
      const text = `${away} away: the client carries ${uri}, ${by} names ${value}${inFile(place)}`;
      found.push({ rank: edits, miss: { kind: 'spelling', name: value, text, place } });
    }
  }
  return found
    .sort((a, b) => a.rank - b.rank)
    .slice(0, MAX_SHOWN)
    .map(({ miss }) => miss);
}

function* allowedUris(permission: Permission): Generator<{ readonly by: string; readonly value: string }> {
  if (permission.kind === 'all-of') for (const part of permission.all) yield* allowedUris(part);
  if (permission.kind !== 'rules') return;
  for (const { action, by, principal } of permission.rules) {
    if (action !== 'deny') for (const value of urisOf(principal)) yield { by, value };
  }
}

function* urisOf(principal: Principal): Generator<string> {
  if (principal.kind === 'uri' && principal.match === 'exact' && principal.value.startsWith('spiffe://')) yield principal.value;
  if (principal.kind === 'and') for (const part of principal.all) yield* urisOf(part);
  if (principal.kind === 'or') for (const part of principal.any) yield* urisOf(part);
}
