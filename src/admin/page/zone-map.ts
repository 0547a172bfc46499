/** The picture of the zone: meshes on the left, the egress, destinations on the right. */
import { shortAmount } from '../../base/short-text.ts';
import { plural } from '../../base/plural.ts';
import type { AskedPage } from './asked-page.ts';
import { pageQuery } from './asked-page.ts';
import { mapLayout, MESH_GAP, ROW } from './map-layout.ts';
import type { DestinationRow, FoldRow, MeshGroup } from './map-layout.ts';
import { html, NOTHING, target } from './markup.ts';
import type { Html } from './markup.ts';
import { LATELY_MS } from './zone-view.ts';
import type { DestinationView, MeshView, ZoneView } from './zone-view.ts';

interface Column {
  readonly x: number;
  readonly width: number;
  /** The most characters of a name. */
  readonly name: number;
  /** The most figures beside it. */
  readonly figures: number;
}

/** The widths of a picture; a style shows the one that fits the screen. */
interface Frame {
  readonly kind: 'wide' | 'narrow';
  readonly width: number;
  readonly left: Column;
  readonly middle: Column;
  readonly right: Column;
}

const FRAMES: readonly Frame[] = [
  {
    kind: 'wide',
    width: 1_000,
    left: { x: 8, width: 236, name: 18, figures: 2 },
    middle: { x: 412, width: 128, name: 16, figures: 0 },
    right: { x: 660, width: 332, name: 26, figures: 2 },
  },
  {
    kind: 'narrow',
    width: 350,
    left: { x: 2, width: 88, name: 11, figures: 0 },
    middle: { x: 112, width: 14, name: 0, figures: 0 },
    right: { x: 148, width: 200, name: 15, figures: 1 },
  },
];

interface Drawn {
  readonly frame: Frame;
  readonly asked: AskedPage;
  /** The height of the egress. */
  readonly middle: number;
}

export function zoneMap(view: ZoneView, asked: AskedPage, name: string): Html {
  const groups = mapLayout(view, asked);
  const strays = view.strays.reduce((sum, [, count]) => sum + count, 0);
  if (groups.length === 0 && (strays === 0 || asked.find !== ''))
    return html`<p>
      ${asked.find === '' ? 'No destination is served.' : `No mesh and no destination has “${asked.find}” in its name.`}
    </p>`;
  const bottom = groups.at(-1)?.rows.at(-1)?.y ?? 0;
  const height = bottom + ROW + (strays > 0 ? ROW + MESH_GAP : 0);
  return html`${FRAMES.map((frame) => {
    const { kind, width, left, middle } = frame;
    const drawn = { frame, asked, middle: Math.max(ROW, height / 2) };
    const stray = { x: left.x + left.width, y: height - ROW };
    return html`<svg
      class="zone ${kind}"
      viewBox="0 0 ${width} ${height}"
      role="group"
      aria-label="The zone: meshes, the egress and destinations"
    >
      ${groups.map((group) => edges(group, drawn))}
      ${strays > 0 ? edge(stray, { x: middle.x, y: drawn.middle }, { rate: 0, refused: strays }) : NOTHING}
      ${egressNode(name, drawn)} ${groups.map((group) => groupNodes(group, drawn))}
      ${strays > 0 ? strayNode(view, strays, { ...drawn, y: height - ROW }) : NOTHING}
    </svg>`;
  })}`;
}

function egressNode(name: string, { frame, middle }: Drawn): Html {
  const { x, width, name: most } = frame.middle;
  const text = html`<text x="${x + width / 2}" y="${middle + 5}" text-anchor="middle"
    >${short(name === '' ? 'egress' : name, most)}</text
  >`;
  return html`<g class="egress">
    <rect x="${x}" y="${middle - 24}" width="${width}" height="48" rx="7" />${most === 0 ? NOTHING : text}
  </g>`;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function edges({ mesh, y, rows }: MeshGroup, { frame: { left, middle: egress, right }, middle }: Drawn): Html {
  const out = { x: egress.x + egress.width, y: middle };
  return html`${edge({ x: left.x + left.width, y }, { x: egress.x, y: middle }, mesh)}${rows.map((row) =>
    edge(out, { x: right.x, y: row.y }, row.kind === 'fold' ? { rate: 0, refused: 0 } : row.of),
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

function groupNodes({ mesh, y, rows }: MeshGroup, drawn: Drawn): Html {
  const { asked, frame } = drawn;
  const link = target('/', { ...pageQuery(asked), open: asked.open === mesh.name ? '' : mesh.name }, 'map');
  const says = `mesh ${mesh.name}: ${plural(mesh.destinations.length, 'destination')}, ${figures(mesh)}`;
  const box = boxOf(frame.left, y, { name: mesh.name, says, brief: brief(mesh), mark: NOTHING });
  return html`<a data-key="mesh ${mesh.name}" class="node${troubled(mesh)}" href="${link}" data-live="map">${box}</a>
    ${rows.map((row) => (row.kind === 'fold' ? foldNode(row, link, drawn) : destinationNode(row, drawn)))}`;
}

function foldNode({ count, y }: FoldRow, link: string, { frame: { right } }: Drawn): Html {
  return html`<a class="node fold" href="${link}" data-live="map"
    ><text x="${right.x + 8}" y="${y + 4}">and ${count} more</text></a
  >`;
}

function destinationNode({ of, y }: DestinationRow, { frame: { right }, asked }: Drawn): Html {
  const { mesh, name, health, healthy, addresses } = of;
  const list = of.refused > 0 ? 'refusals' : 'sessions';
  const link = target('/', { ...pageQuery(asked), mesh, destination: name, client: '' }, list);
  const says = `${name} in mesh ${mesh}: ${healthy} of ${plural(addresses, 'endpoint')} usable, ${figures(of)}`;
  const box = boxOf(right, y, { name, says, brief: brief(of), mark: markOf(health, right.x + 13, y) });
  return html`<a data-key="${mesh} ${name}" class="node ${health}${troubled(of)}" href="${link}" data-live="${list}">${box}</a>`;
}

function strayNode({ strays }: ZoneView, count: number, { frame, asked, y }: Drawn & { readonly y: number }): Html {
  const says = `refused before a destination was found: ${strays.map(([reason, each]) => `${each} ${reason}`).join(', ')}`;
  const link = target('/', { ...pageQuery(asked), mesh: '', destination: '', client: '' }, 'refusals');
  const name = frame.kind === 'wide' ? 'no destination' : `${count} lost`;
  const box = boxOf(frame.left, y, { name, says, brief: [`${count} refused`], mark: NOTHING });
  return html`<a data-key="strays" class="node has-refused" href="${link}" data-live="refusals">${box}</a>`;
}

interface Box {
  readonly name: string;
  readonly says: string;
  readonly brief: readonly string[];
  readonly mark: Html;
}

function boxOf(column: Column, y: number, { name, says, brief: all, mark }: Box): Html {
  const { x, width, name: most, figures: shown } = column;
  const text = x + (mark === NOTHING ? 8 : 26);
  const right = html`<text class="figures" x="${x + width - 8}" y="${y + 4}" text-anchor="end"
    >${all.slice(0, shown).join(' · ')}</text
  >`;
  return html`<title>${says}</title><rect x="${x}" y="${y - 11}" width="${width}" height="22" rx="5" />${mark}<text
      x="${text}"
      y="${y + 4}"
      >${short(name, most)}</text
    >${shown === 0 || all.length === 0 ? NOTHING : right}`;
}

/** Health has a form of its own, not only a colour. */
function markOf(health: DestinationView['health'], x: number, y: number): Html {
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

function troubled({ refused }: { readonly refused: number }): string {
  return refused > 0 ? ' has-refused' : '';
}

type Figures = Pick<MeshView, 'open' | 'rate' | 'refused'>;

function figures({ open, rate, refused }: Figures): string {
  const lately = `${refused} refused in the last ${LATELY_MS / 60_000} minutes`;
  return `${plural(open, 'connection')} open, ${shortAmount(rate)} bytes a second${refused === 0 ? '' : `, ${lately}`}`;
}

function brief({ open, rate, refused }: Figures): readonly string[] {
  return [
    refused > 0 ? `${shortAmount(refused)} refused` : [],
    open > 0 ? `${shortAmount(open)} open` : [],
    rate > 0 ? `${shortAmount(rate)}B/s` : [],
  ].flat();
}

function short(text: string, most: number): string {
  const chars = [...text];
  return chars.length <= most ? text : `${chars.slice(0, most - 1).join('')}…`;
}
