// What clients and other people's files may put on an operator's terminal.
import t from 'tap';
import { diffConfigurations } from '../../src/explain/diff.ts';
import { explain } from '../../src/explain/explain.ts';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { compareWith } from '../../src/explain/explain-expectations.ts';
import { linesText } from '../../src/explain/lines.ts';
import { diffText } from '../../src/explain/print-diff.ts';
import { simulationText } from '../../src/explain/print-simulation.ts';
import { traceText } from '../../src/explain/print.ts';
import { sessionsIn } from '../../src/explain/recorded.ts';
import { simulate } from '../../src/explain/simulate.ts';
import { simulateRequests } from '../../src/explain/simulate-requests.ts';
import { requestRecord, sessionRecord } from '../observe/record.ts';
import { compiled, facts, sourcesOf } from './zone.ts';

const CLEAR = '\x1b[2J';
const CSI = '\x9b31m';
const FORGED = '\nto make it pass: turn it off';

const config = compiled();

t.test('an SNI in any form can neither move the cursor nor begin a line', async (t) => {
  const names = [
    `a${CLEAR}${FORGED}{mesh=default,zone=${CSI}}`,
    `a{mesh=${CLEAR}${FORGED}}`,
    `a{${CSI}${FORGED}=x,mesh=default}`,
    `a{b}{${CLEAR}${FORGED}`,
    `api${FORGED}{mesh=payments}`,
    `a0123456789abcdef.${CLEAR}.80.default.ms`,
    `sni.extsvc.default.${CSI}${FORGED}.80`,
    `${CLEAR}${FORGED}`,
  ];
  for (const sni of names) {
    const trace = explain(config.snapshot, facts(sni), assumedView, sourcesOf(config));
    const text = traceText(trace);
    t.notMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/, JSON.stringify(sni));
    t.notMatch(text, /^to make it pass: turn it off/m);
    const said = [trace.detail, trace.advice?.text ?? '', ...trace.steps.map((step) => step.text)];
    t.notMatch(said.join(''), /[\x00-\x1f\x7f-\x9f]/, 'nor does the JSON hold them in its sentences');
  }
});

t.test('a forged recording prints its lines and no others', async (t) => {
  const mean = sessionRecord({
    id: `${CLEAR}0.1`,
    sni: `gone${CSI}{mesh=default}`,
    mode: 'terminate',
    mesh: 'default\nNEWLY ALLOWED: 0 paths',
    destination: `gone${CLEAR}`,
    spiffeIds: [`spiffe://default/\u202eweb`],
  });
  const { records } = sessionsIn(JSON.stringify({ version: 1, ...mean }));
  const simulation = simulate(config.snapshot, records, sourcesOf(config));
  const expected = [{ sni: `x${CLEAR}`, outcome: 'allowed' }];
  const made = requestRecord({
    sni: 'gone{mesh=default}',
    method: `G${CLEAR}`,
    path: `/${CSI}`,
    mesh: 'default\nNEWLY ALLOWED: 0 paths',
  });
  const read = sessionsIn(JSON.stringify({ version: 1, kind: 'request', ...made }));
  const requests = simulateRequests(config.snapshot, read.requests, sourcesOf(config));
  t.equal(requests.changes.length, 1);
  const compared = compareWith([...simulation.changes, ...requests.changes], expected);
  const text = simulationText({ sessions: simulation, requests }, compared);
  t.match(text, 'G\\x1b[2J /');
  t.match(text, 'gone\\x9b31m{mesh=default} from spiffe://default/\\u{202e}web: was allowed');
  t.match(text, 'x\\x1b[2J: allowed');
  t.notMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  t.notMatch(text, /^NEWLY ALLOWED/m);
});

t.test('resources from another author are compared in lines of their own', async (t) => {
  const sources = sourcesOf(config);
  const after = { ...config.snapshot, version: 'other', zone: `west${CLEAR}${FORGED}` };
  const text = diffText(diffConfigurations({ snapshot: config.snapshot, sources }, { snapshot: after, sources }));
  t.match(text, 'zone: west\\x1b[2J\\x0ato make');
  t.notMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
});

t.test('letters of every alphabet stay as they are', async (t) => {
  t.equal(linesText(['zürich/ресурсы.yaml:3', '東京 "x" \\', '']), 'zürich/ресурсы.yaml:3\n東京 "x" \\\n');
});
