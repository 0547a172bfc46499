import { writeFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import { parse } from 'yaml';
import { helpText } from '../../src/cli/help.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

const ZONE = `type: ZoneEgress
name: egress
zone: zone-1
networking: {address: 10.0.0.1, port: 10002}
---
type: Mesh
name: default
mtls: {enabledBackend: ca-1, backends: [{name: ca-1, type: builtin}]}
routing: {zoneEgress: true}
---
type: ZoneIngress
name: ingress
zone: zone-2
networking: {address: 10.0.0.2, port: 10001, advertisedAddress: 192.0.2.2, advertisedPort: 10001}
availableServices: [{tags: {kuma.io/service: backend, kuma.io/zone: zone-2}, instances: 2, mesh: default}]
`;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function routes(t: Test, text: string, ...args: readonly string[]): Promise<Ran> {
  const dir = t.testdir({ 'zone.yaml': '' });
  writeFileSync(`${dir}/zone.yaml`, text);
  const printed = { out: '', err: '' };
  const terminal: Terminal = {
    out: (line) => void (printed.out += line),
    err: (line) => void (printed.err += line),
    cwd: () => '/',
    cpus: () => 1,
    descriptorLimit: () => null,
    onSignal: () => () => undefined,
    onFault: () => undefined,
  };
  const command = parseCommand(['routes', dir, ...args], {});
  if (command.kind !== 'command') throw new Error(JSON.stringify(command));
  return { code: await command.execute(terminal), ...printed };
}

t.test('routes: prints the computed routing of a folder as a table', async (t) => {
  const { code, out, err } = await routes(t, ZONE);
  t.match({ code, err }, { code: 0, err: '' });
  t.equal(
    out,
    [
      'SNI                    MESH     DESTINATION  MODE         ENDPOINTS           WHO MAY                 TLS',
      "backend{mesh=default}  default  backend      passthrough  192.0.2.2:10001 x2  the other zone decides  the client's own",
      '',
    ].join('\n'),
  );
});

t.test('routes: JSON and YAML say the same', async (t) => {
  const json: unknown = JSON.parse((await routes(t, ZONE, '-o', 'json')).out);
  t.match(json, {
    zone: 'zone-1',
    routes: [{ sni: 'backend{mesh=default}', endpoints: [{ address: '192.0.2.2:10001', weight: 2 }] }],
  });
  t.same(parse((await routes(t, ZONE, '--output=yaml')).out), json);
});

t.test('routes: a folder that would not be served prints its errors and no routes', async (t) => {
  const { code, out, err } = await routes(t, ZONE.replace('port: 10002', 'port: 0'));
  t.match({ code, out }, { code: 78, out: '' });
  t.match(err, /zone\.yaml:4:\d+ networking\.port: port must be in the range \[1, 65535\]\n$/);
});

t.test('routes: --zone counts as in run', async (t) => {
  const nowhere = ZONE.replace('zone: zone-1\n', '');
  t.match(JSON.parse((await routes(t, nowhere, '-o', 'json', '--zone', 'zone-2')).out), { zone: 'zone-2', routes: [] });
});

t.test('routes: an output that is none, and a folder that is missing, are usage errors', async (t) => {
  t.match(parseCommand(['routes', 'x', '-o', 'csv'], {}), { kind: 'usage-error', message: /allowed are table, json and yaml/ });
  t.match(parseCommand(['routes'], {}), { kind: 'usage-error', message: 'routes needs the folder of resources' });
  t.match(helpText('routes'), /zone-egress routes DIR \[-o table\|json\|yaml\]/);
});
