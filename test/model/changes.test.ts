import fc from 'fast-check';
import t from 'tap';
import { applyChange, diffSnapshots, sameValue, splitChange } from '../../src/model/changes.ts';
import type { Cluster } from '../../src/model/cluster.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import type { Route } from '../../src/model/route.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';

function snapshotOf(services: ReadonlyMap<string, number>, version: string): Snapshot {
  const routes = new Map<ReturnType<typeof serverName>, Route>();
  const clusters = new Map<string, Cluster>();
  for (const [service, port] of services) {
    const name = serverName(`${service}{mesh=default}`);
    routes.set(name, {
      kind: 'passthrough',
      serverName: name,
      mesh: meshName('default'),
      destination: service,
      cluster: service,
      subset: {},
    });
    const endpoint = {
      address: { kind: 'ip', ip: '10.0.0.1' },
      port,
      weight: 1,
      priority: 0,
      zone: '',
      tags: {},
      tls: null,
    } as const;
    clusters.set(service, { name: service, endpoints: [endpoint], connectTimeoutMs: 5_000 });
  }
  return { ...EMPTY_SNAPSHOT, version, routes, clusters };
}

const services = fc
  .array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), fc.integer({ min: 1, max: 3 })))
  .map((list) => new Map(list));

t.test('the change between two snapshots turns one into the other, whole or in pieces', async (t) => {
  fc.assert(
    fc.property(services, services, fc.integer({ min: 1, max: 4 }), (before, after, size) => {
      const from = snapshotOf(before, 'v1');
      const to = snapshotOf(after, 'v2');
      const change = structuredClone(diffSnapshots(from, to));
      const pieces = splitChange(change, size).reduce(applyChange, from);
      return (
        sameValue([...applyChange(from, change).routes].sort(), [...to.routes].sort()) &&
        pieces.routes.size === to.routes.size &&
        pieces.version === 'v2'
      );
    }),
  );
  t.pass('for every pair that was tried');
});

t.test('what did not change is not sent, and keeps its identity', async (t) => {
  const from = snapshotOf(
    new Map([
      ['a', 1],
      ['b', 1],
    ]),
    'v1',
  );
  const to = snapshotOf(
    new Map([
      ['a', 1],
      ['b', 2],
    ]),
    'v2',
  );
  const change = diffSnapshots(from, to);
  t.strictSame(
    change.clusters.set.map(([name]) => name),
    ['b'],
  );
  t.equal(change.routes.set.length, 0);
  t.equal(applyChange(from, change).routes, from.routes);
});

t.test('values are the same whatever the order of their properties', async (t) => {
  t.equal(sameValue({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }), true);
  t.equal(sameValue({ a: 1 }, { a: 1, b: undefined }), false);
  t.equal(sameValue([1, 2], [2, 1]), false);
  t.equal(sameValue(null, {}), false);
});
