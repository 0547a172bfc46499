// Tests a compiler with a bug: a result that must not be served is not served, from any compiler.
import t from 'tap';
import { serverName } from '../../src/model/names.ts';
import type { Permission } from '../../src/model/permission.ts';
import { startEgress } from '../../src/egress.ts';
import { activeResources, ask, leftovers, startZone } from './zone.ts';

const API = serverName('legacy{mesh=default}');
/** An action of the right shape that leads to no decision. */
const UNDECIDED = {
  kind: 'rules',
  by: 'a test',
  rules: [{ action: 'perhaps', by: 'a test', principal: { kind: 'any' } }],
} as unknown as Permission;

t.test('a configuration that breaks an invariant keeps the last good one, and is a metric and a finding', async (t) => {
  let isBroken = false;
  await using zone = await startZone(t, {
    rewrite(compiled) {
      if (!isBroken) return Promise.resolve(compiled);
      const { snapshot } = compiled;
      const routes = new Map(
        [...snapshot.routes].map(([name, route]) => [
          name,
          name === API && route.kind === 'terminate' ? { ...route, permission: UNDECIDED } : route,
        ]),
      );
      return Promise.resolve({ ...compiled, snapshot: { ...snapshot, version: 'broken', routes } });
    },
  });
  const { egress } = zone;
  const good = egress.snapshot().version;
  isBroken = true;
  t.match(await egress.reload(), { kind: 'rejected', broken: ['permission'] });
  t.equal(egress.snapshot().version, good);
  const client = await zone.connect(API, zone.mesh.client('frontend'));
  t.equal(await ask(client, 'still there'), 'still there', 'what was live serves on');
  client.end();
  await zone.record(({ reason }) => reason === 'closed');

  t.match(await egress.metrics(), /zone_egress_invariant_violations_total\{invariant="permission"\} 1\n/);
  const page = await (await fetch(`http://127.0.0.1:${egress.adminPort}/config_errors`)).text();
  t.match(JSON.parse(page), {
    problems: [{ severity: 'error', file: /zone\.yaml$/, line: /\d/, field: `route:${API}`, message: /invariant permission/ }],
  });
  isBroken = false;
  t.match(await egress.reload(), { kind: 'live' });
  t.match(egress.problems(), []);
});

t.test('an egress whose recording cannot be opened does not start, and leaves nothing behind', async (t) => {
  const before = activeResources();
  const file = `${t.testdir({})}/no/such/folder`;
  const resources = [{ path: 'zone.yaml', text: 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { port: 10002 }\n' }];
  await t.rejects(startEgress({ resources, port: 0, admin: { port: 0 }, record: { file } }), { code: 'ENOENT' });
  t.strictSame(await leftovers(before), []);
});
