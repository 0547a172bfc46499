// Tests what a client sees of this egress in each case that was recorded with Envoy.
// `UPDATE_README=1` writes the tables of the page from the rows.
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { CASES } from './cases.ts';
import { tables } from './page.ts';
import type { Outcome } from './players.ts';
import { live } from './recorded-zone.ts';
import { ROWS } from './rows.ts';
import { wordsOfRecorded } from './words.ts';
import type { Recorded } from './words.ts';
import { startRecordedZone } from './zone.ts';

const PAGE = new URL('../../docs/observed-behaviour.md', import.meta.url);
/** Enough lanes for the cases that end by a limit to wait together. */
const LANES = 6;

interface RecordedCase {
  readonly client: Recorded;
  /** The statistics that moved. */
  readonly stats: Readonly<Record<string, number>>;
}

function recordedCases(): Readonly<Record<string, RecordedCase>> {
  return JSON.parse(live('behaviour/results.json')) as Record<string, RecordedCase>;
}

t.test('every recorded case is a row, with what Envoy did', async (t) => {
  const recorded = recordedCases();
  t.same(
    ROWS.map(([name]) => name),
    Object.keys(recorded),
  );
  for (const [name, envoy] of ROWS) t.equal(envoy, wordsOfRecorded(recorded[name]!.client), name);
});

t.test('a client sees what its row says, and the record of the session has the reason', async (t) => {
  const recorded = recordedCases();
  await using zone = await startRecordedZone(t);
  const outcomes = new Map<string, Outcome>();
  // The long ones first.
  const left = ROWS.map(([name]) => name).sort((a, b) => Number(b.includes('slow')) - Number(a.includes('slow')));
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (let name = left.shift(); name !== undefined; name = left.shift()) {
        const play = CASES[name];
        if (play === undefined) t.fail(`nobody plays ${name}`);
        else outcomes.set(name, await play(zone));
      }
    }),
  );
  let refused = 0;
  let dialled = 0;
  for (const [name, envoy, ours, reason] of ROWS) {
    const outcome = outcomes.get(name);
    t.same([outcome?.words, outcome?.record.reason], [ours === 'same' ? envoy : ours, reason], name);
    if (!REFUSED_CLIENTS.has(reason)) continue;
    refused++;
    t.equal(outcome?.record.attempts, 0, `${name}: nothing is dialled for a client that is refused`);
    if (Object.entries(recorded[name]!.stats).some(([stat, moved]) => /^cluster\..*\.upstream_cx_total$/.test(stat) && moved > 0))
      dialled++;
  }
  t.match(readFileSync(PAGE, 'utf8'), `for ${dialled} of the ${refused} clients`, 'the page says for how many Envoy dialled');
});

const REFUSED_CLIENTS: ReadonlySet<string> = new Set(['no-client-certificate', 'client-not-trusted', 'wrong-mesh', 'denied']);

t.test('the page has the rows', async (t) => {
  if (process.env['UPDATE_README'] === '1') {
    let text = readFileSync(PAGE, 'utf8');
    for (const [name, made] of Object.entries(tables()))
      text = text.replace(new RegExp(`(<!-- ${name} -->)[\\s\\S]*?(<!-- /${name} -->)`), `$1\n${made}\n$2`);
    writeFileSync(PAGE, text);
  }
  const text = readFileSync(PAGE, 'utf8');
  for (const [name, made] of Object.entries(tables())) {
    const found = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)\\n<!-- /${name} -->`).exec(text)?.[1];
    t.equal(found, made, name);
  }
});
