import type { LastChanges } from '../admin/page/facts.ts';
import { nextTurn } from '../base/clock.ts';
import { accessChange } from '../explain/access-change.ts';
import { diffInTurns } from '../model/changes.ts';
import type { Snapshot } from '../model/snapshot.ts';

/** The most names in a list, and the most clients of one route. */
const MAX_NAMED = 10;
/** The most routes whose permissions are compared: each may name thousands of clients. */
const MAX_COMPARED = 100;
const MAX_TEXT = 200;

export async function whatChanged(before: Snapshot, after: Snapshot): Promise<LastChanges> {
  const { routes, clusters } = await diffInTurns(before, after, nextTurn);
  const names = routes.set.map(([name]) => name);
  const added = names.filter((name) => !before.routes.has(name));
  const changed = names.filter((name) => before.routes.has(name));
  const newlyAllowed: string[] = [];
  const noLongerAllowed: string[] = [];
  for (const [i, name] of [...changed, ...added, ...routes.removed].slice(0, MAX_COMPARED).entries()) {
    if (i % MAX_NAMED === MAX_NAMED - 1) await nextTurn();
    const { newly, noLonger } = accessChange(before.routes.get(name) ?? null, after.routes.get(name) ?? null);
    if (newly.length > 0) newlyAllowed.push(`${name}: ${few(newly).join(', ')}`);
    if (noLonger.length > 0) noLongerAllowed.push(`${name}: ${few(noLonger).join(', ')}`);
  }
  return {
    routesAdded: added.length,
    routesRemoved: routes.removed.length,
    routesChanged: changed.length,
    clustersChanged: clusters.set.length + clusters.removed.length,
    added: few(added),
    removed: few(routes.removed),
    changed: few(changed),
    newlyAllowed: few(newlyAllowed),
    noLongerAllowed: few(noLongerAllowed),
  };
}

function few(texts: readonly string[]): readonly string[] {
  const some = texts.slice(0, MAX_NAMED).map((text) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text));
  return texts.length > some.length ? [...some, `and ${texts.length - some.length} more`] : some;
}
