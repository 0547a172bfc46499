// What operators change over the admin listeners of a running egress, with one data side and with
// two.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import { post, send } from '../admin/post.ts';
import type { AdminAt } from '../admin/post.ts';
import { runCommand } from '../cli/running.ts';
import { FAR_MS, until } from './until.ts';
import { ask, CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone, ZoneOptions } from './zone.ts';

type Line = Readonly<Record<string, unknown>>;

interface Operated {
  readonly zone: Zone;
  readonly socket: AdminAt;
  readonly tcp: AdminAt;
  readonly folder: string;
  readonly lines: readonly Line[];
  readonly said: (msg: string) => readonly Line[];
}

async function operated(t: Test, options: ZoneOptions = {}, admin: { readonly tokenFile?: string } = {}): Promise<Operated> {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-admin-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const socketPath = join(folder, 'admin.sock');
  const lines: Line[] = [];
  const zone = await startZone(t, {
    logLevel: 'info',
    logDestination: { write: (line) => void lines.push(JSON.parse(line) as Line) },
    ...options,
    admin: { port: 0, socket: socketPath, ...admin },
  });
  const said = (msg: string): readonly Line[] => lines.filter((line) => line['msg'] === msg);
  return { zone, socket: { socketPath }, tcp: { port: zone.egress.adminPort }, folder, lines, said };
}

function sessionsIn(page: string): [{ readonly id: string }] {
  return (JSON.parse(page) as { sessions: [{ readonly id: string }] }).sessions;
}

const MADE = 'a change was made over an admin listener';
const REFUSED = 'a change over an admin listener was refused';

for (const concurrency of CONCURRENCIES) {
  t.test(`sessions that are named end, and no others, with ${concurrency} data sides`, async (t) => {
    const { zone, socket, said } = await operated(t, { concurrency });
    await using _ = zone;
    const frontend = zone.mesh.client('frontend');
    const legacy = await Promise.all([1, 2, 3].map(() => zone.connect('legacy{mesh=default}', frontend)));
    const ends = legacy.map(gone);
    for (const one of legacy) await ask(one, 'hello');
    const backend = await zone.connect('backend{mesh=default}', frontend);
    const end = gone(backend);
    await ask(backend, 'hello');

    const [first] = sessionsIn((await send(socket, 'GET', '/sessions?destination=legacy&limit=1')).body);
    t.match(await post(socket, `/sessions/end?id=${first.id}`), {
      status: 200,
      headers: { 'content-type': /^application\/json/ },
    });
    const one = await zone.record(({ id }) => id === first.id);
    t.match(one, { reason: 'ended-by-operator', detail: /^an operator ended it: the admin socket of uid \d+$/ });

    const ended = await post(socket, '/sessions/end?mesh=default&destination=legacy');
    t.same(JSON.parse(ended.body), { ended: 2 });
    await Promise.all(ends);
    await until('each has its record', () => zone.records.filter(({ reason }) => reason === 'ended-by-operator').length === 3);
    t.equal(await ask(backend, 'still here'), 'still here');
    t.match(said(MADE), [{ change: '/sessions/end' }, { level: 'info', by: /uid/, what: /^2 sessions ended: mesh=default/ }]);
    t.match(await zone.egress.metrics(), /zone_egress_admin_changes_total\{outcome="made"\} 2/);

    t.same(JSON.parse((await post(socket, '/sessions/end?destination=nothing')).body), { ended: 0 });
    t.same(JSON.parse((await post(socket, '/sessions/end?all=true')).body), { ended: 1 });
    await end;
  });
}

t.test('ending sessions needs to name which', async (t) => {
  const { zone, socket, said } = await operated(t);
  await using _ = zone;
  const open = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  await ask(open, 'hello');
  for (const [query, why] of [
    ['', 'id, mesh, destination or client is needed; all=true ends every session'],
    ['?all=false', 'all must be true'],
    ['?all=true&mesh=default', 'all goes alone, without id, mesh, destination and client'],
    ['?mseh=default', 'allowed parameters are id, mesh, destination, client and all'],
    ['?mesh=a&mesh=b', 'mesh is given twice'],
    ['?destination=legacy&limit=1', 'allowed parameters are'],
  ] as const) {
    const { status, body } = await post(socket, `/sessions/end${query}`);
    t.match({ status, body }, { status: 400, body: why }, query);
  }
  t.equal(await ask(open, 'still here'), 'still here');
  t.equal(said(REFUSED).length, 6);
});

t.test('over TCP no change is taken unless a token file is named, and the answer tells how', async (t) => {
  const { zone, tcp, said } = await operated(t);
  await using _ = zone;
  const open = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  await ask(open, 'hello');
  for (const path of ['/sessions/end?all=true', '/logging?level=debug', '/quitquitquit', '/drain_listeners', '/healthcheck/fail'])
    t.match(
      await post(tcp, path, { authorization: `Bearer ${'x'.repeat(40)}` }),
      { status: 403, body: /--admin-socket.*--admin-token-file/ },
      path,
    );
  t.equal(await ask(open, 'still here'), 'still here');
  t.match(await send(tcp, 'GET', '/ready'), { status: 200, headers: { 'x-zone-egress-changes': 'refused' } });
  t.equal(said(REFUSED).length, 5);
  t.match(said(REFUSED)[0], { level: 'warn', change: '/sessions/end', by: '127.0.0.1', why: /not allowed on this listener/ });
});

t.test('a token of the file allows changes over TCP, from when it is written to when it is taken out', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-tokens-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const tokenFile = join(folder, 'tokens');
  const [ann, bob] = ['a'.repeat(40), 'b'.repeat(40)];
  writeFileSync(tokenFile, `# who may change\nann ${ann}\n`, { mode: 0o600 });
  const { zone, tcp, said } = await operated(t, {}, { tokenFile });
  await using _ = zone;
  const level = (token: string) => post(tcp, '/logging?level=info', { authorization: `Bearer ${token}` });
  t.match(await send(tcp, 'GET', '/ready'), { headers: { 'x-zone-egress-changes': 'token' } });
  t.match(await level(ann), { status: 200 });
  t.match(said(MADE)[0], { by: 'token ann from 127.0.0.1', what: 'level info is info now' });
  t.match(await level(bob), { status: 401, headers: { 'www-authenticate': 'Bearer' } });
  t.match(await post(tcp, '/logging?level=info'), { status: 401, body: /Authorization: Bearer TOKEN/ });
  writeFileSync(tokenFile, `bob ${bob}\n`);
  t.match(await level(bob), { status: 200 });
  t.match(await level(ann), { status: 401 });
  rmSync(tokenFile);
  t.match(await level(bob), { status: 503 });
  t.notMatch(JSON.stringify(said(REFUSED)), new RegExp(`${ann}|${bob}`), 'no token is in the log');
});

t.test('the commands ask and change over the socket, and over TCP with the token of a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-tokens-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const tokenFile = join(folder, 'tokens');
  writeFileSync(tokenFile, `# of the team\nops ${'o'.repeat(40)}\n`, { mode: 0o600 });
  const { zone, socket, lines } = await operated(t, {}, { tokenFile });
  await using _ = zone;
  const bySocket = ['--admin', (socket as { readonly socketPath: string }).socketPath];
  const byTcp = ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`];
  t.match(await runCommand('log-level', ...bySocket), { code: 0, out: 'info\n' });
  t.match(await runCommand('log-level', 'debug', ...byTcp, '--admin-token-file', tokenFile), { code: 0, out: 'debug\n' });
  t.match(await runCommand('log-level', 'warn', ...byTcp), { code: 69, err: /: 401: a change needs a token of the token file/ });
  t.match(await runCommand('log-level', 'loud', ...bySocket), { code: 64, err: /allowed are debug, info, warn, error and off/ });
  t.match(await runCommand('log-level', 'warn', ...bySocket), { code: 0, out: 'warn\n' });
  const before = lines.length;
  const open = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  const end = gone(open);
  await ask(open, 'hello');
  t.match(await runCommand('sessions', ...bySocket), { code: 0, out: / relay .* legacy / });
  t.match(await runCommand('sessions', ...bySocket, '--end'), { code: 64, err: /--end needs --id, --mesh/ });
  t.match(await runCommand('sessions', ...bySocket, '--end', '--mesh', 'default', '--limit', '1'), {
    code: 64,
    err: /--end and --limit/,
  });
  t.match(await runCommand('sessions', ...bySocket, '--all'), { code: 64, err: '--all: allowed with --end' });
  t.match(await runCommand('sessions', ...bySocket, '--end', '--destination', 'legacy'), { code: 0, out: 'ended 1 session\n' });
  await end;
  t.same(
    lines.slice(before).map(({ msg }) => msg),
    [MADE, 'session refused'],
    'the change is in the log at each level, and the end of the session is a warning',
  );
  t.match(await runCommand('drain', ...bySocket, '--now', '--exit'), { code: 64, err: /allowed is one of them/ });
  t.match(await runCommand('log-level', '--admin', '/no/such.sock'), {
    code: 69,
    err: 'zone-egress: ask /no/such.sock: connect ENOENT',
  });
});

t.test('health checks fail and pass again; a drained egress takes no more connections, and sessions go on', async (t) => {
  const { zone, socket, tcp } = await operated(t);
  await using _ = zone;
  const ready = async () => (await send(tcp, 'GET', '/ready')).body;
  const frontend = zone.mesh.client('frontend');
  t.match(await post(socket, '/healthcheck/fail'), { status: 200, body: 'OK\n' });
  t.equal(await ready(), 'DRAINING\nan operator took it out of service over the admin pages\n');
  t.match(JSON.parse((await send(tcp, 'GET', '/server_info')).body), {
    state: 'DRAINING',
    command_line_options: { log_level: 'info' },
  });
  const open = await zone.connect('legacy{mesh=default}', frontend);
  t.equal(await ask(open, 'still served'), 'still served');
  t.match(await post(socket, '/healthcheck/ok'), { status: 200 });
  t.equal(await ready(), 'LIVE\n');
  t.match(await post(socket, '/drain_listeners?graceful&skip_exit'), { status: 200 });
  t.equal(await ready(), 'LIVE\n', 'nothing is closed');
  t.match(await runCommand('drain', '--now', '--admin', (socket as { readonly socketPath: string }).socketPath), { code: 0 });
  t.match(await ready(), /^DRAINING\n/);
  await until('no connection is taken', () =>
    zone.connect('legacy{mesh=default}', frontend).then(
      (taken) => {
        taken.destroy();
        return false;
      },
      () => true,
    ),
  );
  t.equal(await ask(open, 'still here'), 'still here');
  t.match(await post(socket, '/healthcheck/ok'), { status: 200 });
  t.match(await ready(), /^DRAINING\n/, 'a closed listener is not ready again');
});

t.test('an operator ends the egress as SIGTERM does: sessions have the drain time', async (t) => {
  const { zone, socket, said } = await operated(t, { traffic: { drainTimeMs: FAR_MS } });
  await using _ = zone;
  const open = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  const end = gone(open);
  await ask(open, 'hello');
  t.match(await post(socket, '/quitquitquit'), { status: 200, body: 'OK\n' });
  await until('the drain has begun', () => said('draining').length === 1);
  t.equal(await ask(open, 'still here'), 'still here');
  t.match(await post(socket, '/sessions/end?destination=legacy'), { status: 200 });
  await end;
  await until('it has ended by itself', () => said('drained: every session has ended').length === 1);
});

t.test('counters in Envoy’s form begin anew, and what is open stays', async (t) => {
  const { zone, socket, tcp } = await operated(t);
  await using _ = zone;
  const one = async (name: string) =>
    Number(new RegExp(`^[^\\n]*${name}: (\\d+)$`, 'm').exec((await send(tcp, 'GET', '/stats')).body)?.[1] ?? Number.NaN);
  const frontend = zone.mesh.client('frontend');
  const first = await zone.connect('legacy{mesh=default}', frontend);
  const end = gone(first);
  await ask(first, 'hello');
  first.end();
  await end;
  await until('it is counted', async () => (await one('downstream_cx_total')) === 1);
  const open = await zone.connect('legacy{mesh=default}', frontend);
  await ask(open, 'hello');
  t.match(await post(socket, '/reset_counters'), { status: 200, body: 'OK\n' });
  t.equal(await one('downstream_cx_active'), 1);
  t.equal(await one('downstream_cx_total'), 1, 'the open one');
  t.equal(await ask(open, 'still here'), 'still here');
  const metrics = await zone.egress.metrics();
  t.match(metrics, /zone_egress_sessions_total\{[^}]*reason="closed"[^}]*\} 1/, 'its own counters go on');
});

t.test('an egress with tokens on an address that others reach says that they travel in the clear', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-tokens-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const tokenFile = join(folder, 'tokens');
  writeFileSync(tokenFile, 'c'.repeat(40), { mode: 0o640 });
  const lines: Line[] = [];
  const logDestination = { write: (line: string) => void lines.push(JSON.parse(line) as Line) };
  await using _ = await startZone(t, { logLevel: 'info', logDestination, admin: { port: 0, bind: '0.0.0.0', tokenFile } });
  const warnings = lines.filter(({ level }) => level === 'warn').map(({ msg }) => String(msg));
  t.match(warnings.join('\n'), /tokens of the admin pages travel unencrypted to 0\.0\.0\.0/);
  t.match(warnings.join('\n'), /the token file .* has the mode 0640/);
});

t.test('a token file without a token stops the start, with its place', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-tokens-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const tokens = join(folder, 'tokens');
  writeFileSync(tokens, '# none\nshort\n');
  const started = (tokenFile: string): Promise<unknown> =>
    startEgress({ resources: [{ path: 'zone.yaml', text: ZONE }], port: 0, admin: { port: 0, tokenFile } }).catch(
      (error: unknown) => error,
    );
  t.match(await started(tokens), { problems: [{ file: tokens, line: 2, message: /a token has at least 32 characters/ }] });
  t.match(await started('/no/such'), { problems: [{ file: '/no/such', line: 0, message: 'there is no such file' }] });
});

const ZONE = 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n';
