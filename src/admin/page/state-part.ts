import { formatProblem } from '../../base/problem.ts';
import type { Problem } from '../../base/problem.ts';
import { shortDuration } from '../../base/short-text.ts';
import { plural } from '../../base/plural.ts';
import type { Readiness } from '../views.ts';
import type { LastChanges, LastLoad, PageFacts } from './facts.ts';
import { html, NOTHING } from './markup.ts';
import type { Html } from './markup.ts';
import { moment } from './moment.ts';

const MOST_PROBLEMS = 50;
const NOT_YET: Readiness = { ok: false, text: 'PRE_INITIALIZING' };

/** Writes how the egress does, its configuration with its problems, and the last change. */
export function statePart(facts: PageFacts): Html {
  const { ok, text, note } = facts.ready(null) ?? NOT_YET;
  const { version, zone, routes } = facts.snapshot();
  const load = facts.lastLoad();
  const problems = facts.problems();
  const proxies = facts.proxies?.() ?? [];
  return html`<dl class="facts">
      <div>
        <dt>State</dt>
        <dd class="${ok ? 'good' : 'bad'}" data-news="state">
          ${ok ? '●' : '■'} ${text}${note === undefined ? '' : `: ${note}`}
        </dd>
      </div>
      <div>
        <dt>Zone</dt>
        <dd>${zone === '' ? 'none' : zone}</dd>
      </div>
      <div>
        <dt>Open connections</dt>
        <dd>${facts.open()}</dd>
      </div>
      <div>
        <dt>Routes</dt>
        <dd>${routes.size}</dd>
      </div>
      <div>
        <dt>Running for</dt>
        <dd>${shortDuration(facts.uptimeMs())}</dd>
      </div>
      <div>
        <dt>Version</dt>
        <dd>${facts.version}</dd>
      </div>
      <div>
        <dt>Configuration</dt>
        <dd><code data-news="configuration">${version}</code></dd>
      </div>
    </dl>
    ${load === null ? html`<p>No configuration is live yet.</p>` : loadText(load)}
    ${
      proxies.length === 0
        ? NOTHING
        : html`<ul class="plain">
            ${proxies.map(({ id, state, sentence }) => html`<li data-key="${id}" class="${state === 'live' ? 'good' : 'bad'}"><b>${id}</b> ${state}: ${sentence}</li>`)}
          </ul>`
    }
    ${problemList(problems)} ${load === null || load.changes === null ? NOTHING : changeList(load.changes)}`;
}

function loadText({ at, rejected, liveSince }: LastLoad): Html {
  const live = liveSince === null ? html`no configuration is live` : html`the configuration of ${moment(liveSince)} is live`;
  return rejected
    ? html`<p class="bad" data-news="load">■ The last load, at ${moment(at)}, was rejected: ${live}.</p>`
    : html`<p data-news="load">Live since ${liveSince === null ? '' : moment(liveSince)}; last loaded at ${moment(at)}.</p>`;
}

function problemList(problems: readonly Problem[]): Html {
  if (problems.length === 0) return html`<p class="good">The configuration has no problem.</p>`;
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const says = `${plural(errors, 'error')} and ${plural(problems.length - errors, 'warning')} in the configuration`;
  const shown = problems.slice(0, MOST_PROBLEMS);
  const more = problems.length - shown.length;
  return html`<details id="problems" ${errors > 0 ? html` open` : NOTHING}>
    <summary data-news="problems">${says}</summary>
    <ul>
      ${shown.map((problem) => html`<li class="${problem.severity === 'error' ? 'bad' : 'some'}">${problem.severity === 'error' ? '■ ' : '▲ '}${formatProblem(problem)}</li> `)}
    </ul>
    ${more === 0 ? NOTHING : html`<p>and ${more} more: <a href="/config_errors">all of them</a></p>`}
  </details>`;
}

function changeList(changes: LastChanges): Html {
  const { routesAdded, routesRemoved, routesChanged, clustersChanged } = changes;
  const says = `The last change: ${plural(routesAdded, 'route')} added, ${routesRemoved} removed, ${routesChanged} changed, ${plural(clustersChanged, 'cluster')} changed`;
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ['newly allowed', changes.newlyAllowed],
    ['no longer allowed', changes.noLongerAllowed],
    ['added', changes.added],
    ['removed', changes.removed],
    ['changed', changes.changed],
  ];
  return html`<details id="change">
    <summary>${says}</summary>
    <dl>
      ${lists
        .filter(([, names]) => names.length > 0)
        .map(
          ([what, names]) =>
            html`<dt>${what}</dt>
              ${names.map((name) => html`<dd><code>${name}</code></dd>`)} `,
        )}
    </dl>
  </details>`;
}
