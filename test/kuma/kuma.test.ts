import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import { compile } from '../../src/resources/compile.ts';
import type { SourceFile } from '../../src/resources/compile.ts';
import { ca, linesOf, snapshotOf, withIdentities } from '../resources/fixtures/compiling.ts';
import { readAdsState } from './ads-state.ts';
import { compare } from './compare.ts';
import { readGolden } from './from-envoy.ts';
import { readSnapshot } from './from-snapshot.ts';
import { judge, NOT_BUILT_YET } from './known.ts';
import { KUMA, LIVE, liveZone, skipWithout } from './live-zone.ts';
import type { Routing } from './model.ts';

const explained = new Set<string>();

/** One pair: what Kuma made of these resources, and what we make of them. */
function held(t: Test, title: string, golden: Routing, files: readonly SourceFile[]): void {
  const compiled = compile(files, withIdentities);
  t.same(linesOf(compiled, 'error'), [], title);
  t.same(golden.unread, [], `${title}: nothing in it is left unread`);
  t.ok(Object.keys(golden.routes).length > 0, `${title}: there is something to compare`);
  const secrets = compiled.kind === 'compiled' ? compiled.secrets : new Map<never, never>();
  const own = readSnapshot(snapshotOf(compiled), secrets);
  const { unexplained, onPurpose, notBuilt } = judge(compare(golden.routes, own.routes, 'routes'));
  t.same(unexplained, [], title);
  for (const reason of notBuilt.keys()) explained.add(reason);
  const tell = (what: string, reasons: ReadonlyMap<string, number>): void => {
    for (const [reason, count] of reasons) t.comment(`${title}: ${what}, ${count} times: ${reason}`);
  };
  t.comment(`${title}: ${Object.keys(golden.routes).length} routes compared`);
  tell('different on purpose', onPurpose);
  tell('not built', notBuilt);
}

t.test('the recorded zone is served as the control plane had its egress serve it', skipWithout(LIVE), async (t) => {
  held(t, 'live', readAdsState(new URL('ads/sotw/', LIVE), 12), liveZone());
  for (const { reason } of NOT_BUILT_YET)
    t.ok(explained.has(reason), `still not built: ${reason}; if it is, take it off the list`);
});

/** Kuma's unit tests have a text that is no certificate, and a permission of another mesh that their builder lets through. */
const PEM = Buffer.from(ca.cert).toString('base64');
const input = (text: string): string =>
  text.replaceAll('inlineString: xyz', `inline: ${PEM}`).replace('mesh: zone-1', 'mesh: mesh-1');
const golden = (text: string): string => text.replaceAll(': eHl6', `: ${PEM}`);

t.test('each zone of Kuma’s egress tests is served as its golden file says', skipWithout(KUMA), async (t) => {
  const files = readdirSync(new URL('egress/input/', KUMA));
  t.ok(files.length >= 6);
  for (const path of files) {
    const read = (folder: string): string => readFileSync(new URL(`egress/${folder}/${path}`, KUMA), 'utf8');
    held(t, path, readGolden(golden(read('golden'))), [{ path, text: input(read('input')) }]);
  }
});
