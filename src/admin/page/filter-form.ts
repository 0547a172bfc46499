import { LIMITS, pageQuery } from './asked-page.ts';
import type { AskedPage } from './asked-page.ts';
import { html, NOTHING } from './markup.ts';
import type { Html } from './markup.ts';

/** Writes the filter of a list; what other parts of the page ask for stays as it is. */
export function filterForm(asked: AskedPage, anchor: 'refusals' | 'sessions', more: Html): Html {
  const own = new Set(['mesh', 'destination', 'client', anchor === 'refusals' ? 'reason' : 'limit']);
  const kept = Object.entries(pageQuery(asked)).filter(([name, value]) => value !== '' && !own.has(name));
  const field = (name: 'mesh' | 'destination' | 'client', label: string, example: string): Html =>
    html`<label
      >${label} <input name="${name}" value="${asked[name]}" placeholder="${example}" autocomplete="off" spellcheck="false"
    /></label>`;
  return html`<form class="filter" action="/#${anchor}" method="get" data-live="${anchor}">
    ${kept.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}${field('mesh', 'Mesh', 'all')}${field('destination', 'Destination', 'all')}${field('client', 'Client', 'spiffe://mesh/*')}${more}<button>
      Show
    </button>
  </form>`;
}

export function limitField(asked: AskedPage): Html {
  return html`<label
    >At most
    <select name="limit">
      ${LIMITS.map((each) => html`<option value="${each}" ${each === asked.limit ? html` selected` : NOTHING}>${each}</option>`)}
    </select></label
  >`;
}
