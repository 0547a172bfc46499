/** `/explain`: why an ended session, or a described connection, passes or does not. */
import type { Answer, ProbeQuestion, Question } from '../explain/question.ts';
import { traceText } from '../explain/print.ts';
import { jsonView, textView } from './views.ts';
import type { View } from './views.ts';

export interface Explainer {
  explain(question: Question): Answer;
  /** Answers with the endpoints dialled. */
  probe(question: ProbeQuestion): Promise<Answer>;
}

export async function explainView(explainer: Explainer, search: string): Promise<View> {
  const asked = parseExplainQuery(search);
  if (typeof asked === 'string') return textView(400, asked);
  const { question } = asked;
  const answer = asked.probe && !('id' in question) ? await explainer.probe(question) : explainer.explain(question);
  switch (answer.kind) {
    case 'trace':
      return asked.output === 'json' ? jsonView(answer.trace) : textView(200, traceText(answer.trace).trimEnd());
    case 'bad-question':
      return textView(400, answer.why);
    case 'busy':
      return textView(503, answer.why);
    case 'no-record':
      return textView(404, answer.why);
    default:
      return answer satisfies never;
  }
}

interface Asked {
  readonly question: Question;
  readonly output: 'json' | 'text';
  readonly probe: boolean;
}

const MAX_FROM = 64;

/** Parses the query; returns a sentence where it is invalid. `from` may occur several times. */
export function parseExplainQuery(search: string): Asked | string {
  const given = new Map<string, string>();
  const from: string[] = [];
  const headers: string[] = [];
  for (const [name, value] of new URLSearchParams(search)) {
    if (name === 'from') from.push(value);
    else if (name === 'header') headers.push(value);
    else if (name !== 'sni' && name !== 'id' && name !== 'output' && name !== 'probe' && name !== 'method' && name !== 'path')
      return 'allowed parameters are sni, from, method, path, header, id, probe and output';
    else if (given.has(name)) return `${name} is given twice`;
    else given.set(name, value);
  }
  const output = given.get('output') ?? 'json';
  if (output !== 'json' && output !== 'text') return 'output must be json or text';
  if (from.length > MAX_FROM) return `from is given ${from.length} times, at most ${MAX_FROM} are looked at`;
  if (headers.length > MAX_FROM) return `header is given ${headers.length} times, at most ${MAX_FROM} are looked at`;
  const [method, path] = [given.get('method'), given.get('path')];
  const request = {
    ...(method === undefined ? {} : { method }),
    ...(path === undefined ? {} : { path }),
    ...(headers.length === 0 ? {} : { headers }),
  };
  const [id, sni] = [given.get('id'), given.get('sni')];
  const probe = given.get('probe') ?? 'false';
  if (probe !== 'true' && probe !== 'false') return 'probe must be true or false';
  if (id !== undefined) {
    const isAlone = sni === undefined && from.length === 0 && !given.has('probe') && Object.keys(request).length === 0;
    return isAlone ? { question: { id }, output, probe: false } : 'id goes alone, without sni, from, the request and probe';
  }
  if (sni === undefined) return 'sni=NAME (empty: none), with from=spiffe://mesh/service, or id=ID of a session is needed';
  return { question: { sni: sni === '' ? null : sni, from, ...request }, output, probe: probe === 'true' };
}
