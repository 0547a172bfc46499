import { plural } from '../../base/plural.ts';
import type { PageFacts } from './facts.ts';
import { html, NOTHING } from './markup.ts';
import type { Html } from './markup.ts';
import { ago } from './moment.ts';

const MOST = 50;

/** Lists what is wrong with the egress now, the critical alarms first, with what to do. */
export async function alarmsPart(facts: PageFacts): Promise<Html> {
  const alarms = await facts.alarms();
  if (alarms.length === 0) return html`<p class="good" data-news="alarms">● No alarm.</p>`;
  const now = facts.wall();
  const critical = alarms.filter(({ severity }) => severity === 'critical').length;
  const more = alarms.length - MOST;
  return html`<p data-news="alarms">${plural(alarms.length, 'alarm')}, ${critical} critical.</p>
    <ul class="plain alarms">
      ${alarms.slice(0, MOST).map(
        ({ name, severity, since, subject, says, do: remedy }) =>
          html`<li data-key="${name} ${subject}">
            <b class="${severity === 'critical' ? 'bad' : 'some'}">${severity === 'critical' ? '■' : '▲'} ${severity}: ${name}</b>
            ${subject} <span class="quiet">since ${ago(Date.parse(since), now)}</span>
            <p>${says}</p>
            <p class="quiet">To do: ${remedy}</p>
          </li> `,
      )}
    </ul>
    ${more > 0 ? html`<p class="more">and ${more} more: <a href="/alarms">all of them, as JSON</a></p>` : NOTHING}`;
}
