import type { Answer, Question } from '../../explain/question.ts';
import { inFile } from '../../explain/trace.ts';
import type { Candidate, RecentView, Trace, TraceStep } from '../../explain/trace.ts';
import type { View } from '../views.ts';
import { htmlView, pageDocument } from './document.ts';
import { explainForm } from './explain-form.ts';
import type { ExplainFields } from './explain-form.ts';
import { html, NOTHING } from './markup.ts';
import type { Html } from './markup.ts';

/** Answers a question about a recorded session, or about a described connection, as a page. */
export function explainPage(explain: (question: Question) => Answer, search: string): View {
  const query = new URLSearchParams(search);
  const field = (name: string): string => (query.get(name) ?? '').trim();
  const id = query.get('id');
  const fields = { sni: field('sni'), from: field('from'), method: field('method'), path: field('path') };
  const answer = explain(id === null ? questionOf(fields, query.getAll('header')) : { id });
  switch (answer.kind) {
    case 'trace':
      return page(200, traceHtml(answer.trace), { ...fieldsOf(answer.trace), ...(id === null ? fields : {}) });
    case 'bad-question':
      return page(400, failure(answer.why), fields);
    case 'busy':
      return page(503, failure(answer.why), fields);
    case 'no-record':
      return page(404, failure(answer.why), fields);
    default:
      return answer satisfies never;
  }
}

/** An empty field of the form asks for nothing. */
function questionOf({ sni, from, method, path }: ExplainFields, headers: readonly string[]): Question {
  return {
    sni: sni === '' ? null : sni,
    ...(from === '' ? {} : { from: from.split(/\s+/) }),
    ...(method === '' ? {} : { method }),
    ...(path === '' ? {} : { path }),
    ...(headers.length === 0 ? {} : { headers }),
  };
}

function fieldsOf({ connection, request }: Trace): ExplainFields {
  return {
    sni: connection.sni ?? '',
    from: connection.from.join(' '),
    method: request?.method ?? '',
    path: request === undefined || request.method === '' ? '' : request.path,
  };
}

function page(status: number, answer: Html, fields: ExplainFields): View {
  const body = html`<main id="main" tabindex="-1">
    <p><a href="/">← the zone</a></p>
    <h1>Explain</h1>
    ${answer}
    <section aria-labelledby="again">
      <h2 id="again">Ask again</h2>
      ${explainForm(fields)}
    </section>
  </main>`;
  return htmlView(status, pageDocument('Explain', body, false));
}

function failure(why: string): Html {
  return html`<p class="bad" role="alert">■ ${why}</p>`;
}

function traceHtml(trace: Trace): Html {
  const { steps, notes } = trace;
  return html`${verdictHtml(trace)}
    <section aria-labelledby="steps">
      <h2 id="steps">Steps</h2>
      <ol class="steps">
        ${steps.map(stepHtml)}
      </ol>
    </section>
    ${listOf('notes', 'Notes', notes)} ${listOf('recent', 'The last sessions of this path', (trace.recent ?? []).map(recentText))}`;
}

function verdictHtml(trace: Trace): Html {
  const { outcome, reason, endsAt, detail, advice, nearest } = trace;
  const verdict =
    outcome === 'allowed'
      ? html`<p class="verdict good">● allowed${reason === null ? '' : `, and ended with ${reason}`}</p>`
      : html`<p class="verdict bad">■ refused at ${endsAt ?? 'an unknown step'}: ${reason ?? ''}</p>`;
  const near = nearest.map(({ kind, name, text }) => html`<li>${kind === 'not-served' ? '' : `“${name}”: `}${text}</li>`);
  return html`<section aria-labelledby="verdict">
    <h2 id="verdict">Verdict</h2>
    ${verdict} ${detail === '' ? NOTHING : html`<p class="sentence">${detail}</p>`}
    ${advice === null ? NOTHING : html`<p><b>To make it pass:</b> ${advice.text}</p>`}
    ${
      near.length === 0
        ? NOTHING
        : html`<p>Near it:</p>
            <ul>
              ${near}
            </ul>`
    }
    ${aboutHtml(trace)}
  </section>`;
}

function aboutHtml({ connection, record, configuration }: Trace): Html {
  const { sni, from, clientAddress } = connection;
  const facts: readonly (readonly [string, string])[] = [
    ['SNI', sni ?? 'none'],
    ['Client', from.length === 0 ? 'no certificate' : from.join(', ')],
    ...(record === null ? [] : [['Session', `${record.id} from ${clientAddress}, ${record.startedAt}`] as const]),
    ['Configuration', `${configuration.version}${record?.changed === true ? ', not the one of the session' : ''}`],
  ];
  return html`<dl class="facts">
    ${facts.map(
      ([name, text]) =>
        html`<div>
          <dt>${name}</dt>
          <dd><code>${text}</code></dd>
        </div>`,
    )}
  </dl>`;
}

const MARKS: Readonly<Record<TraceStep['outcome'], string>> = {
  passed: '●',
  refused: '■',
  'not-asked': '–',
  'not-reached': '–',
};

function stepHtml({ step, outcome, text, candidates, omitted }: TraceStep): Html {
  const kind = outcome === 'passed' ? 'good' : outcome === 'refused' ? 'bad' : 'quiet';
  const looked = candidates.map((each) => html`<li>${candidateText(each)}</li>`);
  const more = omitted === 0 ? NOTHING : html`<li>and ${omitted} more</li>`;
  return html`<li class="${kind}">
    <b>${MARKS[outcome]} ${step}</b> ${outcome.replace('-', ' ')} <span class="sentence">${text}</span>${
      looked.length === 0
        ? NOTHING
        : html`<ul>
            ${looked}${more}
          </ul>`
    }
  </li> `;
}

function candidateText({ name, outcome, field, wanted, found, place }: Candidate): string {
  switch (outcome) {
    case 'matched':
      return `+ ${name}${inFile(place)}`;
    case 'not-reached':
      return `${name}: one before it decided${inFile(place)}`;
    case 'rejected':
      if (wanted === '') return `− ${name}: ${found}${inFile(place)}`;
      return `− ${name}: ${field} is ${found === '' ? 'not there' : found}, wanted is ${wanted}${inFile(place)}`;
    default:
      return outcome satisfies never;
  }
}

function listOf(id: string, heading: string, texts: readonly string[]): Html {
  if (texts.length === 0) return NOTHING;
  return html`<section aria-labelledby="${id}">
    <h2 id="${id}">${heading}</h2>
    <ul>
      ${texts.map((text) => html`<li>${text}</li>`)}
    </ul>
  </section>`;
}

function recentText({ id, endedAt, reason, detail, endpoint }: RecentView): string {
  return `${endedAt} ${id} ${reason}${endpoint === '' ? '' : ` at ${endpoint}`}${detail === '' ? '' : `: ${detail}`}`;
}
