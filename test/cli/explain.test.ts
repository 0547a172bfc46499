import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import type { Test } from 'tap';
import type { Trace } from '../../src/explain/trace.ts';
import { startEgress } from '../../src/egress.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { runCommand } from './running.ts';
import type { Ran } from './running.ts';

const [mesh, other] = await Promise.all([
  createTestMesh('default', { keyType: 'ec' }),
  createTestMesh('other', { keyType: 'ec' }),
]);

const ZONE = `type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: 10002, admin: { port: 9901 } }
---
${mesh.resources}
---
${other.resources}
---
type: ExternalService
mesh: default
name: api
tags: { kuma.io/service: api }
networking: { address: 192.0.2.7:443 }
---
type: TrafficPermission
mesh: default
name: frontend-out
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: api } }]
`;

const run = (...args: readonly string[]): Promise<Ran> => runCommand('explain', ...args);

function folder(t: Test): string {
  const dir = t.testdir({});
  mkdirSync(`${dir}/resources`);
  writeFileSync(`${dir}/resources/zone.yaml`, ZONE);
  writeFileSync(`${dir}/frontend.crt`, mesh.client('frontend').cert);
  writeFileSync(`${dir}/batch.crt`, mesh.client('batch').cert);
  writeFileSync(`${dir}/other.crt`, other.client('frontend').cert);
  writeFileSync(`${dir}/no.crt`, 'nothing');
  return dir;
}

const API = ['--sni', 'api{mesh=default}'];

t.test('explain exits with 0 where the connection passes and with 3 where it is refused, and prints the way there', async (t) => {
  const resources = ['--resources', `${folder(t)}/resources`];
  const passes = await run(...API, '--from', 'spiffe://default/frontend', ...resources);
  t.match(passes, { code: 0, err: '' });
  t.match(passes.out, /^allowed\n\nhello {7}passed {7}SNI "api\{mesh=default\}"/);
  const refused = await run(...API, '--from', 'spiffe://default/batch', ...resources);
  t.equal(refused.code, 3);
  t.match(
    refused.out,
    /^refused at permission: denied\n.*\nto make it pass: let kuma.io\/service: batch in by TrafficPermission default\/frontend-out \(.*zone\.yaml:\d+\)\n/,
  );
  t.equal((await run(...API, '--from', 'spiffe://default/frontend,kuma://version/v1', ...resources)).code, 0);
});

t.test('explain -o json is one trace', async (t) => {
  const { code, out } = await run(...API, '--resources', `${folder(t)}/resources`, '-o', 'json');
  t.equal(code, 3);
  t.match(JSON.parse(out), { version: 1, outcome: 'refused', reason: 'no-client-certificate', endsAt: 'identity' });
});

t.test('a certificate is judged as traffic would: its names, and whether it leads to the CA of the mesh', async (t) => {
  const dir = folder(t);
  const ask = (cert: string) => run(...API, '--cert', `${dir}/${cert}`, '--resources', `${dir}/resources`, '-o', 'json');
  t.equal((await ask('frontend.crt')).code, 0);
  t.match(JSON.parse((await ask('batch.crt')).out), { reason: 'denied', connection: { from: ['spiffe://default/batch'] } });
  t.match(JSON.parse((await ask('other.crt')).out), { reason: 'wrong-mesh', endsAt: 'identity' });
  const forged = (await createTestMesh('default', { keyType: 'ec' })).client('frontend').cert;
  writeFileSync(`${dir}/forged.crt`, forged);
  t.match(JSON.parse((await ask('forged.crt')).out), {
    reason: 'client-not-trusted',
    detail: /does not lead to the CA of mesh default/,
  });
  t.match(await ask('no.crt'), { code: 66, err: /read .*no\.crt: there is no PEM certificate in it/ });
  t.match(await ask('missing.crt'), { code: 66, err: /read .*missing\.crt: there is no such file \(ENOENT\)/ });
});

t.test('a running egress answers as its folder does, and for sessions that ended', async (t) => {
  const dir = folder(t);
  await using egress = await startEgress({ resources: `${dir}/resources`, port: 0, admin: { port: 0 } });
  const admin = ['--admin', `http://127.0.0.1:${egress.adminPort}`];
  for (const from of ['spiffe://default/frontend', 'spiffe://default/batch', 'spiffe://other/frontend']) {
    const [offline, live] = await Promise.all([
      run(...API, '--from', from, '--resources', `${dir}/resources`, '-o', 'json'),
      run(...API, '--from', from, ...admin, '-o', 'json'),
    ]);
    t.equal(live.code, offline.code);
    const [told, asked] = [JSON.parse(live.out) as Trace, JSON.parse(offline.out) as Trace];
    t.same({ ...told, notes: [] }, { ...asked, notes: [] });
  }
  t.match(JSON.parse((await run(...API, '--cert', `${dir}/batch.crt`, ...admin, '-o', 'json')).out), { reason: 'denied' });
  t.match(await run('--id', '0.99', ...admin), {
    code: 66,
    out: '',
    err: /^zone-egress: ask http:\/\/127\.0\.0\.1:\d+: session "0\.99": not among the last ones that ended/,
  });
  t.match(await run(...API, '--from', 'frontend', ...admin), { code: 64, err: /a client carries a SPIFFE id/ });
});

t.test('explain reports an admin address without an answer, or with an answer of another program', async (t) => {
  t.match(await run(...API, '--admin', `http://127.0.0.1:${await freePort()}`), {
    code: 69,
    err: /ask http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/,
  });
  for (const body of ['hello', '{"version":99}']) {
    const somebody = createServer((_, response) => void response.end(body));
    await once(somebody.listen(0, '127.0.0.1'), 'listening');
    const { port } = somebody.address() as AddressInfo;
    t.match(await run(...API, '--admin', `http://127.0.0.1:${port}`), {
      code: 69,
      err: /not from a zone egress of this version/,
    });
    somebody.close();
  }
});

t.test('what cannot be asked is a usage error that says what can', async (t) => {
  const dir = ['--resources', 'dir'];
  const admin = ['--admin', 'http://127.0.0.1:9901'];
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /explain needs --sni NAME, or --id ID/],
    [['--id', '0.1', ...dir], /--id needs --admin URL/],
    [['--id', '0.1', '--probe', ...admin], /--probe needs --admin URL and --sni NAME/],
    [[...API, ...dir, '--probe'], /--probe needs --admin URL and --sni NAME/],
    [['--id', '0.1', '--sni', 'x', ...admin], /--id goes without --sni/],
    [[...API], /needs --resources DIR or --admin URL/],
    [[...API, ...dir, ...admin], /give only one of --resources and --admin/],
    [[...API, '--admin', 'ftp://x'], /allowed is http:\/\/HOST:PORT/],
    [[...API, ...dir, '--from', 'spiffe://a/b', '--cert', 'x'], /one of them/],
    [[...API, ...dir, '-o', 'yaml'], /allowed are text and json/],
    [[...API, ...dir, 'x'], /takes no arguments/],
  ];
  for (const [args, message] of cases) t.match(await run(...args), { code: 64, err: message });
  t.match(await run(...API, '--from', 'spiffe://a/b,spiffe://c/d', '--resources', `${folder(t)}/resources`), {
    code: 64,
    err: /ids of one mesh only/,
  });
});

t.test('a folder that cannot be used is exit 78 with its errors', async (t) => {
  const dir = folder(t);
  writeFileSync(`${dir}/resources/bad.yaml`, 'type: Mesh\nname: "a b"\n');
  t.match(await run(...API, '--resources', `${dir}/resources`), { code: 78, out: '', err: /bad\.yaml:2/ });
});
