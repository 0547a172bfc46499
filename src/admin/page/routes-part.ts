import { routingTable } from '../../routing/table.ts';
import type { RouteRow, RoutingTable } from '../../routing/table.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { AskedPage } from './asked-page.ts';
import { pageQuery } from './asked-page.ts';
import type { PageFacts } from './facts.ts';
import { html, target } from './markup.ts';
import type { Html } from './markup.ts';
import { table } from './table.ts';

const MOST = 100;
const MOST_ENDPOINTS = 3;
const COLUMNS = ['Destination', 'Mesh', 'SNI', 'Who may', 'By', 'Endpoints', 'TLS'];

/** Lists the routes with who may use them: those that fit the search, the first hundred. */
export function routesPart(facts: PageFacts, asked: AskedPage): Html {
  const { routes } = tableOf(facts.snapshot());
  const find = asked.find.toLowerCase();
  const found = find === '' ? routes : routes.filter((row) => isFound(row, find));
  const shown = found.slice(0, MOST);
  if (shown.length === 0)
    return html`<p>${routes.length === 0 ? 'No route is served.' : `No route has “${asked.find}” in a name.`}</p>`;
  const more = found.length - shown.length;
  return html`<p>
      ${shown.length} of ${routes.length}.${more > 0 ? ` Search narrows the other ${more}.` : ''} <a href="/routes">as JSON</a>
    </p>
    ${table({ label: 'List of routes', kind: 'tall', columns: COLUMNS, rows: shown.map((row) => rowOf(row, asked)) })}`;
}

function isFound({ sni, mesh, destination, who }: RouteRow, find: string): boolean {
  return [sni, mesh, destination, who].some((text) => text.toLowerCase().includes(find));
}

function rowOf({ sni, mesh, destination, mode, endpoints, who, by, tls }: RouteRow, asked: AskedPage): Html {
  const addresses = endpoints.slice(0, MOST_ENDPOINTS).map(({ address }) => address);
  const more = endpoints.length - addresses.length;
  const refused = who.startsWith('no client');
  const ask = target('/', { ...pageQuery(asked), sni }, 'explain');
  return html`<tr data-key="${sni}">
    <td class="name">${destination}</td>
    <td>${mesh}</td>
    <td class="name"><a href="${ask}" title="Explain a connection with this SNI">${sni}</a></td>
    <td class="sentence${refused ? ' bad' : ''}">${who}</td>
    <td class="name">${by}</td>
    <td class="name">${addresses.length === 0 ? 'none' : addresses.join(', ')}${more > 0 ? ` and ${more} more` : ''}</td>
    <td>${mode === 'passthrough' ? 'passed on' : tls}</td>
  </tr> `;
}

/** A configuration of ten thousand routes is written once, not at each update. */
const tables = new WeakMap<Snapshot, RoutingTable>();

function tableOf(snapshot: Snapshot): RoutingTable {
  const known = tables.get(snapshot) ?? routingTable(snapshot);
  tables.set(snapshot, known);
  return known;
}
