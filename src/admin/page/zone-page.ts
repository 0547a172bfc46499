import { alarmsPart } from './alarms-part.ts';
import { certificatesPart } from './certificates-part.ts';
import { chartsOf } from './charts.ts';
import type { AskedPage, PagePart } from './asked-page.ts';
import { PAGE_PARTS, pageQuery } from './asked-page.ts';
import { pageDocument } from './document.ts';
import { explainForm } from './explain-form.ts';
import type { PageFacts } from './facts.ts';
import { html, NOTHING, target } from './markup.ts';
import type { Html } from './markup.ts';
import { moment } from './moment.ts';
import { refusalsPart } from './refusals-part.ts';
import { routesPart } from './routes-part.ts';
import { sessionsPart } from './sessions-part.ts';
import { statePart } from './state-part.ts';
import { zoneMap } from './zone-map.ts';
import { LATELY_MS, zoneView } from './zone-view.ts';

const HEADINGS: Readonly<Record<PagePart, string>> = {
  state: 'State',
  alarms: 'Alarms',
  charts: 'The last hour',
  map: 'The zone',
  refusals: 'Refusals',
  sessions: 'Open sessions',
  routes: 'Routes and who may',
  certificates: 'Certificates',
};

/** Writes the whole page, or only the parts that an open page asks for anew. */
export async function zonePage(facts: PageFacts, asked: AskedPage, sni: string): Promise<Html> {
  const isWhole = asked.parts.length === 0;
  const sections: Html[] = [];
  for (const part of isWhole ? PAGE_PARTS : asked.parts) {
    const content = await partOf(facts, asked, part);
    sections.push(
      html`<section id="${part}" aria-labelledby="${part}-title" tabindex="-1">
        <h2 id="${part}-title">${HEADINGS[part]}</h2>
        <div data-part="${part}">${content}</div>
      </section> `,
    );
  }
  const updated = html`<p id="updated">Written ${moment(facts.wall())}</p>`;
  if (!isWhole) return html`<!doctype html><title>parts</title>${updated}${sections}`;
  const name = facts.name() === '' ? 'zone egress' : facts.name();
  const links = [...PAGE_PARTS, 'explain' as const].map(
    (part) => html`<li><a href="#${part}">${part === 'explain' ? 'Explain' : HEADINGS[part]}</a></li>`,
  );
  const body = html`<header>
      <h1>${name}</h1>
      ${updated}
      <p class="tools">
        <a class="button" href="${target('/', pageQuery(asked))}" data-refresh>Refresh</a>
        <button type="button" id="pause" hidden aria-pressed="false">Pause updates</button>
      </p>
      <p id="news" role="status" class="news"></p>
    </header>
    <nav aria-label="Parts of this page">
      <ul>
        ${links}
      </ul>
    </nav>
    <main id="main" tabindex="-1">
      ${sections}
      <section id="explain" aria-labelledby="explain-title" tabindex="-1">
        <h2 id="explain-title">Explain a connection</h2>
        <p>Whether a client would pass, step by step, under the live configuration. Nothing is dialled.</p>
        ${explainForm({ sni, from: '', method: '', path: '' })}
      </section>
    </main>
    <footer>
      <p><a href="/?output=text">All admin pages</a>, as text.</p>
    </footer>`;
  return pageDocument(name, body, true);
}

async function partOf(facts: PageFacts, asked: AskedPage, part: PagePart): Promise<Html> {
  switch (part) {
    case 'state':
      return statePart(facts);
    case 'alarms':
      return alarmsPart(facts);
    case 'charts':
      return chartsOf(facts.lastHour, facts.wall());
    case 'map':
      return mapPart(facts, asked);
    case 'refusals':
      return refusalsPart(facts, asked);
    case 'sessions':
      return sessionsPart(facts, asked);
    case 'routes':
      return routesPart(facts, asked);
    case 'certificates':
      return certificatesPart(facts);
    default:
      return part satisfies never;
  }
}

async function mapPart(facts: PageFacts, asked: AskedPage): Promise<Html> {
  const view = await zoneView(facts);
  const { sessions, found } = view.measured;
  const kept = Object.entries(pageQuery({ ...asked, find: '', open: '' })).filter(([, value]) => value !== '');
  return html`<form
      class="filter"
      action="/#map"
      method="get"
      role="search"
      aria-label="Meshes, destinations and routes"
      data-live="map"
    >
      ${kept.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}<label
        >Find a mesh, a destination or a route
        <input type="search" name="find" value="${asked.find}" autocomplete="off" spellcheck="false" /></label
      ><button>Find</button>
    </form>
    <div class="table" role="region" aria-label="Picture of the zone" tabindex="0">${zoneMap(view, asked, facts.name())}</div>
    <p class="more">
      ● every endpoint usable, ▲ some, ✕ none. Red: refused in the last ${LATELY_MS / 60_000} minutes. A thicker line carries more
      bytes a
      second${found > sessions ? `, counted over the ${sessions} busiest of ${found} sessions` : ''}.${asked.open === '' ? NOTHING : html` <a href="${target('/', { ...pageQuery(asked), open: '' }, 'map')}" data-live="map">Fold ${asked.open}</a>`}
    </p>`;
}
