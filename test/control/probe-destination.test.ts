// What one probe looks up and dials at most.
import t from 'tap';
import { probeDestination } from '../../src/control/probe-destination.ts';
import type { FoundDestination } from '../../src/control/probe-destination.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

t.test('of a destination with very many names, no more are looked up than are dialled', async (t) => {
  const names = Array.from({ length: 500 }, (_, i) => `n${i}.test`);
  const found = {
    route: { kind: 'terminate', serverName: 'many{mesh=default}', mesh: 'default', destination: 'many' },
    cluster: { endpoints: names.map((name) => ({ address: { kind: 'name', name, family: 'any' }, port: 443, tls: null })) },
  } as unknown as FoundDestination;
  const asked: string[] = [];
  const { endpoints, leftOut } = await probeDestination(found, {
    clock: new FakeClock(),
    secret: () => undefined,
    find(name) {
      asked.push(name);
      return Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' }));
    },
    mayDial: { ownListeners: [], localAddresses: new Set(), allowedResolved: [] },
    timeoutMs: 1_000,
    waitMs: 0,
  });
  t.strictSame(asked, names.slice(0, 32));
  t.equal(endpoints.length, 32);
  t.equal(leftOut, 468, 'the others are told of');
});
