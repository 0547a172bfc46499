/** The picture of the zone: meshes on the left, the egress, destinations on the right. */
import { shortAmount } from '../../base/short-text.ts';
import type { AskedPage } from './asked-page.ts';
import { pageQuery } from './asked-page.ts';
import { plural } from '../../explain/lines.ts';
import { html, NOTHING, target } from './markup.ts';
import type { Html } from './markup.ts';
import { LATELY_MS } from './zone-view.ts';
import type { DestinationView, MeshView, ZoneView } from './zone-view.ts';

/** Rows of the picture; a zone with more has the rest of each mesh folded in one line. */
const ROWS = 36;
const FEWEST = 2;
const MOST_OPEN = 200;
const ROW = 26;
const MESH_GAP = 14;
const WIDTH = 1_000;
const LEFT = { x: 8, width: 236 };
const MIDDLE = { x: 412, width: 128 };
const RIGHT = { x: 660, width: 332 };

interface Row {
  readonly kind: 'destination';
  readonly of: DestinationView;
  readonly y: number;
}

interface Fold {
  readonly kind: 'fold';
  readonly count: number;
  readonly y: number;
}

interface Group {
  readonly mesh: MeshView;
  readonly y: number;
  readonly rows: readonly (Row | Fold)[];
}

export function zoneMap(view: ZoneView, asked: AskedPage, name: string): Html {
  const groups = layout(view, asked);
  const bottom = groups.at(-1)?.rows.at(-1)?.y ?? 0;
  const strays = view.strays.reduce((sum, [, count]) => sum + count, 0);
  const height = bottom + ROW + MESH_GAP + (strays > 0 ? ROW + MESH_GAP : 0);
  const middle = Math.max(ROW, height / 2);
  if (groups.length === 0 && strays === 0)
    return html`<p>
      ${asked.find === '' ? 'No destination is served.' : `No mesh and no destination has “${asked.find}” in its name.`}
    </p>`;
  return html`<svg
    class="zone"
    viewBox="0 0 ${WIDTH} ${height}"
    role="group"
    aria-label="The zone: meshes, the egress and destinations"
  >
    ${groups.map((group) => edges(group, middle))}
    ${strays > 0 ? edge({ x: LEFT.x + LEFT.width, y: height - ROW }, { x: MIDDLE.x, y: middle }, { rate: 0, refused: strays }) : NOTHING}
    <g class="egress">
      <rect x="${MIDDLE.x}" y="${middle - 24}" width="${MIDDLE.width}" height="48" rx="8" />
      <text x="${MIDDLE.x + MIDDLE.width / 2}" y="${middle + 5}" text-anchor="middle">
        ${short(name === '' ? 'egress' : name, 16)}
      </text>
    </g>
    ${groups.map((group) => groupNodes(group, asked))} ${strays > 0 ? strayNode(view, asked, height - ROW) : NOTHING}
  </svg>`;
}

/** Chooses what is shown, and places it. */
function layout({ meshes }: ZoneView, asked: AskedPage): readonly Group[] {
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
    const rows = shown.map((of, i): Row => ({ kind: 'destination', of, y: start + i * ROW }));
    const fold: readonly Fold[] =
      shown.length < all.length ? [{ kind: 'fold', count: all.length - shown.length, y: start + rows.length * ROW }] : [];
    y = start + (rows.length + fold.length) * ROW + MESH_GAP;
    return { mesh, y: start + ((rows.length + fold.length - 1) * ROW) / 2, rows: [...rows, ...fold] };
  });
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function edges({ mesh, y, rows }: Group, middle: number): Html {
  const from = { x: LEFT.x + LEFT.width, y };
  const out = { x: MIDDLE.x + MIDDLE.width, y: middle };
  return html`${edge(from, { x: MIDDLE.x, y: middle }, mesh)}${rows.map((row) =>
    edge(out, { x: RIGHT.x, y: row.y }, row.kind === 'fold' ? { rate: 0, refused: 0 } : row.of),
  )}`;
}

function edge(from: Point, to: Point, { rate, refused }: { readonly rate: number; readonly refused: number }): Html {
  const bend = (from.x + to.x) / 2;
  const width = Math.min(7, 1 + Math.log10(1 + rate)).toFixed(1);
  const kind = refused > 0 ? 'refused' : rate > 0 ? 'busy' : 'quiet';
  return html`<path
    class="edge ${kind}"
    stroke-width="${width}"
    d="M${from.x} ${from.y}C${bend} ${from.y} ${bend} ${to.y} ${to.x} ${to.y}"
  />`;
}

function groupNodes({ mesh, y, rows }: Group, asked: AskedPage): Html {
  const isOpen = asked.open === mesh.name;
  const link = target('/', { ...pageQuery(asked), open: isOpen ? '' : mesh.name }, 'map');
  const says = `mesh ${mesh.name}: ${plural(mesh.destinations.length, 'destination')}, ${figures(mesh)}`;
  const box = html`<rect x="${LEFT.x}" y="${y - 11}" width="${LEFT.width}" height="22" rx="5" />`;
  return html`<a data-key="mesh ${mesh.name}" class="node${troubled(mesh)}" href="${link}" data-live="map" aria-label="${says}"
      ><title>${says}</title>${box}<text x="${LEFT.x + 8}" y="${y + 4}">${short(mesh.name, 20)}</text
      ><text class="figures" x="${LEFT.x + LEFT.width - 8}" y="${y + 4}" text-anchor="end">${brief(mesh)}</text></a
    >
    ${rows.map((row) => (row.kind === 'fold' ? foldNode(row, link) : destinationNode(row, asked)))}`;
}

function foldNode({ count, y }: Fold, link: string): Html {
  return html`<a class="node fold" href="${link}" data-live="map"
    ><text x="${RIGHT.x + 8}" y="${y + 4}">and ${count} more</text></a
  >`;
}

function destinationNode({ of, y }: Row, asked: AskedPage): Html {
  const { mesh, name, health, healthy, addresses } = of;
  const list = of.refused > 0 ? 'refusals' : 'sessions';
  const link = target('/', { ...pageQuery(asked), mesh, destination: name, client: '' }, list);
  const says = `${name} in mesh ${mesh}: ${healthy} of ${plural(addresses, 'endpoint')} usable, ${figures(of)}`;
  return html`<a
    data-key="${mesh} ${name}"
    class="node ${health}${troubled(of)}"
    href="${link}"
    data-live="${list}"
    aria-label="${says}"
    ><title>${says}</title
    ><rect x="${RIGHT.x}" y="${y - 11}" width="${RIGHT.width}" height="22" rx="5" />${mark(health, RIGHT.x + 13, y)}<text
      x="${RIGHT.x + 26}"
      y="${y + 4}"
      >${short(name, 26)}</text
    ><text class="figures" x="${RIGHT.x + RIGHT.width - 8}" y="${y + 4}" text-anchor="end">${brief(of)}</text></a
  > `;
}

/** Health has a form of its own, not only a colour. */
function mark(health: DestinationView['health'], x: number, y: number): Html {
  switch (health) {
    case 'good':
      return html`<circle class="mark" cx="${x}" cy="${y}" r="4.5" />`;
    case 'some':
      return html`<path class="mark" d="M${x - 5.5} ${y + 5}h11l-5.5 -10z" />`;
    case 'none':
      return html`<path class="mark" d="M${x - 5} ${y - 5}l10 10m0 -10l-10 10" />`;
    default:
      return health satisfies never;
  }
}

function strayNode({ strays }: ZoneView, asked: AskedPage, y: number): Html {
  const count = strays.reduce((sum, [, each]) => sum + each, 0);
  const reasons = strays.map(([reason, each]) => `${each} ${reason}`).join(', ');
  const says = `refused before a destination was found: ${reasons}`;
  const link = target('/', { ...pageQuery(asked), mesh: '', destination: '', client: '' }, 'refusals');
  return html`<a data-key="strays" class="node has-refused" href="${link}" data-live="refusals" aria-label="${says}"
    ><title>${says}</title><rect x="${LEFT.x}" y="${y - 11}" width="${LEFT.width}" height="22" rx="5" /><text
      x="${LEFT.x + 8}"
      y="${y + 4}"
      >no destination</text
    ><text class="figures" x="${LEFT.x + LEFT.width - 8}" y="${y + 4}" text-anchor="end">${count} refused</text></a
  >`;
}

function troubled({ refused }: { readonly refused: number }): string {
  return refused > 0 ? ' has-refused' : '';
}

type Figures = Pick<MeshView, 'open' | 'rate' | 'refused'>;

function figures({ open, rate, refused }: Figures): string {
  const lately = `${refused} refused in the last ${LATELY_MS / 60_000} minutes`;
  return `${plural(open, 'connection')} open, ${shortAmount(rate)} bytes a second${refused === 0 ? '' : `, ${lately}`}`;
}

function brief({ open, rate, refused }: Figures): string {
  const parts = [
    refused > 0 ? `${shortAmount(refused)} refused` : [],
    open > 0 ? `${shortAmount(open)} open` : [],
    rate > 0 ? `${shortAmount(rate)}B/s` : [],
  ].flat();
  return parts.slice(0, 2).join(' · ');
}

function short(text: string, most: number): string {
  const chars = [...text];
  return chars.length <= most ? text : `${chars.slice(0, most - 1).join('')}…`;
}
