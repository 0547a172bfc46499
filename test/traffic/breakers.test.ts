import t from 'tap';
import type { CircuitBreaker } from '../../src/model/cluster.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { TerminateRoute } from '../../src/model/route.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { Breakers, breakerMemory } from '../../src/traffic/breakers.ts';
import type { ConnectionPlace } from '../../src/traffic/breakers.ts';
import { cluster } from '../routing/endpoints.ts';

const NAME = 'default:api';

/** Two data sides of one process. */
function twoSides(clock = new FakeClock()): readonly [Breakers, Breakers] {
  const memory = breakerMemory(2);
  const sides = [new Breakers(memory, { clock, side: 0 }), new Breakers(memory, { clock, side: 1 })] as const;
  for (const side of sides) {
    side.setSlots({ set: [[NAME, 7]], removed: [] }, { set: [[ROUTE, 3]], removed: [] });
  }
  return sides;
}

const ROUTE = serverName('api{mesh=default}');
const api = (circuitBreaker?: CircuitBreaker) => cluster([], circuitBreaker === undefined ? {} : { circuitBreaker });

function route(connections: number, intervalMs: number): TerminateRoute {
  return {
    kind: 'terminate',
    serverName: ROUTE,
    mesh: meshName('default'),
    destination: 'api',
    cluster: NAME,
    permission: { kind: 'allow-all', by: 'everybody' },
    protocol: 'tcp',
    rateLimit: { connections, intervalMs },
  };
}

t.test(
  'connections of a cluster are limited over all data sides together, and a place that is left can be taken again',
  async (t) => {
    const [one, other] = twoSides();
    const two = api({ maxConnections: 2 });
    const place = one.enter(two) as ConnectionPlace;
    place.connected();
    t.notOk('limit' in other.enter(two));
    t.same(one.enter(two), { limit: 'max-connections', detail: 'default:api has 2 connections open (maxConnections 2)' });
    place.leave();
    place.leave();
    t.same(one.counts(NAME), { connections: 1, pending: 1, requests: 0 }, 'leaving twice is leaving once');
    t.notOk('limit' in other.enter(two));
    t.ok('limit' in other.enter(two));
  },
);

t.test('connections that are being made have a limit of their own', async (t) => {
  const [one, other] = twoSides();
  const few = api({ maxPendingRequests: 1 });
  const first = one.enter(few) as ConnectionPlace;
  t.same(other.enter(few), {
    limit: 'max-pending',
    detail: 'default:api has 1 connections being made (maxPendingRequests 1)',
  });
  t.same(one.counts(NAME), { connections: 1, pending: 1, requests: 0 }, 'the refused one holds nothing');
  first.connected();
  t.notOk('limit' in other.enter(few));
});

t.test('a cluster that says nothing has Envoy’s 1024 connections', async (t) => {
  const [one] = twoSides();
  for (let i = 0; i < 1_024; i++) {
    const place = one.enter(api()) as ConnectionPlace;
    place.connected();
  }
  t.match(one.enter(api()), { limit: 'max-connections', detail: /1024/ });
});

t.test('what a dead data side held is given back, and nothing of the others', async (t) => {
  const [one, other] = twoSides();
  one.enter(api());
  (one.enter(api()) as ConnectionPlace).connected();
  other.enter(api());
  other.forgetSide(0);
  t.same(other.counts(NAME), { connections: 1, pending: 1, requests: 0 });
});

t.test(
  'a rate limit lets through its number at once, then one more for each part of the interval, over all data sides',
  async (t) => {
    const clock = new FakeClock();
    const [one, other] = twoSides(clock);
    const limited = route(3, 3_000);
    const admitted = (): boolean[] => [one, other, one, other].map((side) => side.admit(limited) === null);
    t.same(admitted(), [true, true, true, false]);
    t.same(one.admit(limited), { limit: 'rate', detail: 'api had its 3 new connections in 3000 ms (rate limit)' });
    clock.advance(999);
    t.same(admitted(), [false, false, false, false]);
    clock.advance(1);
    t.same(admitted(), [true, false, false, false]);
    clock.advance(60_000);
    t.same(admitted(), [true, true, true, false], 'a long rest fills the bucket once');
  },
);

t.test('a rate that does not divide its interval still gives its number per interval', async (t) => {
  const clock = new FakeClock();
  const [one] = twoSides(clock);
  const limited = route(7, 1_000);
  const started = clock.wall();
  let admitted = 0;
  while (clock.wall() - started < 100_000) {
    if (one.admit(limited) === null) admitted++;
    clock.advance(1);
  }
  t.ok(Math.abs(admitted - 707) <= 7, `${admitted} of 7 + 700`);
});

t.test('a step back of the wall clock empties the bucket and does not block it', async (t) => {
  const memory = breakerMemory(1);
  let wall = Date.UTC(2026, 0, 1);
  const clock = { now: () => 0, wall: () => wall, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  const one = new Breakers(memory, { clock, side: 0 });
  one.setSlots({ set: [], removed: [] }, { set: [[ROUTE, 3]], removed: [] });
  t.equal(one.admit(route(2, 1_000)), null);
  wall -= 3_600_000;
  t.ok(one.admit(route(2, 1_000)));
  wall += 500;
  t.equal(one.admit(route(2, 1_000)), null);
});

t.test('a cluster or route without a place in the memory is not limited: it is on its way out', async (t) => {
  const [one] = twoSides();
  one.setSlots({ set: [], removed: [NAME] }, { set: [], removed: [ROUTE] });
  t.notOk('limit' in one.enter(api({ maxConnections: 0 })));
  t.equal(one.admit(route(0, 1_000)), null);
});
