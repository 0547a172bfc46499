import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageVersion } from '../../src/base/version.ts';
import { startEgress } from '../../src/egress.ts';
import { until } from './until.ts';
import { startZone } from './zone.ts';

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

function logged(): { readonly lines: Line[]; readonly write: (line: string) => void; readonly has: (msg: RegExp) => number } {
  const lines: Line[] = [];
  return {
    lines,
    write: (line) => void lines.push(JSON.parse(line) as Line),
    has: (msg) => lines.filter((line) => msg.test(line.msg)).length,
  };
}

const service = (name: string, clients: readonly string[]): string => `type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name} }
networking: { address: 127.0.0.1:9 }
---
type: TrafficPermission
mesh: default
name: ${name}
sources: [${clients.map((client) => `{ match: { kuma.io/service: ${client} } }`).join(', ')}]
destinations: [{ match: { kuma.io/service: ${name} } }]
`;

t.test('the log of a running egress says what a reload changed, and when a bad configuration is good again', async (t) => {
  const log = logged();
  await using zone = await startZone(t, { concurrency: 1, watch: true, logLevel: 'info', logDestination: log });
  t.match(
    log.lines.find(({ msg }) => msg === 'zone egress is ready'),
    {
      version: packageVersion(),
      mode: 'folder',
      source: zone.folder,
      name: /./,
      zone: /./,
      address: '127.0.0.1',
      port: zone.egress.port,
      admin: zone.egress.adminPort,
      workers: 1,
    },
  );
  const live = (): readonly Line[] => log.lines.filter(({ msg }) => msg === 'the configuration is live');
  const first = live().length;
  t.equal(live()[0]?.added, undefined, 'the first is no change');

  zone.write('more.yaml', service('archive', ['frontend']));
  await until('the addition is told', () => live().length === first + 1);
  t.match(live().at(-1), {
    routesAdded: 1,
    routesRemoved: 0,
    routesChanged: 0,
    added: ['archive{mesh=default}'],
    newlyAllowed: ['archive{mesh=default}: spiffe://default/frontend'],
    noLongerAllowed: [],
  });

  zone.write('more.yaml', service('archive', ['batch']));
  await until('the change is told', () => live().length === first + 2);
  t.match(live().at(-1), {
    routesAdded: 0,
    routesChanged: 1,
    newlyAllowed: ['archive{mesh=default}: spiffe://default/batch'],
    noLongerAllowed: ['archive{mesh=default}: spiffe://default/frontend'],
  });
  t.equal(log.has(/good again/), 0);

  zone.write('more.yaml', 'a: [\n');
  await until('it is rejected', () => log.has(/rejected; the previous one stays live/) === 1);
  zone.write('more.yaml', service('archive', ['batch']));
  await until('it is good again as it was', () => log.has(/^the configuration is good again; it equals the live one$/) === 1);
  t.match(
    log.lines.find(({ msg }) => /good again/.test(msg)),
    { level: 'info', version: zone.egress.snapshot().version },
  );

  zone.write('bad.yaml', 'type: Mesh\n');
  await until('the second bad file is rejected', () => log.has(/rejected; the previous one stays live/) === 2);
  rmSync(join(zone.folder, 'bad.yaml'));
  await until('it is good again without the bad file', () => log.has(/^the configuration is good again; it equals/) === 2);

  zone.write('more.yaml', service('archive', ['batch']).replace('127.0.0.1:9', '127.0.0.1'));
  await until('one destination is refused', () => log.has(/^resources with these errors are refused/) === 1);
  zone.write('more.yaml', service('archive', ['batch']));
  await until('it is good again', () => log.has(/^the configuration is good again$/) === 1);

  rmSync(join(zone.folder, 'more.yaml'));
  await until('the removal is told', () => live().at(-1)?.routesRemoved === 1);
  t.match(live().at(-1), {
    removed: ['archive{mesh=default}'],
    noLongerAllowed: ['archive{mesh=default}: spiffe://default/batch'],
  });
});

t.test('what a line says of a large change is bounded', async (t) => {
  const log = logged();
  await using zone = await startZone(t, { concurrency: 1, watch: true, logLevel: 'info', logDestination: log });
  const names = Array.from({ length: 60 }, (_, i) => `service-${i}`);
  const clients = Array.from({ length: 40 }, (_, i) => `client-${i}`);
  zone.write('more.yaml', names.map((name) => service(name, clients)).join('---\n'));
  await until('the change is told', () => log.lines.some(({ routesAdded }) => routesAdded === 60));
  const line = log.lines.find(({ routesAdded }) => routesAdded === 60);
  t.match(line, { added: { length: 11 }, newlyAllowed: { length: 11 } });
  t.equal((line?.added as string[]).at(-1), 'and 50 more');
  t.ok(JSON.stringify(line).length < 10_000);
});

t.test('the first refusal of a start does not speak of what was live', async (t) => {
  const log = logged();
  const resources = [{ path: 'zone.yaml', text: 'type: Mesh\nname: default\n' }];
  await t.rejects(startEgress({ resources, admin: false, logLevel: 'info', logDestination: log }), { name: 'ConfigError' });
  t.match(log.lines, [{ level: 'error', msg: 'the configuration is rejected; none was live before' }]);
});
