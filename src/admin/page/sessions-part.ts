import { shortAmount, shortDuration } from '../../base/short-text.ts';
import { SHOWN_SORTS } from '../../model/shown-session.ts';
import type { ShownAnswer, ShownSession, ShownSort } from '../../model/shown-session.ts';
import type { AskedPage } from './asked-page.ts';
import { askedFilter, pageQuery } from './asked-page.ts';
import type { PageFacts } from './facts.ts';
import { filterForm, limitField } from './filter-form.ts';
import { html, NOTHING, target } from './markup.ts';
import type { Html } from './markup.ts';
import { table } from './table.ts';

/** Lists open sessions. */
export async function sessionsPart(facts: PageFacts, asked: AskedPage): Promise<Html> {
  const { mesh, destination, client, sort, limit } = asked;
  const answer = await facts.sessions({ sort, most: limit, ...askedFilter(asked) });
  return html`${filterForm(asked, 'sessions', limitField(asked))}
    ${answer === null ? html`<p>Too many clients ask for sessions at the same time: the next update shows them.</p>` : list(answer, asked)}
    <p class="more"><a href="${target('/sessions', { mesh, destination, client, sort, limit: String(limit) })}">as JSON</a></p>`;
}

function list({ found, sessions, silent }: ShownAnswer, asked: AskedPage): Html {
  const missing = silent.length === 0 ? '' : ` The data sides ${silent.join(', ')} did not answer: their sessions are missing.`;
  if (sessions.length === 0) return html`<p>No session is open${found === 0 ? '' : ' within the limit'}.${missing}</p>`;
  const columns = ['Client', 'Mesh', 'Destination', 'Endpoint', 'State', ...SORTED.map((column) => heading(column, asked))];
  return html`<p>${sessions.length} of ${found}.${missing}</p>
    ${table({ label: 'List of open sessions', kind: 'tall', columns, rows: sessions.map(row) })}`;
}

interface SortedColumn {
  readonly sort: ShownSort;
  readonly name: string;
}

const NAMES: Readonly<Record<ShownSort, string>> = {
  age: 'Age',
  idle: 'Idle',
  bytes: 'Bytes up / down',
  rate: 'A second up / down',
};
const SORTED: readonly SortedColumn[] = SHOWN_SORTS.map((sort) => ({ sort, name: NAMES[sort] }));

function heading({ sort, name }: SortedColumn, asked: AskedPage): Html {
  const isIt = asked.sort === sort;
  const link = target('/', { ...pageQuery(asked), sort: sort === 'age' ? '' : sort }, 'sessions');
  return html`<th scope="col" ${isIt ? html` aria-sort="descending"` : NOTHING}>
    <a href="${link}" data-live="sessions">${name}${isIt ? ' ↓' : ''}</a>
  </th>`;
}

function row(session: ShownSession): Html {
  const { id, state, spiffeIds, clientAddress, clientPort, mesh, destination, sni, endpoint } = session;
  const who = spiffeIds[0] === undefined ? `${clientAddress}:${clientPort}` : spiffeIds[0];
  const to = destination === '' ? sni : destination;
  return html`<tr data-key="${id}">
    <td class="name" title="${clientAddress}:${clientPort}, session ${id}">${who}</td>
    <td>${mesh}</td>
    <td class="name">${to}</td>
    <td class="name">${endpoint}</td>
    <td>${state}</td>
    <td class="n">${shortDuration(session.ageMs)}</td>
    <td class="n">${shortDuration(session.idleMs)}</td>
    <td class="n">${shortAmount(session.bytesUp)} / ${shortAmount(session.bytesDown)}</td>
    <td class="n">${shortAmount(session.rateUp)} / ${shortAmount(session.rateDown)}</td>
  </tr> `;
}
