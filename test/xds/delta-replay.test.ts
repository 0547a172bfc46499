/** Plays every recorded delta conversation again: compares the requests, and what is live. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { create, fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { readRecording } from '../../src/testing/control-plane/recording.ts';
import type { RecordedEvent, Recording } from '../../src/testing/control-plane/recording.ts';
import type { AdsType } from '../../src/xds/messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import { delta } from '../../src/xds/stream/delta.ts';
import type { AdsRequest } from '../../src/xds/stream/protocol.ts';
import type { Finding, Outcome } from '../../src/xds/stream/subscriptions.ts';
import { Subscriptions } from '../../src/xds/stream/subscriptions.ts';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { DeltaDiscoveryRequestSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { DeltaDiscoveryRequest } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DEV, LIVE } from '../data.ts';
import { acceptAll } from './accept-all.ts';
import type { Judge } from './accept-all.ts';

/** Envoy refuses what Kuma sends for a MeshHealthCheck on a MeshExternalService. */
const asEnvoy: Judge = (type, _name, resource) =>
  type === 'cluster' && (resource as Cluster).healthChecks.length > 1 ? 'Multiple health checks not supported' : undefined;

interface Heard {
  readonly subscriptions: Subscriptions;
  readonly said: DeltaDiscoveryRequest[];
  readonly findings: Finding[];
}

function start(judge: Judge): Heard {
  const node = create(NodeSchema, { id: 'mesh-b.egress-b' });
  return { subscriptions: new Subscriptions(node, acceptAll(judge), delta), said: [], findings: [] };
}

function take(heard: Heard, { requests, findings }: Outcome): void {
  heard.said.push(...requests.map(written));
  heard.findings.push(...findings);
}

function written(ask: AdsRequest): DeltaDiscoveryRequest {
  return fromBinary(DeltaDiscoveryRequestSchema, delta.write(ask));
}

function hear(heard: Heard, events: readonly RecordedEvent[]): void {
  const { subscriptions } = heard;
  take(heard, subscriptions.on({ kind: 'opened', now: 0 }));
  for (const event of events) {
    if (event.kind === 'response')
      take(heard, subscriptions.on({ kind: 'answer', answer: delta.read(event.bytes), now: 0, wall: event.n }));
  }
  take(heard, subscriptions.on({ kind: 'ended' }));
}

async function recordingOf(base: URL, path: string, beside?: string): Promise<Recording> {
  const options = beside === undefined ? {} : { base: fileURLToPath(new URL(beside, base)) };
  return readRecording(fileURLToPath(new URL(path, base)), options);
}

/** An answer to a response, or a change of names; Envoy drops names later and one by one. */
function inShort(type: AdsType, said: readonly DeltaDiscoveryRequest[]): readonly string[] {
  const names = new Set<string>();
  return said
    .filter(({ typeUrl }) => typeUrl === TYPE_URLS[type])
    .flatMap((request) => {
      const { resourceNamesSubscribe: come, resourceNamesUnsubscribe: go, responseNonce: nonce, errorDetail } = request;
      for (const name of come) names.add(name);
      for (const name of go) names.delete(name);
      if (nonce === '' && come.length === 0 && go.length > 0) return [];
      return [`${nonce} ${errorDetail === undefined ? '' : 'NO '}${nonce === '' ? [...names].sort().join(' ') : ''}`.trim()];
    });
}

function recordedInShort(type: AdsType, events: readonly RecordedEvent[]): readonly string[] {
  return events.flatMap((event) =>
    event.kind === 'request' && event.type === type
      ? [
          `${event.nonce} ${event.error === null ? '' : 'NO '}${event.nonce === '' ? [...event.names].sort().join(' ') : ''}`.trim(),
        ]
      : [],
  );
}

t.test('690 s of a real Envoy and a control plane of 3.0: the same requests for each type, stream by stream', async (t) => {
  const recording = await recordingOf(DEV, 'ads/changes/');
  const heard = start(asEnvoy);
  let answers = 0;
  for (const [at, { protocol, events }] of recording.entries()) {
    t.equal(protocol, 'delta');
    heard.said.length = 0;
    hear(heard, events);
    // Without a connection the recording has no requests.
    if (!events.some(({ kind }) => kind === 'request')) continue;
    for (const type of ADS_TYPES) t.same(inShort(type, heard.said), recordedInShort(type, events), `stream ${at + 1}: ${type}`);
    answers += events.filter(({ kind }) => kind === 'response').length;
    t.equal(heard.said.filter(({ node }) => node !== undefined).length, 1, 'the node is said once');
  }
  t.equal(answers, 68);
  t.same(heard.findings, [], 'nothing is refused, and nothing surprises');
  const { clusters, listeners, secrets } = heard.subscriptions.state;
  t.equal(clusters.size, 19);
  t.same([...listeners.keys()].sort(), ['self_zoneegress_dp_egress-port', 'system_envoy_admin']);
  t.same([...secrets.keys()].sort(), ['kri_mid_mesh-b___identity_', 'system_trust_bundle']);
});

t.test('a new stream says what is held, with the versions that Envoy has for it', async (t) => {
  const recording = await recordingOf(DEV, 'ads/changes/');
  const heard = start(asEnvoy);
  const streams: DeltaDiscoveryRequest[][] = [];
  for (const { events } of recording) {
    heard.said.length = 0;
    hear(heard, events);
    if (events.some(({ kind }) => kind === 'request')) streams.push([...heard.said]);
  }
  const recorded = (n: number, type: string): Readonly<Record<string, string>> =>
    (
      JSON.parse(readFileSync(new URL(`ads/changes/${n}-request-${type}.json`, DEV), 'utf8')) as {
        initialResourceVersions: Record<string, string>;
      }
    ).initialResourceVersions;
  const said = (requests: readonly DeltaDiscoveryRequest[], type: AdsType): unknown =>
    requests.find(({ typeUrl }) => typeUrl === TYPE_URLS[type])?.initialResourceVersions;
  for (const [at, n] of [
    [1, 104],
    [6, 137],
  ] as const) {
    t.same(said(streams[at]!, 'cluster'), recorded(n, 'cds'));
    t.same(said(streams[at]!, 'listener'), recorded(n + 1, 'lds'));
    t.same(said(streams[at]!, 'secret'), recorded(n + 2, 'sds'));
  }
});

t.test('an empty answer after a reconnect changes nothing and is acknowledged', async (t) => {
  const recording = await recordingOf(DEV, 'ads/changes/');
  const heard = start(asEnvoy);
  hear(heard, recording[0]!.events);
  const before = heard.subscriptions.state;
  const again = recording.find(({ events }, at) => at > 0 && events.some(({ kind }) => kind === 'response'))!;
  heard.said.length = 0;
  take(heard, heard.subscriptions.on({ kind: 'opened', now: 0 }));
  const first = again.events.find(({ kind }) => kind === 'response') as Extract<RecordedEvent, { kind: 'response' }>;
  const answer = delta.read(first.bytes);
  t.same([answer.resources.length, answer.removed.length], [0, 0]);
  take(heard, heard.subscriptions.on({ kind: 'answer', answer, now: 0, wall: 0 }));
  t.equal(heard.subscriptions.state.clusters, before.clusters);
  t.match(heard.said.at(-1), { typeUrl: TYPE_URLS.cluster, responseNonce: '1', errorDetail: undefined });
});

t.test('2.14.3 over delta, a ZoneEgress with endpoints: the requests of Envoy, and its refusal', async (t) => {
  const [stream] = await recordingOf(LIVE, 'ads/delta/envoy/');
  const heard = start(asEnvoy);
  hear(heard, stream!.events);
  for (const type of ADS_TYPES) t.same(inShort(type, heard.said), recordedInShort(type, stream!.events), type);
  t.match(heard.findings, [{ kind: 'refused', type: 'cluster', resources: [{ name: 'default_mes-lb___extsvc_9101' }] }]);
  const { clusters, endpoints, secrets } = heard.subscriptions.state;
  t.equal(clusters.size, 44);
  t.same([...endpoints.keys()].sort(), ['default:backend', 'default:es-zone2', 'mesh-2:backend']);
  t.equal(secrets.size, 6);
});

const FAILURES = readdirSync(new URL('failures/', DEV));

t.test('each conversation of a synthetic client with 3.0: every answer is acknowledged once, with its nonce', async (t) => {
  t.equal(FAILURES.length, 62);
  let answers = 0;
  for (const name of FAILURES) {
    const recording = await recordingOf(DEV, `failures/${name}/`, 'failures/nack-lds-then-sds/');
    for (const { protocol, events } of recording) {
      if (protocol === 'sotw') {
        t.notOk(
          events.some(({ kind }) => kind === 'response'),
          `${name}: a stream of the state of the world hears nothing`,
        );
        continue;
      }
      const refusedOnPurpose = new Set(
        events.flatMap((event) => (event.kind === 'request' && event.error !== null ? [event.type] : [])),
      );
      const heard = start((type) => (refusedOnPurpose.has(type) ? 'refused' : undefined));
      const heardAll: string[] = [];
      take(heard, heard.subscriptions.on({ kind: 'opened', now: 0 }));
      for (const event of events) {
        if (event.kind !== 'response') continue;
        const { findings, requests } = heard.subscriptions.on({
          kind: 'answer',
          answer: delta.read(event.bytes),
          now: 0,
          wall: 0,
        });
        // The synthetic client asks for secrets and endpoints that nothing here needs.
        if (findings.some(({ kind }) => kind === 'unasked')) continue;
        heardAll.push(`${event.type} ${delta.read(event.bytes).nonce}`);
        take(heard, { requests, findings });
        answers++;
      }
      const said = heard.said.filter(({ responseNonce }) => responseNonce !== '');
      t.same(
        said
          .map(({ typeUrl, responseNonce }) => `${ADS_TYPES.find((type) => TYPE_URLS[type] === typeUrl)} ${responseNonce}`)
          .sort(),
        heardAll.sort(),
        name,
      );
    }
  }
  t.ok(answers > 80, `${answers} answers`);
});

for (const name of ['initial', 'reconnect', 'superset-rule', 'nack-cds']) {
  t.test(`2.14.3 over delta, ${name}: every answer is acknowledged once, or refused where it was`, async (t) => {
    const [stream] = await recordingOf(LIVE, `ads/delta/${name}/`, 'ads/delta/envoy/');
    const heard = start((type) => (name === 'nack-cds' && type === 'cluster' ? 'refused' : undefined));
    hear(heard, stream!.events);
    const answers = heard.said.filter(({ responseNonce }) => responseNonce !== '').length;
    const unasked = heard.findings.filter(({ kind }) => kind === 'unasked').length;
    t.equal(answers + unasked, stream!.events.filter(({ kind }) => kind === 'response').length);
    t.equal(heard.said.filter(({ errorDetail }) => errorDetail !== undefined).length, name === 'nack-cds' ? 1 : 0);
  });
}
