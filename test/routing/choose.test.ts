import fc from 'fast-check';
import t from 'tap';
import type { Cluster, Endpoint } from '../../src/model/cluster.ts';
import type { EndpointHealth, EndpointView } from '../../src/model/endpoint-view.ts';
import { draws } from '../../src/routing/balancers/draws.ts';
import { choose } from '../../src/routing/choose.ts';
import type { Chosen } from '../../src/routing/choose.ts';
import { cluster, endpoint, passthrough, view } from './endpoints.ts';

function chosen(home: Cluster, change: Partial<EndpointView> = {}, subset: Readonly<Record<string, string>> = {}): Chosen {
  const outcome = choose(passthrough(subset), home, view(change));
  if (outcome.kind === 'refusal') throw new Error(outcome.detail);
  return outcome;
}

const ips = ({ targets }: Chosen): string[] => targets.map(({ ip }) => ip);

/** Counts how often each address is the first choice, over turns with independent draws. */
function firsts(home: Cluster, turns: number, change: Partial<EndpointView> = {}): Record<string, number> {
  const counts: Record<string, number> = {};
  const next = draws(0.6);
  for (let turn = 0; turn < turns; turn++) {
    const [first = ''] = ips(chosen(home, { turn, draw: next(), ...change }));
    counts[first] = (counts[first] ?? 0) + 1;
  }
  return counts;
}

const near = (count: number | undefined, share: number, turns: number): boolean => Math.abs((count ?? 0) / turns - share) < 0.02;

function unhealthy(...list: readonly string[]): ReadonlyMap<string, EndpointHealth> {
  return new Map(list.map((ip, i) => [`${ip}:80`, i % 2 === 0 ? 'unhealthy' : 'ejected']));
}

const three = (change: Partial<Endpoint> = {}): Endpoint[] => [1, 2, 3].map((i) => endpoint({ ip: `10.0.0.${i}`, ...change }));

t.test('the egress itself is refused as an endpoint, however its address is spelt', async (t) => {
  const everywhere = { ownListeners: [{ ip: '::', port: 80 }], localAddresses: new Set(['10.0.0.5', 'fe80::1', '2001:db8::a']) };
  const only = { ownListeners: [{ ip: '2001:db8::a', port: 80 }] };
  for (const [ip, own] of [
    ['10.0.0.5', everywhere],
    ['::ffff:10.0.0.5', everywhere],
    ['::ffff:a00:5', everywhere],
    ['fe80:0::1', everywhere],
    ['2001:0DB8:0:0:0:0:0:A', everywhere],
    ['2001:DB8::000a', only],
  ] as const) {
    const detail = `${ip.includes(':') ? `[${ip}]` : ip}:80 is the egress itself`;
    t.match(choose(passthrough(), cluster([endpoint({ ip })]), view(own)), { code: 'forbidden-address', detail }, ip);
    t.strictSame(ips(chosen(cluster([endpoint({ ip, port: 81 })]), own)), [ip], 'another port is another program');
  }
  t.strictSame(ips(chosen(cluster([endpoint({ ip: '::ffff:10.0.0.6' })]), everywhere)), ['::ffff:10.0.0.6']);
});

t.test('an endpoint that is unhealthy or ejected is not tried at all', async (t) => {
  const home = cluster([...three(), endpoint({ ip: '10.0.0.4' })]);
  for (let turn = 0; turn < 20; turn++) {
    const found = chosen(home, { turn, health: unhealthy('10.0.0.1', '10.0.0.3') });
    t.strictSame(ips(found).sort(), ['10.0.0.2', '10.0.0.4']);
    t.equal(found.panic, false);
  }
});

t.test('when more than half are unhealthy, health does not count', async (t) => {
  const found = chosen(cluster(three()), { health: unhealthy('10.0.0.1', '10.0.0.2') });
  t.equal(found.panic, true);
  t.strictSame(ips(found).sort(), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  const alone = chosen(cluster([endpoint({})]), { health: unhealthy('10.0.0.1') });
  t.strictSame(ips(alone), ['10.0.0.1'], 'the only endpoint is tried');
});

t.test('without panic a cluster that is all unhealthy is refused', async (t) => {
  const home = cluster(three(), { panicThresholdPercent: 0 });
  t.match(choose(passthrough(), home, view({ health: unhealthy('10.0.0.1', '10.0.0.2', '10.0.0.3') })), {
    kind: 'refusal',
    code: 'no-endpoint',
    detail: 'all 3 endpoints of api are unhealthy',
  });
});

t.test('traffic of a weakened zone goes to the next, in Envoy’s proportions', async (t) => {
  const home = cluster([
    endpoint({ ip: '10.0.0.1', zone: 'a' }),
    endpoint({ ip: '10.0.0.2', zone: 'a' }),
    endpoint({ ip: '10.1.0.1', zone: 'b', priority: 1 }),
    endpoint({ ip: '10.1.0.2', zone: 'b', priority: 1 }),
  ]);
  const health = unhealthy('10.0.0.1');
  t.strictSame(chosen(home, { draw: 0.69, health }).priority, 0, '70 % stay');
  t.strictSame(chosen(home, { draw: 0.7, health }).priority, 1);
  const counts = firsts(home, 10_000, { health });
  t.ok(near(counts['10.0.0.2'], 0.7, 10_000), `${counts['10.0.0.2']}`);
  t.ok(near(counts['10.1.0.1'], 0.15, 10_000), `${counts['10.1.0.1']}`);
  t.ok(near(counts['10.1.0.2'], 0.15, 10_000), `${counts['10.1.0.2']}`);
  t.strictSame(Object.keys(firsts(home, 1_000)).sort(), ['10.0.0.1', '10.0.0.2'], 'all healthy: nobody leaves');
  t.strictSame(Object.keys(firsts(home, 100, { health: unhealthy('10.0.0.1', '10.0.0.2') })).sort(), ['10.1.0.1', '10.1.0.2']);
});

t.test('the draw that is missing is made from the turn, and the shares are the same', async (t) => {
  const home = cluster([
    endpoint({ ip: '10.0.0.1' }),
    endpoint({ ip: '10.0.0.2' }),
    endpoint({ ip: '10.0.0.3' }),
    endpoint({ ip: '10.0.0.4' }),
    endpoint({ ip: '10.1.0.1', priority: 1 }),
  ]);
  const health = unhealthy('10.0.0.3', '10.0.0.4');
  const counts: Record<string, number> = {};
  for (let turn = 0; turn < 10_000; turn++) {
    const [first = ''] = ips(chosen(home, { turn, health }));
    counts[first] = (counts[first] ?? 0) + 1;
  }
  for (const [ip, share] of [
    ['10.0.0.1', 0.35],
    ['10.0.0.2', 0.35],
    ['10.1.0.1', 0.3],
  ] as const)
    t.ok(near(counts[ip], share, 10_000), `${ip}: ${counts[ip]}`);
});

t.test('retries take the rest of the priority, then the other priorities in their order', async (t) => {
  const home = cluster([
    endpoint({ ip: '10.3.0.1', priority: 7 }),
    endpoint({ ip: '10.1.0.1', priority: 3 }),
    endpoint({ ip: '10.1.0.2', priority: 3 }),
    endpoint({ ip: '10.2.0.1', priority: 5 }),
  ]);
  const found = chosen(home, { turn: 1 });
  t.equal(found.priority, 3, 'the lowest number there is, not 0');
  t.strictSame(ips(found).slice(0, 2).sort(), ['10.1.0.1', '10.1.0.2']);
  t.strictSame(ips(found).slice(2), ['10.2.0.1', '10.3.0.1']);
});

t.test('a cluster whose only priority is not 0 is used', async (t) => {
  for (const addresses of [['10.1.0.1'], ['10.1.0.1', '10.1.0.2']]) {
    const found = chosen(cluster(addresses.map((ip) => endpoint({ ip, priority: 3 }))), { turn: 0 });
    t.equal(found.priority, 3);
    t.strictSame(ips(found).sort(), addresses);
  }
});

t.test('a subset takes the endpoints that carry its tags and no others', async (t) => {
  const home = cluster([
    endpoint({ ip: '10.0.0.1', tags: { mesh: 'default', version: 'v1' } }),
    endpoint({ ip: '10.0.0.2', tags: { mesh: 'default', version: 'v2' } }),
  ]);
  t.strictSame(ips(chosen(home, {}, { mesh: 'default', version: 'v2' })), ['10.0.0.2']);
  t.match(choose(passthrough({ version: 'v3' }), home, view()), {
    code: 'no-endpoint',
    detail: 'no endpoint of api carries version=v3',
  });
});

t.test('two endpoints that share an address stay two: each subset finds its own', async (t) => {
  const home = cluster([
    endpoint({ ip: '10.0.0.9', tags: { version: 'v1' } }),
    endpoint({ ip: '10.0.0.9', tags: { version: 'v2' } }),
  ]);
  for (const version of ['v1', 'v2']) {
    const found = chosen(home, {}, { version });
    t.strictSame(ips(found), ['10.0.0.9']);
    t.equal(found.targets[0]?.endpoint.tags['version'], version);
  }
  t.equal(chosen(home).targets.length, 2);
});

t.test('health is judged within the subset', async (t) => {
  const home = cluster([
    ...three({ tags: { version: 'v1' } }),
    endpoint({ ip: '10.0.0.8', tags: { version: 'v2' } }),
    endpoint({ ip: '10.0.0.9', tags: { version: 'v2' } }),
  ]);
  const health = unhealthy('10.0.0.8', '10.0.0.9');
  t.equal(chosen(home, { health }, { version: 'v1' }).panic, false);
  t.equal(chosen(home, { health }, { version: 'v2' }).panic, true);
  t.equal(chosen(home, { health }).panic, false, '3 of 5 are healthy');
});

t.test('every address that a name resolved to is an endpoint with a health of its own', async (t) => {
  const home = cluster([endpoint({ name: 'api.example.com', port: 443 })]);
  const names = new Map([
    ['api.example.com', { kind: 'resolved', addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'] }],
  ] as const);
  t.equal(chosen(home, { names }).targets.length, 3);
  const found = chosen(home, { names, health: new Map([['[2001:db8::1]:443', 'unhealthy']]) });
  t.strictSame(ips(found).sort(), ['192.0.2.1', '192.0.2.2']);
});

t.test('a client keeps its endpoint with the hashing policies, whatever the turn', async (t) => {
  for (const balancer of [
    { kind: 'ring-hash', minimumRingSize: 1_024, maximumRingSize: 8_388_608, hashFunction: 'xx-hash' },
    { kind: 'maglev', tableSize: 65_537 },
  ] as const) {
    const home = cluster([...three(), endpoint({ ip: '10.1.0.1', priority: 1 })], { balancer });
    const found = new Set<string>();
    for (let client = 0; client < 50; client++) {
      const hashKey = { hi: client * 85_899_345, lo: client };
      const [first] = ips(chosen(home, { turn: 1, draw: 0.1, hashKey }));
      t.equal(ips(chosen(home, { turn: 2, draw: 0.9, hashKey }))[0], first);
      found.add(first ?? '');
    }
    t.strictSame([...found].sort(), ['10.0.0.1', '10.0.0.2', '10.0.0.3'], `${balancer.kind} spreads clients`);
  }
});

t.test('the hash key decides the priority too, so that a client does not move between zones', async (t) => {
  const home = cluster([...three(), endpoint({ ip: '10.1.0.1', priority: 1 })], { balancer: { kind: 'maglev', tableSize: 251 } });
  const health = unhealthy('10.0.0.1', '10.0.0.2');
  t.equal(chosen(home, { draw: 0.99, health, hashKey: { hi: 0, lo: 45 } }).priority, 0, '46 % stay');
  t.equal(chosen(home, { draw: 0, health, hashKey: { hi: 0, lo: 46 } }).priority, 1);
});

t.test('the balancer of the cluster orders its endpoints', async (t) => {
  const active = new Map([
    ['10.0.0.1:80', 5],
    ['10.0.0.2:80', 0],
  ]);
  const home = cluster(three().slice(0, 2), { balancer: { kind: 'least-request', choiceCount: 16 } });
  t.ok((firsts(home, 1_000, { active })['10.0.0.2'] ?? 0) > 990, 'the one with fewer connections');
  const heavy = [endpoint({ ip: '10.0.0.1', weight: 9 }), endpoint({ ip: '10.0.0.2' })];
  t.ok(near(firsts(cluster(heavy), 10_000)['10.0.0.1'], 0.9, 10_000), 'round robin unless it says otherwise');
  t.ok(near(firsts(cluster(heavy, { balancer: { kind: 'random' } }), 10_000)['10.0.0.1'], 0.5, 10_000));
});

t.test('weighted localities share by their weights, by availability, and not by their size', async (t) => {
  const endpoints = [
    endpoint({ ip: '10.0.0.1', locality: 'rack-1', localityWeight: 9 }),
    ...[1, 2, 3, 4].map((i) => endpoint({ ip: `10.0.1.${i}`, locality: 'rack-2', localityWeight: 1 })),
    endpoint({ ip: '10.0.2.1', zone: 'other' }),
  ];
  const counts = firsts(cluster(endpoints, { localityWeighting: true }), 10_000);
  t.ok(near(counts['10.0.0.1'], 0.9, 10_000), `${counts['10.0.0.1']}`);
  t.ok(near(counts['10.0.1.3'], 0.025, 10_000), `${counts['10.0.1.3']}`);
  t.equal(counts['10.0.2.1'], undefined, 'a locality without a weight takes nothing');

  const two = [1, 2, 3, 4].map((i) => endpoint({ ip: `10.0.0.${i}`, locality: i < 3 ? 'rack-1' : 'rack-2', localityWeight: 10 }));
  const weakened = firsts(cluster(two, { localityWeighting: true }), 10_000, { health: unhealthy('10.0.0.1') });
  t.ok(near(weakened['10.0.0.2'], 7 / 17, 10_000), `10 × 1.4 × 1/2 against 10: ${weakened['10.0.0.2']}`);

  const unweighted = firsts(cluster(three(), { localityWeighting: true }), 3_000);
  t.equal(Object.keys(unweighted).length, 3, 'where no locality has a weight, localities do not count');
  const off = firsts(cluster(endpoints), 6_000);
  t.ok(near(off['10.0.0.1'], 1 / 6, 6_000), 'and without the setting they never do');
});

t.test('consistent hashing puts weighted localities on one ring', async (t) => {
  const balancer = { kind: 'ring-hash', minimumRingSize: 16_384, maximumRingSize: 65_536, hashFunction: 'xx-hash' } as const;
  const endpoints = [
    endpoint({ ip: '10.0.0.1', locality: 'rack-1', localityWeight: 3 }),
    endpoint({ ip: '10.0.1.1', locality: 'rack-2', localityWeight: 1, weight: 3 }),
    endpoint({ ip: '10.0.1.2', locality: 'rack-2', localityWeight: 1 }),
  ];
  const counts = firsts(cluster(endpoints, { balancer, localityWeighting: true }), 10_000);
  t.ok(near(counts['10.0.0.1'], 0.75, 10_000), `${counts['10.0.0.1']}`);
  t.ok(near(counts['10.0.1.1'], 0.1875, 10_000), `${counts['10.0.1.1']}`);
  t.match(choose(passthrough(), cluster(three(), { balancer, localityWeighting: true }), view()), {
    code: 'no-endpoint',
    detail: 'no locality of api has a weight',
  });
});

t.test('a cluster that refuses in a panic refuses, and a retry does not go to a priority that panics', async (t) => {
  const refusing = { failInPanic: true };
  const facts = view({ health: unhealthy('10.0.0.1', '10.0.0.2') });
  t.match(choose(passthrough(), cluster(three()), facts), { kind: 'chosen', panic: true });
  t.match(choose(passthrough(), cluster(three(), refusing), facts), {
    code: 'no-endpoint',
    detail: '1 of 3 endpoints of api are healthy, below 50 % nothing passes (failTrafficOnPanic)',
  });
  t.match(choose(passthrough(), cluster(three(), refusing), view()), { kind: 'chosen', panic: false });
  const backup = ['10.0.1.1', '10.0.1.2', '10.0.1.3', '10.0.1.4', '10.0.1.5'].map((ip) => endpoint({ ip, priority: 1 }));
  const home = cluster([...three(), ...backup], refusing);
  // 66 % and 20 % are healthy: only the second panics.
  const most = view({ draw: 0, health: unhealthy('10.0.0.1', '10.0.1.1', '10.0.1.2', '10.0.1.3', '10.0.1.4') });
  const chosen = choose(passthrough(), { ...home, overprovisioningFactor: 1 }, most);
  t.match(chosen, { kind: 'chosen', panic: false });
  if (chosen.kind === 'chosen') t.same(new Set(chosen.targets.map((target) => target.endpoint.priority)), new Set([0]));
});

t.test(
  'whatever the facts, the same facts choose the same, once each, never one that is unhealthy without a panic',
  async (t) => {
    const anyEndpoint = fc.record({
      ip: fc.nat(9).map((i) => `10.0.0.${i}`),
      weight: fc.nat(5),
      priority: fc.nat(2),
      locality: fc.constantFrom('a', 'b'),
      localityWeight: fc.nat(2),
    });
    const balancer = fc.constantFrom(
      { kind: 'round-robin' } as const,
      { kind: 'least-request', choiceCount: 2 } as const,
      { kind: 'random' } as const,
      { kind: 'ring-hash', minimumRingSize: 8, maximumRingSize: 64, hashFunction: 'xx-hash' } as const,
      { kind: 'maglev', tableSize: 31 } as const,
    );
    const property = fc.property(
      fc.array(anyEndpoint, { maxLength: 12 }),
      fc.record({ balancer, localityWeighting: fc.boolean(), panicThresholdPercent: fc.constantFrom(0, 50, 100) }),
      fc.subarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
      fc.nat(1_000),
      (list, settings, sick, turn) => {
        const home = cluster(
          list.map((change) => endpoint(change)),
          settings,
        );
        const facts = view({ turn, health: unhealthy(...sick.map((i) => `10.0.0.${i}`)) });
        const one = choose(passthrough(), home, facts);
        if (JSON.stringify(choose(passthrough(), home, facts)) !== JSON.stringify(one)) return false;
        if (one.kind === 'refusal') return one.code === 'no-endpoint';
        const endpoints = one.targets.map((target) => target.endpoint);
        const levels = new Set(
          endpoints
            .filter(({ address }) => address.kind === 'ip' && facts.health?.has(`${address.ip}:80`))
            .map((e) => e.priority),
        );
        return (
          new Set(endpoints).size === endpoints.length &&
          endpoints.every(({ weight }) => weight > 0) &&
          one.priority === endpoints[0]?.priority &&
          (settings.panicThresholdPercent > 0 || levels.size === 0)
        );
      },
    );
    const { failed, seed, counterexample } = fc.check(property, { numRuns: 500 });
    t.notOk(failed, `seed ${seed}: ${JSON.stringify(counterexample)}`);
  },
);
