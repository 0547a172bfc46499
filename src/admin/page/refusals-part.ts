import { REFUSALS } from '../../base/refusal.ts';
import type { RequestRecord } from '../../model/request-record.ts';
import type { SessionRecord } from '../../model/session-record.ts';
import type { AskedPage } from './asked-page.ts';
import { askedFilter, pageQuery } from './asked-page.ts';
import type { PageFacts } from './facts.ts';
import { filterForm } from './filter-form.ts';
import { html, target } from './markup.ts';
import type { Html } from './markup.ts';
import { ago } from './moment.ts';
import { table } from './table.ts';

const MOST = 30;

/** Lists refused sessions and requests, newest first, each with its sentence and its trace. */
export function refusalsPart(facts: PageFacts, asked: AskedPage): Html {
  const { mesh, destination, client, reason } = asked;
  const query = {
    outcome: 'refused',
    limit: MOST,
    ...askedFilter(asked),
    ...(reason === '' ? {} : { reason }),
  } as const;
  const found = [...facts.decisions(query), ...facts.requests(query)];
  const newest = found.sort((a, b) => b.startedAt - a.startedAt).slice(0, MOST);
  const now = facts.wall();
  return html`${filterForm(asked, 'refusals', reasonField(reason))}
    ${
      newest.length === 0
        ? html`<p>No refusal is remembered${isNarrow(asked) ? ' that fits the filter' : ''}.</p>`
        : table({
            label: 'Refusals, newest first',
            kind: 'stack',
            columns: ['When', 'Reason', 'Client', 'Asked for', 'Why', 'Trace'],
            rows: newest.map((record) => row(record, now)),
          })
    }
    <p class="more">
      <a href="${target('/decisions', { outcome: 'refused', mesh, destination, client, reason })}">as JSON</a
      >${isNarrow(asked) ? html` · <a href="${target('/', { ...pageQuery(asked), mesh: '', destination: '', client: '', reason: '' }, 'refusals')}">without the filter</a>` : html``}
    </p>`;
}

export function isNarrow({ mesh, destination, client, reason }: AskedPage): boolean {
  return `${mesh}${destination}${client}${reason}` !== '';
}

function row(record: SessionRecord | RequestRecord, now: number): Html {
  const { id, reason, detail, startedAt, spiffeIds, clientAddress, sni, mesh, destination } = record;
  const asked = 'method' in record ? `${record.method} ${record.authority}${record.path}` : sni === '' ? 'no SNI' : sni;
  const reached = destination === '' ? '' : ` in mesh ${mesh}`;
  const trace = target('/explain', { id, output: 'html' });
  return html`<tr data-key="${id}">
    <td>${ago(startedAt, now)}</td>
    <td class="bad">${reason}</td>
    <td class="name">${spiffeIds[0] ?? clientAddress}</td>
    <td class="name">${asked}${reached}</td>
    <td class="sentence">${detail === '' ? meaningOf(reason) : detail}</td>
    <td><a href="${trace}" aria-label="Explain ${id}">explain</a></td>
  </tr> `;
}

function meaningOf(reason: string): string {
  return Object.entries(REFUSALS).find(([code]) => code === reason)?.[1].meaning ?? '';
}

function reasonField(reason: string): Html {
  const codes = Object.keys(REFUSALS);
  return html`<label
    >Reason
    <select name="reason">
      <option value="">any</option>
      ${codes.map((code) => (code === reason ? html`<option selected>${code}</option>` : html`<option>${code}</option>`))}
    </select></label
  >`;
}
