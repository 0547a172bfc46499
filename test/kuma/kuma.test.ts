/**
 * Pairs of Kuma's input and its result for a zone egress, whole zones: a recorded control plane,
 * and Kuma's own tests.
 */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { ca } from '../resources/fixtures/compiling.ts';
import { KUMA, LIVE, withKuma } from '../data.ts';
import { readAdsState } from './ads-state.ts';
import { compare } from './compare.ts';
import { readGolden } from './from-envoy.ts';
import { judge, ON_PURPOSE } from './known.ts';
import { liveZone } from './live-zone.ts';
import type { Change } from './live-zone.ts';
import { compiledZone, holdPair, newTally, tell } from './pair.ts';

const tally = newTally();
const GREEN = 'scenarios/tp-team-green.yaml';

/** The changes of the recording, each with the number of the last message that it caused. */
const HISTORY: readonly (readonly [what: string, until: number, change: Change])[] = [
  ['the first configuration', 12, {}],
  ['a new ExternalService', 18, { scenarios: ['scenarios/es-new.yaml'] }],
  ['that one deleted', 24, {}],
  ['other sources of a TrafficPermission', 26, { scenarios: [GREEN] }],
  [
    'a second instance in another zone',
    28,
    {
      scenarios: [GREEN],
      offered: [{ zone: 'zone-2', mesh: 'default', service: 'backend', version: 'v2', instances: 2 }],
    },
  ],
  [
    'a new service in another zone',
    37,
    { scenarios: [GREEN], offered: [{ zone: 'zone-2', mesh: 'default', service: 'extra', instances: 1 }] },
  ],
  ['a MeshTrafficPermission of the rules form', 44, { scenarios: [GREEN, 'scenarios/mtp-rules.yaml'] }],
  ['a MeshHealthCheck', 48, { scenarios: [GREEN, 'scenarios/mhc-mes-lb.yaml'] }],
  ['a new mesh', 73, { scenarios: [GREEN, 'scenarios/mesh-rot.yaml'] }],
];

t.test('the recorded zone is served as the control plane had its egress serve it, change by change', async (t) => {
  for (const [what, until, change] of HISTORY) {
    const { routes, unread } = readAdsState(new URL('ads/sotw/', LIVE), until);
    t.same(unread, [], `${what}: nothing that was sent is left unread`);
    t.ok(Object.keys(routes).length >= 46, `${what}: ${Object.keys(routes).length} routes`);
    holdPair(t, tally, what, routes, compiledZone(t, what, liveZone(change)).routes, 'routes');
  }
});

/**
 * Differences of control planes of other versions from 2.14.3. Neither of them applied the policies
 * of the recorded zone to its egress.
 */
const OLDER: readonly (readonly [version: string, differences: readonly RegExp[]])[] = [
  ['2.12.14', [/mes-prio\.9100\.default\.mes"\]\.cluster\.endpoints\[0\]\.priority: expected 0, got 1$/]],
  [
    '2.9.19',
    [
      /mes-prio\.9100\.default\.mes"\]\.cluster\.endpoints\[0\]\.priority: expected 0, got 1$/,
      /mes-tls-system\.9447\.default\.mes"\]\.cluster\.endpoints\[0\]\.tls\.trust\[0\]: expected "none", got "system"$/,
      /mes-tls-system.*names\[0\]: expected nothing, got "DNS exact tls\.ext\.test"$/,
      /mes-tls-system.*names\[1\]: expected nothing, got "IP_ADDRESS exact tls\.ext\.test"$/,
    ],
  ],
];

t.test('older control planes had the same zone served in the same way, but for what Kuma has changed since', async (t) => {
  const own = compiledZone(t, 'older', liveZone({ without: '60-policies.yaml' }));
  for (const [version, differences] of OLDER) {
    const { routes, unread } = readAdsState(new URL(`versions/${version}/ads/initial/`, LIVE), Infinity);
    t.same(unread, []);
    t.equal(Object.keys(routes).length, 46);
    const { unexplained } = judge(compare(routes, own.routes, 'routes'));
    t.equal(unexplained.length, differences.length, version);
    for (const difference of differences)
      t.ok(
        unexplained.some((line) => difference.test(line)),
        `${version}: ${difference}`,
      );
  }
});

/**
 * Kuma's unit tests have a text that is no certificate, and a permission of another mesh that their
 * builder accepts.
 */
const PEM = Buffer.from(ca.cert).toString('base64');
const completed = (input: string): string =>
  input.replaceAll('inlineString: xyz', `inline: ${PEM}`).replace('mesh: zone-1', 'mesh: mesh-1');

t.test('each zone of Kuma’s egress tests is served as its golden file says', withKuma, async (t) => {
  const files = readdirSync(new URL('egress/input/', KUMA));
  t.ok(files.length >= 6);
  for (const path of files) {
    const read = (folder: string): string => readFileSync(new URL(`egress/${folder}/${path}`, KUMA), 'utf8');
    const { routes, unread } = readGolden(read('golden').replaceAll(': eHl6', `: ${PEM}`));
    t.same(unread, [], `${path}: nothing in the golden file is left unread`);
    holdPair(t, tally, path, routes, compiledZone(t, path, [{ path, text: completed(read('input')) }]).routes, 'routes');
  }
  for (const { reason } of ON_PURPOSE) t.ok(tally.reasons.has(reason), `still so: ${reason}`);
  tell(t, tally);
});
