/** What goes live and when: events in, requests and a state out; no network, no clock. */
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import t from 'tap';
import type { Acceptance, AdsState, AdsType } from '../../src/xds/messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { endpointResourceName, secretNamesOfListener } from '../../src/xds/messages/resource-names.ts';
import type { Finding } from '../../src/xds/stream/subscriptions.ts';
import { stateOfTheWorld } from '../../src/xds/stream/state-of-the-world.ts';
import { FETCH_TIMEOUT_MS, Subscriptions } from '../../src/xds/stream/subscriptions.ts';
import type { Judge } from './accept-all.ts';
import { acceptAll } from './accept-all.ts';
import type { Said } from './recorded.ts';
import { answerOf, saidInAsk } from './recorded.ts';
import { edsCluster, endpoints, listener, secret, staticCluster } from './resources.ts';

const node = create(NodeSchema, { id: '.egress-1', cluster: 'egress' });

/** A conversation in short form: `say` returns the requests; nonces count as Kuma's do. */
class Talk {
  readonly subscriptions: Subscriptions;
  readonly findings: Finding[] = [];
  now = 0;
  nonce = 0;

  constructor(judge?: Judge) {
    this.subscriptions = new Subscriptions(node, acceptAll(judge), stateOfTheWorld);
  }

  get state(): AdsState {
    return this.subscriptions.state;
  }

  open(): Said[] {
    this.nonce = 0;
    return this.#take(this.subscriptions.on({ kind: 'opened', now: this.now }));
  }

  end(): void {
    this.#take(this.subscriptions.on({ kind: 'ended' }));
  }

  say(type: AdsType, version: string, resources: readonly Any[]): string[] {
    const nonce = String(++this.nonce);
    const response = create(DiscoveryResponseSchema, {
      typeUrl: TYPE_URLS[type],
      versionInfo: version,
      nonce,
      resources: [...resources],
    });
    return this.#take(this.subscriptions.on({ kind: 'answer', answer: answerOf(response), now: this.now, wall: this.now })).map(
      inShort,
    );
  }

  pass(ms: number): string[] {
    this.now += ms;
    return this.#take(this.subscriptions.on({ kind: 'elapsed', now: this.now })).map(inShort);
  }

  /** Plays to the end of a first conversation. */
  start(): void {
    this.open();
    this.say('cluster', 'c1', [staticCluster('static'), edsCluster('remote')]);
    this.say('endpoint', 'e1', [endpoints('remote')]);
    this.say('listener', 'l1', [listener('in', [['id', 'ca']])]);
    this.say('secret', 's1', [secret('id'), secret('ca')]);
  }

  #take({ requests, findings }: ReturnType<Subscriptions['on']>): Said[] {
    this.findings.push(...findings);
    return requests.map(saidInAsk);
  }
}

function inShort({ type, version, nonce, names, error }: Said): string {
  return [`${type}@${version}#${nonce}`, ...names, ...(error === undefined ? [] : [`NO ${error}`])].join(' ');
}

t.test('without clusters that are looked up, listeners are asked for at once and endpoints never', async (t) => {
  const talk = new Talk();
  talk.open();
  t.same(talk.say('cluster', 'c1', [staticCluster('static')]), ['listener@#', 'cluster@c1#1']);
  t.same(talk.say('listener', 'l1', []), ['listener@l1#2']);
  t.equal(talk.subscriptions.deadline, null);
});

t.test('endpoints are asked for by the name of their service, once for all clusters that share it', async (t) => {
  const talk = new Talk();
  talk.open();
  const clusters = [edsCluster('one', 'shared'), edsCluster('two', 'shared'), edsCluster('three')];
  t.same(talk.say('cluster', 'c1', clusters), ['endpoint@# shared three', 'cluster@c1#1']);
});

t.test('a new cluster is live when its endpoints came, and the answer to its response waits for that', async (t) => {
  const talk = new Talk();
  talk.start();
  const before = talk.state;
  t.same(talk.say('cluster', 'c2', [staticCluster('static'), edsCluster('remote'), edsCluster('new')]), [
    'endpoint@e1#2 new remote',
  ]);
  t.equal(talk.state.clusters, before.clusters);
  t.same(talk.say('endpoint', 'e2', [endpoints('remote'), endpoints('new')]), ['cluster@c2#5', 'endpoint@e2#6 new remote']);
  t.same([...talk.state.clusters.keys()], ['static', 'remote', 'new']);
  t.equal(talk.state.endpoints.get('remote'), before.endpoints.get('remote'), 'what did not change is the same value');
});

t.test('a cluster that changes keeps the endpoints that are held', async (t) => {
  const talk = new Talk();
  talk.start();
  t.same(talk.say('cluster', 'c2', [edsCluster('remote', '', 'changed')]), ['cluster@c2#5']);
  t.equal(talk.state.clusters.get('remote')?.resource.altStatName, 'changed');
  t.ok(talk.state.endpoints.has('remote'));
});

t.test(
  'a cluster that is gone is gone at once, also while a chain names it, and its endpoints are not asked for any more',
  async (t) => {
    const talk = new Talk();
    talk.start();
    const { listeners } = talk.state;
    t.same(talk.say('cluster', 'c2', [staticCluster('static')]), ['endpoint@e1#2', 'cluster@c2#5']);
    t.same([...talk.state.clusters.keys()], ['static']);
    t.equal(talk.state.endpoints.size, 0);
    t.equal(talk.state.listeners, listeners);
  },
);

t.test('a listener keeps its old form until the secrets of the new one came, and both are asked for', async (t) => {
  const talk = new Talk();
  talk.start();
  const { listeners } = talk.state;
  const next = listener('in', [['id-2', 'ca-2']]);
  t.same(talk.say('listener', 'l2', [next]), ['secret@s1#4 ca ca-2 id id-2', 'listener@l2#5']);
  t.equal(talk.state.listeners, listeners);
  talk.say('secret', 's2', [secret('id'), secret('ca'), secret('id-2')]);
  t.equal(talk.state.listeners, listeners, 'one of two is not enough');
  const whole = ['id', 'ca', 'id-2', 'ca-2'].map((name) => secret(name));
  t.same(talk.say('secret', 's3', whole), ['secret@s3#7 ca-2 id-2'], 'and then only the new ones');
  t.not(talk.state.listeners, listeners);
  t.same([...talk.state.secrets.keys()].sort(), ['ca-2', 'id-2']);
});

t.test('a listener of a new mesh whose secrets do not come goes live after 15 s without them', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.say('listener', 'l2', [
    listener('in', [
      ['id', 'ca'],
      ['id-2', 'ca-2'],
    ]),
  ]);
  t.equal(talk.subscriptions.deadline, FETCH_TIMEOUT_MS);
  talk.pass(FETCH_TIMEOUT_MS - 1);
  t.equal(talk.state.listeners.get('in')?.resource.filterChains.length, 1);
  t.same(talk.pass(1), []);
  t.equal(talk.state.listeners.get('in')?.resource.filterChains.length, 2);
  t.same(talk.findings.at(-1), { kind: 'not-answered', type: 'secret', names: ['id-2', 'ca-2'], timeoutMs: FETCH_TIMEOUT_MS });
  t.equal(talk.subscriptions.deadline, null);
  talk.say('secret', 's2', [secret('id-2'), secret('ca-2')]);
  t.equal(talk.state.secrets.size, 4, 'late is not too late');
});

t.test('what is waited for is waited for while there is a stream, and anew on the next', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.say('listener', 'l2', [listener('in', [['id-2', 'ca-2']])]);
  talk.end();
  t.equal(talk.subscriptions.deadline, null);
  t.same(talk.pass(60_000), []);
  t.equal(talk.state.listeners.get('in')?.version, 'l1', 'the old form serves as long as there is no stream');
  talk.open();
  t.equal(talk.subscriptions.deadline, talk.now + FETCH_TIMEOUT_MS);
});

t.test('of a refused response the good ones are applied, the refused one stays as it was, and the version too', async (t) => {
  const talk = new Talk((type, _name, resource) =>
    type === 'cluster' && (resource as { altStatName: string }).altStatName === 'bad' ? 'no such thing' : undefined,
  );
  talk.start();
  t.same(talk.say('cluster', 'c2', [staticCluster('static', 'good'), edsCluster('remote', '', 'bad'), staticCluster('third')]), [
    'cluster@c1#5 NO Error adding/updating cluster(s) remote: no such thing',
  ]);
  t.same(
    [...talk.state.clusters.values()].map(({ name, version }) => `${name} ${version}`),
    ['static c2', 'remote c1', 'third c2'],
  );
  t.equal(talk.state.versions.cluster, 'c1');
});

t.test('a name twice in a response refuses it, and the first is taken', async (t) => {
  const talk = new Talk();
  talk.open();
  const [, answer] = talk.say('cluster', 'c1', [staticCluster('twice', 'first'), staticCluster('twice', 'second')]);
  t.equal(answer, 'cluster@#1 NO Error adding/updating cluster(s) twice: duplicate cluster twice found');
  t.equal(talk.state.clusters.get('twice')?.resource.altStatName, 'first');
});

t.test('a secret that is refused does not keep its listener waiting: there is nothing to wait for', async (t) => {
  const talk = new Talk((_type, name) => (name === 'id' ? 'not a certificate' : undefined));
  talk.start();
  t.equal(talk.state.listeners.size, 1);
  t.same([...talk.state.secrets.keys()], ['ca']);
});

t.test('endpoints and secrets that were not requested are ignored', async (t) => {
  const talk = new Talk((_type, name) => (name === 'other' ? 'bad' : undefined));
  talk.start();
  t.same(talk.say('endpoint', 'e2', [endpoints('remote', 150), endpoints('other')]), ['endpoint@e2#5 remote']);
  t.same([...talk.state.endpoints.keys()], ['remote']);
});

t.test('endpoints and secrets are not gone because a response does not have them', async (t) => {
  const talk = new Talk();
  talk.start();
  talk.say('endpoint', 'e2', []);
  talk.say('secret', 's2', [secret('id', 'new')]);
  t.same([...talk.state.endpoints.keys()], ['remote']);
  t.same([...talk.state.secrets.keys()].sort(), ['ca', 'id']);
});

t.test('the same content under a new version is the same value, with the version that brought it', async (t) => {
  const talk = new Talk();
  talk.start();
  const before = talk.state;
  talk.say('cluster', 'c2', [edsCluster('remote'), staticCluster('static')]);
  t.equal(talk.state.clusters, before.clusters);
  t.equal(talk.state.clusters.get('static')?.version, 'c1');
  t.equal(talk.state.versions.cluster, 'c2');
});

t.test('a response of a type that was not requested is reported and not answered', async (t) => {
  const talk = new Talk();
  talk.open();
  t.same(talk.say('secret', 's1', [secret('id')]), []);
  t.same(talk.findings, [{ kind: 'unasked', typeUrl: TYPE_URLS.secret }]);
});

t.test('a tolerated fault is reported once for as long as it is the same', async (t) => {
  const accept = acceptAll();
  const cluster = (any: Any): Acceptance<Cluster> => {
    const judged = accept.cluster(any);
    return judged.kind === 'accepted' ? { ...judged, remarks: ['odd'] } : judged;
  };
  const subscriptions = new Subscriptions(node, { ...accept, cluster }, stateOfTheWorld);
  subscriptions.on({ kind: 'opened', now: 0 });
  const said = ['a', 'b', 'b', 'c'].map((mark, at) => {
    const resources = [staticCluster('one', mark)];
    const response = create(DiscoveryResponseSchema, {
      typeUrl: TYPE_URLS.cluster,
      versionInfo: mark,
      nonce: String(at),
      resources,
    });
    return subscriptions.on({ kind: 'answer', answer: answerOf(response), now: 0, wall: 0 }).findings.length;
  });
  t.same(said, [1, 0, 0, 0]);
});

t.test('a reason is cut where Envoy cuts it', async (t) => {
  const talk = new Talk(() => 'x'.repeat(10_000));
  talk.open();
  const answer = talk.say('cluster', 'c1', [staticCluster('one')]).at(-1)!;
  t.match(answer, /x\.\.\.\(truncated\)$/);
  t.ok(answer.length < 4200);
});

type Step =
  | { readonly kind: 'open' }
  | { readonly kind: 'end' }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'say'; readonly type: AdsType; readonly picks: readonly number[]; readonly mark: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'open' }, { kind: 'end' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 5_000, 15_000) }) },
  {
    weight: 16,
    arbitrary: fc.record({
      kind: fc.constant('say' as const),
      type: fc.constantFrom(...ADS_TYPES),
      picks: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 5 }),
      mark: fc.integer({ min: 1, max: 5 }),
    }),
  },
);

/** As far as it takes until listeners are requested: random steps get there too seldom. */
const BEGUN: readonly Step[] = [{ kind: 'open' }, { kind: 'say', type: 'cluster', picks: [], mark: 1 }];

/** Small worlds, so that names meet. Mark 5 is refused. */
function resource(type: AdsType, pick: number, mark: number): Any {
  switch (type) {
    case 'cluster':
      return pick % 2 === 0
        ? staticCluster(`c${pick}`, String(mark))
        : edsCluster(`c${pick}`, `e${(pick + mark) % 3}`, String(mark));
    case 'endpoint':
      return endpoints(`e${pick % 3}`, mark);
    case 'listener':
      return listener(`l${pick % 2}`, [[`s${mark % 4}`, `s${pick % 4}`]], String(mark));
    case 'secret':
      return secret(`s${pick % 4}`, String(mark));
    default:
      return type satisfies never;
  }
}

const isBad: Judge = (type, _name, resource) => {
  const { altStatName, statPrefix, policy } = resource as {
    altStatName?: string;
    statPrefix?: string;
    policy?: { overprovisioningFactor?: number };
  };
  const mark = type === 'secret' ? markOfSecret(resource) : (altStatName ?? statPrefix ?? String(policy?.overprovisioningFactor));
  return mark === '5' ? 'bad' : undefined;
};

function markOfSecret(resource: unknown): string {
  const { type } = resource as Secret;
  return type.case === 'tlsCertificate' ? String(type.value.certificateChain?.specifier.value) : '';
}

t.test('whatever comes in whatever order: nothing half there is live, every response is answered once and truly', async (t) => {
  fc.assert(
    fc.property(fc.constantFrom([], BEGUN), fc.array(step, { maxLength: 60 }), (start, steps) => {
      const subscriptions = new Subscriptions(node, acceptAll(isBad), stateOfTheWorld);
      /** Not waited for: not answered in time, or refused. */
      const excused = new Set<string>();
      /**
       * Keyed by type and nonce on this stream: whether it was refused. Removed with the answer.
       */
      let open = new Map<string, boolean>();
      let heard = new Set<string>();
      const accepted = new Set<string>(ADS_TYPES.map((type) => `${type} `));
      const asked: Record<string, readonly string[]> = {};
      let isOpen = false;
      let first = false;
      let now = 0;
      let count = 0;

      const excuse = (judged: Acceptance<unknown>): void => {
        if (judged.kind === 'refused') excused.add(judged.name);
      };
      const check = ({ requests, findings }: ReturnType<Subscriptions['on']>): void => {
        for (const finding of findings) {
          if (finding.kind === 'not-answered') for (const name of finding.names) excused.add(name);
        }
        for (const said of requests.map(saidInAsk)) {
          const key = `${said.type} ${said.nonce}`;
          must((said.node !== undefined) === first, 'the node is in the first request of a stream, and in no other');
          first = false;
          must(said.nonce === '' || heard.has(key), `the nonce ${key} was heard on this stream`);
          must(accepted.has(`${said.type} ${said.version}`), `${said.type} ${said.version} was accepted`);
          must((said.error !== undefined) === (open.get(key) ?? false), `${key} is refused where it was refused, and only once`);
          open.delete(key);
          asked[said.type] = said.names;
        }
        const { clusters, listeners, endpoints: held, secrets } = subscriptions.state;
        for (const { resource } of clusters.values()) {
          const name = endpointResourceName(resource);
          must(name === null || held.has(name) || excused.has(name), `${resource.name} has its endpoints`);
          if (isOpen && name !== null) must(asked.endpoint?.includes(name) === true, `${name} is asked for`);
        }
        for (const { resource } of listeners.values()) {
          for (const name of secretNamesOfListener(resource)) {
            must(secrets.has(name) || excused.has(name), `${resource.name} has its secrets`);
            if (isOpen) must(asked.secret?.includes(name) === true, `${name} is asked for`);
          }
        }
      };

      const last: Step = { kind: 'pass', ms: 15_000 };
      for (const each of [...start, ...steps, last]) {
        if (each.kind === 'open' || each.kind === 'end') {
          open = new Map();
          heard = new Set();
          isOpen = each.kind === 'open';
          first = isOpen;
          check(subscriptions.on(isOpen ? { kind: 'opened', now } : { kind: 'ended' }));
        } else if (each.kind === 'pass') {
          now += each.ms;
          check(subscriptions.on({ kind: 'elapsed', now }));
        } else if (isOpen) {
          const nonce = String(++count);
          const { type, mark } = each;
          const versionInfo = `v${count}`;
          const resources = each.picks.map((pick, at) => resource(type, pick, 1 + ((mark + at) % 5)));
          const response = create(DiscoveryResponseSchema, { typeUrl: TYPE_URLS[type], versionInfo, nonce, resources });
          const outcome = subscriptions.on({ kind: 'answer', answer: answerOf(response), now, wall: now });
          if (outcome.findings.some(({ kind }) => kind === 'unasked')) continue;
          const refused = subscriptions.status()[type].lastRefusal?.version === versionInfo;
          heard.add(`${type} ${nonce}`);
          open.set(`${type} ${nonce}`, refused);
          if (!refused) accepted.add(`${type} ${versionInfo}`);
          if (type === 'endpoint' || type === 'secret') for (const any of resources) excuse(acceptAll(isBad)[type](any));
          check(outcome);
        }
      }
      if (isOpen) must(open.size === 0, `answered: ${[...open.keys()].join(', ')}`);
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`not true: ${what}`);
}
