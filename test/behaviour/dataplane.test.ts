// Tests what clients of an egress of one mesh see in each case that was recorded with Envoy: with a
// control plane of 2.14 over the state of the world, with one of 3.0 over delta, and from behind
// sidecars. `UPDATE_README=1` writes the tables of the page from the rows.
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import { DEV } from '../data.ts';
import { DATAPLANE_CASES, LIMITED_CASES } from './dataplane-cases.ts';
import { rowsOf, SIDECAR_ROWS } from './dataplane-rows.ts';
import { startDataplaneZone } from './dataplane-zone.ts';
import type { DataplaneZoneOptions } from './dataplane-zone.ts';
import { dataplaneTables } from './page.ts';
import type { Outcome } from './players.ts';
import { recordedDataplaneCases } from './recorded-dataplane.ts';
import type { DataplaneVersion } from './recorded-dataplane.ts';
import { rateLimitedSidecar, SIDECAR_CASES, wordsOfSidecarCase } from './sidecar-cases.ts';
import type { RecordedSidecarCase } from './sidecar-cases.ts';
import { wordsOfRecorded } from './words.ts';

const PAGE = new URL('../../docs/observed-behaviour.md', import.meta.url);
/** Enough lanes for the cases that end by a limit to wait together. */
const LANES = 6;
const VERSIONS: readonly DataplaneVersion[] = ['2.14', '3.0'];
/** What certificates and permissions refuse: nothing is dialled for such a client. */
const UPSTREAM = /^cluster\..*\.upstream_cx_total$/;
const REFUSED: ReadonlySet<string> = new Set(['no-client-certificate', 'client-not-trusted', 'wrong-mesh', 'denied']);

/** The cases that use up a rate limit have an egress of their own. */
async function played(
  t: Test,
  version: DataplaneVersion,
  options: DataplaneZoneOptions = {},
): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  {
    await using zone = await startDataplaneZone(t, version, options);
    const left = rowsOf(version)
      .map(([name]) => name)
      .filter((name) => LIMITED_CASES[name] === undefined);
    await Promise.all(
      Array.from({ length: LANES }, async () => {
        for (let name = left.shift(); name !== undefined; name = left.shift()) {
          const play = DATAPLANE_CASES[name];
          if (play === undefined) t.fail(`nobody plays ${name}`);
          else outcomes.set(name, await play(zone));
        }
      }),
    );
  }
  await using zone = await startDataplaneZone(t, version, { ...options, slowLimits: true });
  for (const [name, play] of Object.entries(LIMITED_CASES)) outcomes.set(name, await play(zone));
  return outcomes;
}

for (const version of VERSIONS) {
  t.test(`${version}: every recorded case is a row, with what Envoy did`, async (t) => {
    const recorded = recordedDataplaneCases(version);
    t.same(
      rowsOf(version)
        .map(([name]) => name)
        .toSorted(),
      Object.keys(recorded).toSorted(),
    );
    for (const [name, , envoy] of rowsOf(version)) t.equal(envoy, wordsOfRecorded(recorded[name]!.client), name);
  });

  t.test(`${version}: a client sees what its row says, and the record of the session has the reason`, async (t) => {
    const recorded = recordedDataplaneCases(version);
    const outcomes = await played(t, version);
    let refused = 0;
    let dialled = 0;
    for (const [name, , envoy, ours, reason] of rowsOf(version)) {
      const outcome = outcomes.get(name);
      t.same([outcome?.words, outcome?.record.reason], [ours === 'same' ? envoy : ours, reason], name);
      if (!REFUSED.has(reason)) continue;
      refused++;
      t.equal(outcome?.record.attempts, 0, `${name}: nothing is dialled for it`);
      if (Object.entries(recorded[name]!.stats).some(([stat, moved]) => UPSTREAM.test(stat) && moved > 0)) dialled++;
    }
    t.match(readFileSync(PAGE, 'utf8'), `${version}: ${dialled} of ${refused}`, 'the page says for how many Envoy dialled');
  });
}

t.test('3.0, from the applied resources in files: the same is seen, and recorded for the same reason', async (t) => {
  const outcomes = await played(t, '3.0', { from: 'files' });
  for (const [name, , envoy, ours, reason] of rowsOf('3.0')) {
    const outcome = outcomes.get(name);
    // The egress makes its key by itself, on P-256: see docs/decisions/egress-certificate.md.
    const words = outcome?.words.replace('ECDHE-ECDSA', 'ECDHE-RSA');
    t.same([words, outcome?.record.reason], [ours === 'same' ? envoy : ours, reason], name);
  }
});

t.test('3.0, from behind sidecars: the application sees what its row says', async (t) => {
  const text = readFileSync(new URL('behaviour/through-sidecar.json', DEV), 'utf8');
  const recorded = JSON.parse(text) as Readonly<Record<string, RecordedSidecarCase>>;
  t.same(
    SIDECAR_ROWS.map(([name]) => name),
    Object.keys(recorded),
  );
  await using zone = await startDataplaneZone(t, '3.0');
  await using slow = await startDataplaneZone(t, '3.0', { slowLimits: true });
  for (const [name, envoy, ours, reason] of SIDECAR_ROWS) {
    t.equal(envoy, wordsOfSidecarCase(recorded[name]!), name);
    if (reason === 'none') continue;
    const isLimited = name === 'frontend_http_open_rate_limited';
    const { words, record } = isLimited ? await rateLimitedSidecar(slow) : await SIDECAR_CASES[name]!(zone);
    t.same([words, record?.reason], [ours === 'same' ? envoy : ours, reason], name);
  }
});

t.test('the page has the rows', async (t) => {
  if (process.env['UPDATE_README'] === '1') {
    let text = readFileSync(PAGE, 'utf8');
    for (const [name, made] of Object.entries(dataplaneTables()))
      text = text.replace(new RegExp(`(<!-- ${name} -->)[\\s\\S]*?(<!-- /${name} -->)`), `$1\n${made}\n$2`);
    writeFileSync(PAGE, text);
  }
  const text = readFileSync(PAGE, 'utf8');
  for (const [name, made] of Object.entries(dataplaneTables())) {
    const found = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)\\n<!-- /${name} -->`).exec(text)?.[1];
    t.equal(found, made, name);
  }
});
