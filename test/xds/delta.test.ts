/** The conversation in the delta form: events in, requests out; no network, no clock. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import type { AdsState, AdsType } from '../../src/xds/messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import { delta } from '../../src/xds/stream/delta.ts';
import type { Finding, Outcome } from '../../src/xds/stream/subscriptions.ts';
import { FETCH_TIMEOUT_MS, Subscriptions } from '../../src/xds/stream/subscriptions.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { Judge } from './accept-all.ts';
import { acceptAll } from './accept-all.ts';
import { edsCluster, endpoints, listener, secret, staticCluster } from './resources.ts';

/** Keyed by name: a version, and the resource. */
type Sent = Readonly<Record<string, readonly [version: string, resource: Any]>>;

class Talk {
  readonly subscriptions: Subscriptions;
  readonly findings: Finding[] = [];
  now = 0;
  #nonce = 0;

  constructor(judge?: Judge) {
    this.subscriptions = new Subscriptions(create(NodeSchema, { id: 'm.egress' }), acceptAll(judge), delta);
  }

  get state(): AdsState {
    return this.subscriptions.state;
  }

  open(): readonly string[] {
    this.#nonce = 0;
    return this.#take(this.subscriptions.on({ kind: 'opened', now: this.now }));
  }

  end(): void {
    this.#take(this.subscriptions.on({ kind: 'ended' }));
  }

  say(type: AdsType, sent: Sent, removed: readonly string[] = []): readonly string[] {
    const response = create(DeltaDiscoveryResponseSchema, {
      typeUrl: TYPE_URLS[type],
      systemVersionInfo: 'sys',
      nonce: String(++this.#nonce),
      resources: Object.entries(sent).map(([name, [version, resource]]) => ({ name, version, resource })),
      removedResources: [...removed],
    });
    const answer = delta.read(toBinary(DeltaDiscoveryResponseSchema, response));
    return this.#take(this.subscriptions.on({ kind: 'answer', answer, now: this.now, wall: this.now }));
  }

  pass(ms: number): readonly string[] {
    this.now += ms;
    return this.#take(this.subscriptions.on({ kind: 'elapsed', now: this.now }));
  }

  start(): void {
    this.open();
    this.say('cluster', { static: ['1', staticCluster('static')], remote: ['1', edsCluster('remote')] });
    this.say('endpoint', { remote: ['1', endpoints('remote')] });
    this.say('listener', { in: ['1', listener('in', [['id', 'ca']])] });
    this.say('secret', { id: ['1', secret('id')], ca: ['1', secret('ca')] });
  }

  #take({ requests, findings }: Outcome): readonly string[] {
    this.findings.push(...findings);
    return requests.map((ask) => inShort(delta.write(ask)));
  }
}

/** `secret +new -old =held@1 #3 NO why` */
function inShort(bytes: Uint8Array): string {
  const request = fromBinary(DeltaDiscoveryRequestSchema, bytes);
  const type = ADS_TYPES.find((each) => TYPE_URLS[each] === request.typeUrl) ?? '';
  const { resourceNamesSubscribe: come, resourceNamesUnsubscribe: go, initialResourceVersions: held } = request;
  return [
    type,
    ...[...come].sort().map((name) => `+${name}`),
    ...[...go].sort().map((name) => `-${name}`),
    ...Object.keys(held)
      .sort()
      .map((name) => `=${name}@${held[name]}`),
    ...(request.responseNonce === '' ? [] : [`#${request.responseNonce}`]),
    ...(request.errorDetail === undefined ? [] : [`NO ${request.errorDetail.message}`]),
  ].join(' ');
}

const marked = (mark: string, any: Any): boolean => anyUnpack(any, ClusterSchema)?.altStatName === mark;
const refuseBad: Judge = (type, _name, resource) =>
  type === 'cluster' && (resource as { altStatName: string }).altStatName === 'bad' ? 'no such thing' : undefined;

t.test('a first conversation: types as a whole without names, endpoints and secrets by name', async (t) => {
  const talk = new Talk();
  t.same(talk.open(), ['cluster']);
  t.same(talk.say('cluster', { remote: ['1', edsCluster('remote')] }), ['endpoint +remote', 'cluster #1']);
  t.same(talk.say('endpoint', { remote: ['1', endpoints('remote')] }), ['listener', 'endpoint #2']);
  t.same(talk.say('listener', { in: ['1', listener('in', [['id', 'ca']])] }), ['secret +ca +id', 'listener #3']);
  t.same(talk.say('secret', { id: ['1', secret('id')] }), ['secret #4']);
  t.equal(talk.state.listeners.size, 0, 'one of two secrets is not enough');
  t.same(talk.say('secret', { ca: ['1', secret('ca')] }), ['secret #5']);
  t.equal(talk.state.listeners.size, 1, 'a late secret is a response of its own');
});

t.test('what a response does not have stays, and what it removes goes', async (t) => {
  const talk = new Talk();
  talk.start();
  t.same(talk.say('cluster', { more: ['1', staticCluster('more')] }), ['cluster #5']);
  t.same([...talk.state.clusters.keys()].sort(), ['more', 'remote', 'static']);
  t.same(talk.say('cluster', {}, ['static', 'never-was']), ['cluster #6']);
  t.same([...talk.state.clusters.keys()].sort(), ['more', 'remote']);
  t.same(talk.say('cluster', {}, ['remote']), ['endpoint -remote', 'cluster #7'], 'and what nothing needs is given up');
  t.equal(talk.state.endpoints.size, 0);
});

t.test('the versions are those of the resources, and the one of the type is the one of the system', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.say('cluster', { more: ['7', staticCluster('more')] });
  t.equal(talk.state.clusters.get('more')?.version, '7');
  t.equal(talk.state.versions.cluster, 'sys');
});

t.test('a new stream says what is held; an empty answer changes nothing and is acknowledged', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.say('cluster', { static: ['2', staticCluster('static', 'new')] });
  const before = talk.state;
  talk.end();
  t.same(talk.open(), [
    'cluster =remote@1 =static@2',
    'endpoint +remote =remote@1',
    'listener =in@1',
    'secret +ca +id =ca@1 =id@1',
  ]);
  t.same(talk.say('cluster', {}), ['cluster #1']);
  t.same(talk.say('listener', {}), ['listener #2']);
  t.equal(talk.state, before, 'not even the maps are others');
  t.same(talk.findings, []);
});

t.test('what was removed while the stream was away comes with the first answer', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.end();
  talk.open();
  t.same(talk.say('cluster', {}, ['static']), ['cluster #1']);
  t.same([...talk.state.clusters.keys()], ['remote']);
});

t.test('of a refused response the good ones are taken, the refused one stays, and so does its version', async (t) => {
  const talk = new Talk(refuseBad);
  talk.start();
  const said = talk.say('cluster', {
    static: ['2', staticCluster('static', 'bad')],
    more: ['1', staticCluster('more')],
    remote: ['2', edsCluster('remote', '', 'better')],
  });
  t.same(said, ['cluster #5 NO Error adding/updating cluster(s) static: no such thing']);
  t.equal(talk.state.clusters.get('static')?.version, '1');
  t.equal(talk.state.clusters.get('remote')?.version, '2');
  t.ok(talk.state.clusters.has('more'));
  talk.end();
  t.equal(talk.open()[0], 'cluster =more@1 =remote@2 =static@1', 'the next stream is not told that the refused one is held');
});

t.test('what was refused is asked for again on the same stream, less and less often, until it is good', async (t) => {
  const talk = new Talk(refuseBad);
  talk.start();
  talk.say('cluster', { static: ['2', staticCluster('static', 'bad')] });
  t.equal(talk.subscriptions.deadline, 5_000);
  t.same(talk.pass(4_999), []);
  t.same(talk.pass(1), ['cluster +static -static'], 'and the type is asked for as a whole as before');
  t.equal(talk.subscriptions.deadline, null, 'an answer that does not come is not asked for again');
  talk.say('cluster', { static: ['2', staticCluster('static', 'bad')] });
  t.equal(talk.subscriptions.deadline, 15_000);
  t.equal(talk.findings.filter(({ kind }) => kind === 'refused').length, 1, 'the same refusal is one finding');
  t.same(talk.pass(10_000), ['cluster +static -static']);
  talk.say('cluster', { static: ['3', staticCluster('static', 'good')] });
  t.equal(talk.subscriptions.deadline, null);
  t.match(talk.findings.at(-1), { kind: 'recovered', refusals: 2 });
  t.equal(talk.state.clusters.get('static')?.resource.altStatName, 'good');
});

t.test('a refused secret is asked for by its name, which stays subscribed', async (t) => {
  const talk = new Talk((type, name, resource) => {
    const mark = (resource as { type?: { value?: { certificateChain?: { specifier?: { value?: unknown } } } } }).type;
    return type === 'secret' && name === 'id' && mark?.value?.certificateChain?.specifier?.value === 'bad' ? 'bad' : undefined;
  });
  talk.start();
  talk.say('secret', { id: ['2', secret('id', 'bad')], ca: ['2', secret('ca', 'new')] });
  t.same(talk.pass(5_000), ['secret +id']);
  t.equal(talk.state.secrets.get('ca')?.version, '2');
  t.equal(talk.state.secrets.get('id')?.version, '1');
});

t.test('a resource that cannot be read is refused by the name beside it, and the others are taken', async (t) => {
  const talk = new Talk();
  talk.start();
  const broken = { ...staticCluster('broken'), value: new Uint8Array([0x0a, 0xff]) };
  const [said] = talk.say('cluster', {
    broken: ['1', broken],
    typed: ['1', secret('typed')],
    other: ['1', staticCluster('not-other')],
    more: ['1', staticCluster('more')],
  });
  t.match(
    said,
    /NO .*broken: .*, typed: a resource has the type .*Secret, not .*Cluster, other: the resource has the name "not-other" inside/,
  );
  t.same([...talk.state.clusters.keys()].sort(), ['more', 'remote', 'static']);
});

t.test('without a name anywhere, nothing of the response is taken', async (t) => {
  const talk = new Talk();
  talk.start();
  const broken = { ...staticCluster('broken'), value: new Uint8Array([0x0a, 0xff]) };
  t.match(talk.say('cluster', { '': ['1', broken], more: ['1', staticCluster('more')] }), [/^cluster #5 NO /]);
  t.notOk(talk.state.clusters.has('more'));
});

t.test('a name that is sent and removed at once is refused, and stays as it was', async (t) => {
  const talk = new Talk();
  talk.start();
  t.match(talk.say('cluster', { static: ['2', staticCluster('static', 'new')] }, ['static']), [
    /sent and removed in the same response/,
  ]);
  t.equal(talk.state.clusters.get('static')?.version, '1');
});

t.test('endpoints and secrets that are removed stay while something needs them', async (t) => {
  const talk = new Talk();
  talk.start();
  const before = talk.state;
  t.same(talk.say('secret', {}, ['id']), ['secret #5']);
  t.equal(talk.state.secrets, before.secrets);
  talk.end();
  t.ok(talk.open().includes('secret +ca +id =ca@1'), 'but the next stream asks for it anew');
});

t.test('a secret that does not exist is not waited for, and one that is not answered for 15 s', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.say('listener', { in: ['2', listener('in', [['id-2', 'ca-2']])] });
  t.equal(talk.subscriptions.deadline, FETCH_TIMEOUT_MS);
  talk.say('secret', {}, ['id-2']);
  talk.pass(FETCH_TIMEOUT_MS);
  t.match(talk.findings.at(-1), { kind: 'not-answered', names: ['ca-2'] });
  t.equal(talk.state.listeners.get('in')?.version, '2');
});

t.test('a new stream without names asks for no endpoints and secrets: it would get all that there are', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.say('cluster', {}, ['remote']);
  t.same(talk.say('listener', {}, ['in']), ['secret -ca -id', 'listener #6']);
  talk.end();
  t.same(talk.open(), ['cluster =static@1', 'listener']);
  t.same(
    talk.say('listener', { in: ['1', listener('in', [['id', 'ca']])] }),
    ['secret +ca +id', 'listener #1'],
    'and by name later',
  );
});

t.test('the same content comes back under an old version of the system', async (t) => {
  const talk = new Talk();
  talk.start();
  const first = talk.state.clusters.get('static');
  talk.say('cluster', { static: ['2', staticCluster('static', 'other')] });
  t.ok(marked('other', staticCluster('static', 'other')));
  talk.say('cluster', { static: ['1', staticCluster('static')] });
  t.equal(talk.state.clusters.get('static')?.hash, first?.hash);
  talk.end();
  t.equal(talk.open()[0], 'cluster =remote@1 =static@1');
});
