import { linesText } from './lines.ts';
import { inFile } from './trace.ts';
import type { Candidate, NearMiss, ProbeView, RequestView, Trace, TraceStep } from './trace.ts';

/**
 * Writes a trace for people: the outcome, what to change, then step by step. Ends with a line feed.
 */
export function traceText(trace: Trace): string {
  return linesText([
    ...verdict(trace),
    '',
    ...trace.steps.flatMap((step) => stepLines(step, trace)),
    '',
    ...(trace.request === undefined ? [] : logRequest(trace.request)),
    ...(trace.probes ?? []).map(probeText),
    ...(trace.probes === undefined ? [] : ['']),
    ...background(trace),
    '',
  ]);
}

function verdict({ outcome, reason, endsAt, detail, advice }: Trace): readonly string[] {
  if (outcome === 'refused') {
    const change = advice === null ? [] : [`to make it pass: ${advice.text}`];
    return [`refused at ${endsAt ?? 'an unknown step'}: ${reason ?? ''}`, detail, ...change];
  }
  if (reason === null) return ['allowed'];
  return [`allowed, and ended with ${reason}${detail === '' ? '' : `: ${detail}`}`];
}

const NAME_WIDTH = 12;
const OUTCOME_WIDTH = 13;

function stepLines(step: TraceStep, trace: Trace): readonly string[] {
  const outcome = step.outcome.replace('-', ' ');
  const head = `${step.step.padEnd(NAME_WIDTH)}${outcome.padEnd(OUTCOME_WIDTH)}${step.text}`.trimEnd();
  const isEnd = step.outcome === 'refused';
  const near = isEnd ? trace.nearest.map(nearText) : [];
  // The nearest routes already show how they differ; as candidates they would be listed twice.
  const looked = step.step === 'route' ? [] : step.candidates.map(candidateText);
  const more = step.omitted === 0 || step.step === 'route' ? [] : [`and ${step.omitted} more`];
  return [head, ...[...looked, ...more, ...near].map((line) => `${' '.repeat(NAME_WIDTH)}${line}`)];
}

function nearText({ kind, name, text }: NearMiss): string {
  return kind === 'not-served' ? `not served: ${text}` : `near: "${name}": ${text}`;
}

function candidateText({ name, outcome, field, wanted, found, place }: Candidate): string {
  switch (outcome) {
    case 'matched':
      return `+ ${name}${inFile(place)}`;
    case 'not-reached':
      return `  ${name}: one before it decided${inFile(place)}`;
    case 'rejected':
      if (wanted === '') return `- ${name}: ${found}${inFile(place)}`;
      return `- ${name}: ${field} is ${found === '' ? 'not there' : found}, wanted is ${wanted}${inFile(place)}`;
    default:
      return outcome satisfies never;
  }
}

function logRequest({ method, path, authority, host, status }: RequestView): readonly string[] {
  const what = method === '' ? 'each request' : `${method} ${path}`;
  const as = host === authority ? 'the Host of the client' : `the Host ${host}`;
  if (status === null) return [`${what} goes out with ${as === 'the Host ' ? 'its own Host' : as}`, ''];
  return [status === 0 ? `${what}: the connection is closed` : `${what} is answered with ${status} by the egress`, ''];
}

function probeText({ endpoint, outcome, detail, ms }: ProbeView): string {
  const text = outcome === 'connected' ? detail : `${outcome}: ${detail}`;
  return `dialled ${endpoint} from the egress: ${text} (${ms} ms)`;
}

function background({ configuration, record, connection, notes }: Trace): readonly string[] {
  const lines = [`configuration ${configuration.version}${configuration.zone === '' ? '' : ` of zone ${configuration.zone}`}`];
  if (record !== null) lines.push(`session ${record.id} from ${connection.clientAddress}, ${record.startedAt}: ${record.reason}`);
  if (connection.certificateIssuer !== '' || connection.certificateExpiry !== '') {
    const { from, certificateIssuer: issuer, certificateExpiry: expiry } = connection;
    lines.push(
      `certificate ${from.length === 0 ? 'without a URI name' : `of ${from.join(', ')}`}, issued by ${issuer}, expires ${expiry}`,
    );
  }
  return [...lines, ...notes.map((note) => `note: ${note}`)];
}
