/**
 * Compares what Envoy and a synthetic client sent to real control planes with what this client
 * sends for the same answers.
 */
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import type { AdsType } from '../../src/xds/messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import type { DiscoveryResponse } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { Finding } from '../../src/xds/stream/subscriptions.ts';
import { stateOfTheWorld } from '../../src/xds/stream/state-of-the-world.ts';
import { Subscriptions } from '../../src/xds/stream/subscriptions.ts';
import { LIVE } from '../data.ts';
import type { Judge } from './accept-all.ts';
import { acceptAll } from './accept-all.ts';
import type { Line, Said } from './recorded.ts';
import { answerOf, linesOf, responseOf, saidInAsk, saidInLine, typeOf } from './recorded.ts';
import { everyMessage } from './registry.ts';

const registry = await everyMessage();
const SOTW = new URL('ads/sotw/', LIVE);

/** Envoy refuses what Kuma sends for a MeshHealthCheck on a MeshExternalService. */
const asEnvoy: Judge = (type, _name, resource) =>
  type === 'cluster' && (resource as Cluster).healthChecks.length > 1 ? 'Multiple health checks not supported' : undefined;

interface Replay {
  readonly said: Said[];
  readonly findings: Finding[];
  readonly subscriptions: Subscriptions;
  /**
   * The resources of each type as last received, for recordings that keep a response only where it
   * differs.
   */
  readonly last: Map<AdsType, DiscoveryResponse>;
  judge: Judge;
}

function replay(node = '.egress-1'): Replay {
  const state: Replay = {
    said: [],
    findings: [],
    subscriptions: new Subscriptions(
      create(NodeSchema, { id: node, cluster: 'egress' }),
      acceptAll((type, name, resource) => state.judge(type, name, resource)),
      stateOfTheWorld,
    ),
    last: new Map(),
    judge: asEnvoy,
  };
  return state;
}

function hear(state: Replay, folder: URL, line: Line): void {
  const { subscriptions } = state;
  const now = line.t_ms;
  const say = ({ requests, findings }: ReturnType<Subscriptions['on']>): void => {
    state.said.push(...requests.map(saidInAsk));
    state.findings.push(...findings);
  };
  if (subscriptions.deadline !== null && subscriptions.deadline <= now) say(subscriptions.on({ kind: 'elapsed', now }));
  if (line.event === 'stream-open') say(subscriptions.on({ kind: 'opened', now }));
  if (line.event === 'stream-end' || line.event === 'upstream-failed') say(subscriptions.on({ kind: 'ended' }));
  const type = typeOf(line);
  if (line.dir !== 'response' || type === undefined) return;
  const whole = responseOf(folder, line, registry);
  const response = whole ?? { ...state.last.get(type)!, versionInfo: line.version_info ?? '', nonce: line.nonce ?? '' };
  if (whole !== null) state.last.set(type, whole);
  say(subscriptions.on({ kind: 'answer', answer: answerOf(response), now, wall: now }));
}

function requestsIn(lines: readonly Line[]): Said[] {
  return lines.filter(({ dir, type }) => dir === 'request' && type !== 'RouteConfiguration').map(saidInLine);
}

function hearAll(state: Replay, folder: URL, lines: readonly Line[] = linesOf(folder)): readonly Line[] {
  for (const line of lines) hear(state, folder, line);
  return lines;
}

t.test('a first conversation and 220 seconds of changes: every request is Envoy’s, in its order', async (t) => {
  const state = replay();
  // Up to here Envoy and this client agree; the next test is about a mesh that is removed.
  const lines = linesOf(SOTW).filter(({ n = 0 }) => n < 80);
  hearAll(state, SOTW, lines);
  // The answers to the last two responses of the 79 are the 80th and 81st request.
  t.same(state.said.slice(0, requestsIn(lines).length), requestsIn(lines));
  t.equal(requestsIn(lines).length, 42);
  t.same(
    state.findings.filter(({ kind }) => kind !== 'tolerated').map(({ kind }) => kind),
    ['refused', 'recovered'],
    'five refusals of the same are one line, and one when it is over',
  );
  t.match(state.findings[1], { refusals: 5, type: 'cluster' });
});

t.test(
  'secrets of a mesh that goes are not asked for any more at once, where Envoy drains its chains for 5 s first',
  async (t) => {
    const state = replay();
    const lines = hearAll(state, SOTW);
    const tail = state.said.slice(requestsIn(lines.filter(({ n = 0 }) => n < 80)).length);
    const recorded = requestsIn(lines.filter(({ n = 0 }) => n >= 80));
    const withoutSecrets = (said: readonly Said[]): readonly Said[] => said.filter(({ type }) => type !== 'secret');
    t.same(withoutSecrets(tail), withoutSecrets(recorded));
    t.same(
      tail.map(({ type, nonce, names }) => `${type} ${nonce} ${names.length}`),
      ['secret 33 6', 'listener 36 0', 'secret 37 6', 'listener 38 0'],
    );
    t.same(tail[2], recorded.at(-1), 'the last word of both is the same');
  },
);

for (const folder of ['sotw-reconnect', 'sotw-cp-restart']) {
  t.test(`${folder}: a new stream asks for all types at once, with the old versions and no nonce`, async (t) => {
    const state = replay();
    hearAll(state, SOTW);
    state.subscriptions.on({ kind: 'ended' });
    if (folder === 'sotw-cp-restart') {
      hearAll(state, new URL('ads/sotw-reconnect/', LIVE));
      state.subscriptions.on({ kind: 'ended' });
    }
    state.said.length = 0;
    const lines = hearAll(state, new URL(`ads/${folder}/`, LIVE));
    // A stream on which nothing could be sent has no request in the recording.
    const unsent = lines.filter(({ event }) => event === 'upstream-failed').length;
    const said = withoutFailed(state.said, unsent, folder === 'sotw-cp-restart' ? 20 : 0);
    t.same(said, requestsIn(lines));
  });
}

/**
 * Leaves out four requests of each stream that never reached a control plane, after the first
 * `before` ones.
 */
function withoutFailed(said: readonly Said[], streams: number, before: number): readonly Said[] {
  return [...said.slice(0, before), ...said.slice(before + 4 * streams)];
}

t.test('after all of it the state is the last one of the control plane', async (t) => {
  const state = replay();
  hearAll(state, SOTW);
  const { clusters, endpoints, listeners, secrets, versions } = state.subscriptions.state;
  t.equal(clusters.size, 44);
  t.same([...endpoints.keys()].sort(), ['default:backend', 'default:es-zone2', 'mesh-2:backend']);
  t.same([...listeners.keys()].sort(), ['inbound:127.0.0.2:10002', 'kuma:envoy:admin']);
  t.equal(secrets.size, 6);
  t.equal(versions.cluster, 'e3761329-2320-409a-8c60-074f8d08bd94');
  t.equal(state.subscriptions.deadline, null, 'nothing is waited for');
});

const SYNTHETIC = [
  ...['2.9.19', '2.12.14'].flatMap((version) =>
    ['initial', 'nack-cds', 'pre-created-1', 'pre-created-2-reconnect', 'no-readiness-port', 'no-version', 'admin-tcp'].map(
      (each) => `versions/${version}/ads/${each}/`,
    ),
  ),
  ...['nack-cds', 'nack-eds', 'nack-lds', 'nack-sds', 'no-version', 'rds-never-answered', 'scope-both-ok', 'second-stream-a'].map(
    (each) => `ads/failures/${each}/`,
  ),
  'ads/failures/no-readiness-port/',
];

for (const path of SYNTHETIC) {
  // The synthetic client does not keep Envoy's order between types, so each type is compared by
  // itself.
  t.test(`${path}: of each type the same is asked for, acknowledged and refused`, async (t) => {
    const folder = new URL(path, LIVE);
    const lines = linesOf(folder);
    const state = replay(lines.find(({ node }) => node !== undefined)?.node);
    const version = /versions\/[^/]+/.exec(path)?.[0];
    const base = version === undefined ? SOTW : new URL(`${version}/ads/initial/`, LIVE);
    for (const line of linesOf(base)) {
      const type = typeOf(line);
      if (line.dir === 'response' && type !== undefined && !state.last.has(type))
        state.last.set(type, responseOf(base, line, registry)!);
    }
    for (const line of lines) {
      const answer = lines.find(
        (each) => each.dir === 'request' && each.type === line.type && each.response_nonce === line.nonce,
      );
      state.judge = () => (answer?.error === undefined ? undefined : 'refused on purpose');
      hear(state, folder, line);
    }
    const silent = !lines.some(({ dir }) => dir === 'response');
    for (const type of silent ? (['cluster'] as const) : ADS_TYPES) {
      t.same(ofType(state.said, type), ofType(requestsIn(lines), type), TYPE_URLS[type]);
    }
    t.equal(state.said.filter(({ node }) => node !== undefined).length, 1, 'the node is said once');
  });
}

/**
 * The text of a refusal is the synthetic client's own; only its presence is compared. The first
 * request with the node depends on the order between types.
 */
function ofType(said: readonly Said[], type: AdsType): unknown {
  return said
    .filter((each) => each.type === type)
    .map(({ names, version, nonce, error }) => ({ names, version, nonce, refused: error !== undefined }));
}
