// --report-only: what the permissions of a mesh would refuse passes and is reported; nothing else
// passes, and no other mesh is touched.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { runOptions } from '../../src/cli/run-options.ts';
import { unknownMeshes, withReportOnly } from '../../src/control/report-only.ts';
import type { ConfigSource } from '../../src/egress.ts';
import { ConfigError, compileResources, startEgress } from '../../src/egress.ts';
import { meshName, spiffeId } from '../../src/model/names.ts';
import type { Permission } from '../../src/model/permission.ts';
import type { TerminateRoute } from '../../src/model/route.ts';
import { authoriseClaims } from '../../src/routing/authorise.ts';
import { runCommand } from '../cli/running.ts';
import { compiled, ZONE as ZONE_TEXT } from '../explain/zone.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';

const services = (http: number) => (ports: { readonly tcp: number }) => `type: ExternalService
mesh: default
name: legacy
tags: { kuma.io/service: legacy }
networking: { address: 'localhost:${ports.tcp}' }
---
type: ExternalService
mesh: default
name: web
tags: { kuma.io/service: web, kuma.io/protocol: http }
networking: { address: 'localhost:${http}' }
---
type: ExternalService
mesh: other
name: ledger
tags: { kuma.io/service: ledger }
networking: { address: 'localhost:${ports.tcp}' }
---
type: TrafficPermission
mesh: default
name: frontend
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;

const DENIED = /TrafficPermission default\/frontend: no rule allows spiffe:\/\/default\/batch/;

async function httpService(t: Test): Promise<number> {
  const server = createServer((request, response) => void request.resume().on('end', () => response.end('ok')));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

for (const concurrency of CONCURRENCIES)
  t.test(`clients that permissions of one mesh refuse pass, loudly; no others do (concurrency ${concurrency})`, async (t) => {
    const lines: string[] = [];
    const dir = t.testdir({});
    await using zone = await startZone(t, {
      concurrency,
      reportOnly: ['default'],
      record: { file: `${dir}/sessions.ndjson` },
      logLevel: 'info',
      logDestination: { write: (line) => void lines.push(line) },
      lookup: () => Promise.resolve(['127.0.0.1']),
      traffic: { allowedResolved: ['127.0.0.0/8'] },
      tcp: { onConnection: (socket) => void socket.on('data', (data) => socket.write(data)).on('end', () => socket.end()) },
      resources: services(await httpService(t)),
    });
    const admin = `http://127.0.0.1:${zone.egress.adminPort}`;
    const page = async (path: string): Promise<string> => (await fetch(`${admin}${path}`)).text();

    const batch = await zone.connect('legacy{mesh=default}', zone.mesh.client('batch'));
    t.equal(await ask(batch, 'hello'), 'hello', 'a client that no permission lets in reaches the service');
    t.match(JSON.parse(await page('/sessions')), { sessions: [{ destination: 'legacy', wouldRefuse: DENIED }] });
    t.match((await runCommand('sessions', '--admin', admin)).out, /would be refused: TrafficPermission default\/frontend/);
    batch.end();
    await gone(batch);
    t.match(await zone.record(({ destination }) => destination === 'legacy'), {
      reason: 'closed',
      permission: 'report-only',
      wouldRefuse: DENIED,
    });

    const requests: unknown[] = [];
    zone.egress.onRequest((record) => requests.push(record));
    const web = await zone.connect('web{mesh=default}', zone.mesh.client('batch'));
    t.match(await ask(web, 'GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 /);
    await gone(web);
    await zone.record(({ destination }) => destination === 'web');
    t.match(requests, [{ reason: 'closed', status: 200, wouldRefuse: DENIED }]);

    const frontend = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
    t.equal(await ask(frontend, 'hello'), 'hello');
    frontend.end();
    await gone(frontend);
    const allowed = await zone.record(({ spiffeIds }) => spiffeIds[0] === 'spiffe://default/frontend');
    t.same([allowed.permission, allowed.wouldRefuse], ['TrafficPermission default/frontend', undefined]);

    // What is no affair of a permission, and the other mesh, are refused as ever.
    const refused = [
      ['ledger{mesh=other}', zone.otherMesh.client('till'), 'denied'],
      ['legacy{mesh=default}', zone.mesh.badClient('wrong-ca'), 'client-not-trusted'],
      ['legacy{mesh=default}', zone.mesh.badClient('expired'), 'client-not-trusted'],
      ['legacy{mesh=default}', zone.mesh.badClient('wrong-mesh'), 'wrong-mesh'],
      ['legacy{mesh=default}', {}, 'no-client-certificate'],
      ['nothing{mesh=default}', zone.mesh.client('batch'), 'no-route'],
    ] as const;
    for (const [sni, client, reason] of refused) {
      const socket = await zone.connect(sni, { cert: '', key: '', ...client }).catch(() => null);
      if (socket !== null) await gone(socket);
      const record = await zone.record((each) => each.reason === reason);
      t.same([record.wouldRefuse, record.bytesUp], [undefined, 0], reason);
    }

    const metrics = await page('/stats/prometheus');
    t.match(metrics, /^zone_egress_report_only\{mesh="default"\} 1$/m);
    t.match(metrics, /^zone_egress_would_refuse_total\{mesh="default",what="session"\} 2$/m);
    t.match(metrics, /^zone_egress_would_refuse_total\{mesh="default",what="request"\} 1$/m);
    t.equal((await fetch(`${admin}/ready`)).status, 200);
    t.match(await page('/config_errors'), /--report-only.*the permissions of mesh default refuse no client/);
    t.match(await page('/routes?output=table'), /report-only, every client passes/);
    const explained = ['explain', '--admin', admin, '--sni', 'legacy{mesh=default}', '--from'];
    t.match(await runCommand(...explained, 'spiffe://default/batch'), {
      code: 0,
      out: /permission {2}passed {7}would be refused: TrafficPermission default\/frontend: no rule allows .*\(--report-only\)/,
    });
    t.notMatch((await runCommand(...explained, 'spiffe://default/frontend')).out, /report-only|would be refused/);
    t.match((await runCommand('decisions', '--admin', admin)).out, /closed: .*; would be refused: TrafficPermission/);
    t.ok(lines.some((line) => line.includes('REPORT-ONLY') && line.includes('"meshes":["default"]')));
    t.match(
      lines.find((line) => line.includes('a session passed that a permission would refuse')),
      /"level":"warn".*"wouldRefuse":"TrafficPermission/,
    );

    // The records become the permission that is missing, and simulate says what enforcing refuses.
    const from = ['--resources', zone.folder];
    const simulated = await runCommand('simulate', '--decisions', `${dir}/sessions.ndjson`, ...from);
    t.match(simulated.out, /newly denied: 2 paths, 2 sessions/);
    const suggested = await runCommand('suggest', '--records', `${dir}/sessions.ndjson`, ...from);
    t.match(suggested, { code: 0, out: /spiffe:\/\/default\/batch -> legacy: 1 session, .*let through by report-only/ });
    t.match(suggested.out, /simulate lets in 3 of 3 sessions and 1 of 1 request, and no client gains access/);
    await zone.egress.reload();
    t.match(await page('/stats/prometheus'), /^zone_egress_report_only\{mesh="default"\} 1$/m);
  });

t.test('a mesh that is not there ends the start, and its name with a hint', async (t) => {
  const resources = [{ path: 'zone.yaml', text: ZONE_TEXT }];
  const error = await startEgress({ resources, port: 0, admin: false, reportOnly: ['defualt'] }).catch((error: unknown) => error);
  if (!(error instanceof ConfigError)) throw error;
  t.match(
    error.problems.filter(({ severity }) => severity === 'error'),
    [
      {
        file: '--report-only',
        message: /^no mesh "defualt" with permissions .*it has default, payments.*did you mean "?default/,
      },
    ],
  );
  t.match(
    unknownMeshes(withReportOnly(compiled(), ['later']), 'warning'),
    [{ severity: 'warning' }],
    'a control plane may send it',
  );
});

t.test('no resource, no source and no variable switches permissions off', async (t) => {
  const config = compiled();
  const marked = withReportOnly(config, ['default']).config;
  const flags = (routes: ReadonlyMap<string, object>) => [...routes.values()].filter((route) => 'reportOnly' in route).length;
  t.equal(flags(marked.snapshot.routes), 2);
  t.equal(flags(withReportOnly(marked, []).config.snapshot.routes), 0, 'a mark that came from elsewhere is taken off');
  t.equal(flags(withReportOnly(marked, ['payments']).config.snapshot.routes), 1);
  const source: ConfigSource = { load: () => Promise.resolve(marked), watch: () => () => {} };
  const error = await startEgress({ source, port: 0, admin: false }).catch((error: unknown) => error);
  t.match(error, { problems: [{ message: /reportOnly: is set by the option reportOnly of startEgress, and by no source/ }] });
  const written = compileResources([{ path: 'a.yaml', text: ZONE_TEXT.replace('name: api', 'name: api\nreportOnly: true') }], {});
  if (written.kind === 'invalid') throw new Error('the zone is not valid');
  t.equal(flags(written.snapshot.routes), 0, 'a field of a resource');
  const given = (argv: readonly string[], env = {}) => runOptions(['--resources', 'x', ...argv], env).reportOnly;
  t.same(given([]), []);
  t.same(given([], { ZONE_EGRESS_REPORT_ONLY: 'default', KUMA_REPORT_ONLY: 'default' }), []);
  t.same(given(['--report-only', 'a,b', '--report-only', 'a']), ['a', 'b']);
  const file = `${t.testdir({ 'egress.yaml': 'resources: x\nreport-only: [a]\n' })}/egress.yaml`;
  t.same(runOptions(['--config', file], {}).reportOnly, ['a']);
  t.throws(() => given(['--report-only', '*']), /--report-only "\*": name each mesh/);
  t.throws(() => given(['--report-only', 'a,b*']), /--report-only "b\*": name each mesh/);
  t.throws(() => given(['--report-only', '']), /--report-only/);
  await t.rejects(startEgress({ resources: [], reportOnly: ['*'] }), /reportOnly\[0\].*name each mesh/);
});

t.test('a rule that cannot be evaluated still refuses, alone and beside one that denies', async (t) => {
  const deny: Permission = { kind: 'deny-all', by: 'a' };
  const unclear: Permission = { kind: 'unsupported', by: 'b', why: 'it has a condition in CEL' };
  const client = { mesh: meshName('default'), spiffeIds: [spiffeId('spiffe://default/web')], uris: [], issuer: '', expiry: '' };
  const [route] = [...compiled().snapshot.routes.values()].filter((each): each is TerminateRoute => each.kind === 'terminate');
  const judged = (permission: Permission, more: Partial<TerminateRoute> = {}) => {
    const outcome = authoriseClaims({ ...route!, permission, reportOnly: true, ...more }, client);
    return outcome.kind === 'allowed' ? (outcome.wouldRefuse ?? 'allowed') : outcome.code;
  };
  const all = (...parts: readonly Permission[]): Permission => ({ kind: 'all-of', by: 'all', all: parts });
  t.match(judged(deny), /^a: no client may reach/);
  t.match(judged(all(deny, deny)), /^a: no client may reach/);
  t.match(judged(all()), /^all: no client may reach/);
  t.equal(judged(unclear), 'unsupported-policy');
  t.equal(judged(all(deny, unclear)), 'unsupported-policy');
  t.equal(judged(all(deny, all(deny, unclear))), 'unsupported-policy');
  t.equal(judged(deny, { unsupported: 'it has a filter' }), 'unsupported-policy');
  t.equal(judged(deny, { mesh: meshName('payments') }), 'wrong-mesh');
  t.equal(judged({ kind: 'allow-all', by: 'c' }), 'allowed');
});
