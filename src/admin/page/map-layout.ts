import type { AskedPage } from './asked-page.ts';
import type { DestinationView, MeshView, ZoneView } from './zone-view.ts';

/** Rows of the picture; a zone with more has the rest of each mesh folded in one line. */
const ROWS = 30;
const FEWEST = 2;
const MOST_OPEN = 200;
export const ROW = 26;
export const MESH_GAP = 14;

export interface DestinationRow {
  readonly kind: 'destination';
  readonly of: DestinationView;
  readonly y: number;
}

export interface FoldRow {
  readonly kind: 'fold';
  readonly count: number;
  readonly y: number;
}

export interface MeshGroup {
  readonly mesh: MeshView;
  readonly y: number;
  readonly rows: readonly (DestinationRow | FoldRow)[];
}

/** Chooses what is shown, and places it. */
export function mapLayout({ meshes }: ZoneView, asked: AskedPage): readonly MeshGroup[] {
  const find = asked.find.toLowerCase();
  const found = meshes.flatMap((mesh) => {
    if (find === '' || mesh.name.toLowerCase().includes(find)) return [mesh];
    const destinations = mesh.destinations.filter(({ name }) => name.toLowerCase().includes(find));
    return destinations.length === 0 ? [] : [{ ...mesh, destinations }];
  });
  const share = Math.max(FEWEST, Math.floor(ROWS / Math.max(1, found.length)));
  let y = ROW;
  return found.map((mesh) => {
    const most = mesh.name === asked.open ? MOST_OPEN : asked.open === '' ? share : FEWEST;
    const start = y;
    const all = mesh.destinations;
    // A fold of one line hides nothing that its own line could not show.
    const shown = all.length <= most + 1 ? all : all.slice(0, most);
    const rows = shown.map((of, i): DestinationRow => ({ kind: 'destination', of, y: start + i * ROW }));
    const fold: readonly FoldRow[] =
      shown.length < all.length ? [{ kind: 'fold', count: all.length - shown.length, y: start + rows.length * ROW }] : [];
    y = start + (rows.length + fold.length) * ROW + MESH_GAP;
    return { mesh, y: start + ((rows.length + fold.length - 1) * ROW) / 2, rows: [...rows, ...fold] };
  });
}
