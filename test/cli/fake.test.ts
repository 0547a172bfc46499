// Tests `zone-egress fake` as a test in another language uses it: one line of JSON, certificates as
// files, the end of standard input.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createFakeExternalService } from '../../src/testing/public.ts';
import { ask } from '../egress/zone.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const RESOURCES = `type: Mesh
name: shop
mtls: { enabledBackend: ca, backends: [{ name: ca, type: builtin }] }
---
type: ExternalService
mesh: shop
name: api
tags: { kuma.io/service: api }
networking: { address: 'api.partner.example:443' }
---
type: TrafficPermission
mesh: shop
name: till-out
sources: [{ match: { kuma.io/service: till } }]
destinations: [{ match: { kuma.io/service: api } }]
`;

interface Line {
  readonly version: number;
  readonly port: number;
  readonly admin: string;
  readonly zone: string;
  readonly clients: Readonly<Record<string, { cert: string; key: string; ca: string; spiffe: string }>>;
  readonly destinations: readonly { mesh: string; name: string; sni: string; mode: string }[];
}

const dir = mkdtempSync(join(tmpdir(), 'zone-egress-fake-cli-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
writeFileSync(join(dir, 'zone.yaml'), RESOURCES);

function run(...args: readonly string[]) {
  return spawn(process.execPath, [MAIN, 'fake', ...args], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

t.test('it prints one line with all that a client needs, serves it, and ends when standard input does', async (t) => {
  await using api = await createFakeExternalService();
  const child = run('--resources', dir, '--client', 'shop/till,batch', '--override', `api=127.0.0.1:${api.port}`);
  const exited = once(child, 'exit');
  const lines: string[] = [];
  const reader = createInterface(child.stdout);
  reader.on('line', (line) => void lines.push(line));
  await once(reader, 'line');
  const line = JSON.parse(lines[0]!) as Line;
  t.match(line, {
    version: 1,
    zone: 'east',
    destinations: [{ mesh: 'shop', name: 'api', sni: 'api{mesh=shop}', mode: 'terminate' }],
  });
  t.strictSame(Object.keys(line.clients), ['shop/till', 'shop/batch']);
  const till = line.clients['shop/till']!;
  t.equal(till.spiffe, 'spiffe://shop/till');
  const socket = connect({
    port: line.port,
    host: '127.0.0.1',
    servername: line.destinations[0]!.sni,
    cert: readFileSync(till.cert),
    key: readFileSync(till.key),
    ca: readFileSync(till.ca),
    checkServerIdentity: () => undefined,
  });
  await once(socket, 'secureConnect');
  t.ok(socket.authorized, 'the egress shows a certificate of the mesh');
  t.equal(await ask(socket, 'from a child'), 'from a child');
  socket.end();
  await once(socket, 'close');
  t.equal((await fetch(`${line.admin}/ready`)).status, 200);
  child.stdin.end();
  t.strictSame(await exited, [0, null]);
  t.equal(lines.length, 1);
  t.notOk(existsSync(till.key), 'the keys are gone');
});

t.test('what it cannot do ends it with a reason: a mesh, an override, a folder, a broken resource', async (t) => {
  const broken = mkdtempSync(join(tmpdir(), 'zone-egress-fake-cli-'));
  t.teardown(() => rmSync(broken, { recursive: true, force: true }));
  writeFileSync(join(broken, 'zone.yaml'), `${RESOURCES}---\ntype: ExternalService\nname: x\nmesh: shop\n`);
  for (const [args, code, message] of [
    [['--resources', dir, '--client', 'other/till'], 64, /there is no mesh "other": there are shop/],
    [['--resources', dir, '--override', 'apo=127.0.0.1:1'], 78, /override "apo" fits no service/],
    [['--resources', join(dir, 'nowhere')], 64, /no such folder/],
    [['--resources', broken], 78, /zone\.yaml:\d+/],
    [[], 64, /fake needs --resources DIR/],
  ] as const) {
    const child = run(...args);
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += String(chunk)));
    const [exit] = (await once(child, 'close')) as [number];
    t.equal(exit, code, args.join(' '));
    t.match(said, message);
  }
});
