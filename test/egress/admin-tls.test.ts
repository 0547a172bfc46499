// A running egress whose admin listener speaks TLS, and the commands that ask it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import { formatProblem } from '../../src/base/problem.ts';
import { ConfigError } from '../../src/control/sources/config-source.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { runCommand, startCommand } from '../cli/running.ts';
import { until } from './until.ts';
import { ask, gone, startZone } from './zone.ts';

const operators = await createTestMesh('operators', { keyType: 'ec' });
const servers = await createTestMesh('servers', { keyType: 'ec' });

type Line = Readonly<Record<string, unknown>>;

function files(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-admin-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const server = servers.issue({ uris: [], ips: ['127.0.0.1'], dns: ['localhost'], eku: ['serverAuth'] });
  const alice = operators.issue({ uris: ['spiffe://ops/alice'], subject: [['CN', 'alice']], eku: ['clientAuth'] });
  const bob = operators.issue({ uris: ['spiffe://ops/bob'], eku: ['serverAuth'] });
  const tls = {
    certFile: write('server.crt', server.cert),
    keyFile: write('server.key', server.key),
    clientCaFile: write('clients.crt', operators.ca.cert),
  };
  const ca = write('ca.crt', servers.ca.cert);
  const pairOf = (name: string, { cert, key }: { readonly cert: string; readonly key: string }): readonly string[] => [
    '--admin-cert',
    write(`${name}.crt`, cert),
    '--admin-key',
    write(`${name}.key`, key),
  ];
  return { folder, write, tls, ca, alice: pairOf('alice', alice), bob: pairOf('bob', bob) };
}

t.test('each command reaches it, and those that change something need the certificate', async (t) => {
  const { folder, tls, ca, alice, bob } = files(t);
  const lines: Line[] = [];
  const socket = join(folder, 'admin.sock');
  await using zone = await startZone(t, {
    logLevel: 'info',
    logDestination: { write: (line) => void lines.push(JSON.parse(line) as Line) },
    admin: { port: 0, tls, socket },
  });
  const open = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  const end = gone(open);
  t.equal(await ask(open, 'hello'), 'hello');
  const url = `https://127.0.0.1:${zone.egress.adminPort}`;
  const at = ['--admin', url, '--admin-ca', ca];
  t.match(await runCommand('sessions', ...at), { code: 0, out: /legacy/ });
  t.match(await runCommand('sessions', '--admin', `https://localhost:${zone.egress.adminPort}`, '--admin-ca', ca), { code: 0 });
  t.match(await runCommand('decisions', ...at), { code: 0, err: '' });
  t.match(await runCommand('alarms', ...at), { err: '' });
  t.match(await runCommand('top', '--once', '--interval', '100ms', ...at), { code: 0, out: /legacy/ });
  t.match(await runCommand('explain', '--sni', 'legacy{mesh=default}', ...at), { err: '', out: /^refused/ });
  t.match(await runCommand('simulate', '--resources', zone.folder, ...at), { code: 0, err: '' });
  const followed = startCommand('decisions', '--follow', ...at);

  t.match(await runCommand('log-level', 'debug', ...at), {
    code: 69,
    err: /403: a change needs a client certificate that leads/,
  });
  t.match(await runCommand('log-level', 'debug', ...at, ...bob), { code: 69, err: /not taken: it is not one for clients/ });
  t.match(await runCommand('probe', 'legacy', ...at), { code: 69, err: /403: a change needs/ });
  t.match(await runCommand('probe', 'legacy', ...at, ...alice, '--timeout', '15s'), { code: 0, out: /: good; connected in/ });
  t.match(await runCommand('log-level', ...at, ...alice), { code: 0, out: 'info\n' });
  t.match(await runCommand('sessions', '--end', '--destination', 'legacy', ...at, ...alice), {
    code: 0,
    out: 'ended 1 session\n',
  });
  await end;
  const record = await zone.record(({ reason }) => reason === 'ended-by-operator');
  t.equal(record.detail, 'an operator ended it: certificate spiffe://ops/alice, CN=alice from 127.0.0.1');
  t.match(
    lines.filter(({ msg }) => msg === 'a change was made over an admin listener'),
    [{ change: '/sessions/end', by: 'certificate spiffe://ops/alice, CN=alice from 127.0.0.1' }],
  );
  t.match(await runCommand('log-level', '--admin', socket), { code: 0, out: 'info\n' }, 'the socket goes on without TLS');
  await until('the record is followed', () => followed.printed.out.includes('ended-by-operator'));
  followed.signal('SIGINT');
  t.equal(await followed.code, 0);
  t.notMatch(JSON.stringify(lines), /PRIVATE KEY|BEGIN/);
});

t.test('commands say what is wrong with the way to it', async (t) => {
  const { folder, write, tls, ca, alice } = files(t);
  await using zone = await startZone(t, { admin: { port: 0, tls } });
  const port = zone.egress.adminPort;
  const url = `https://127.0.0.1:${port}`;
  const other = write('other.crt', operators.ca.cert);
  const cases: readonly (readonly [args: readonly string[], code: number, err: RegExp])[] = [
    [['--admin', url], 69, /: give the CA of its certificate by --admin-ca\n$/],
    [['--admin', url, '--admin-ca', other], 69, /: give the CA of its certificate by --admin-ca\n$/],
    [['--admin', url, '--admin-ca', join(folder, 'none')], 66, /none: there is no such file/],
    [['--admin', `http://127.0.0.1:${port}`], 64, /this port speaks TLS: use https:\/\//],
    [['--admin', `http://127.0.0.1:${port}`, '--admin-ca', ca], 64, /--admin-ca goes with --admin https:\/\/HOST:PORT/],
    [['--admin', url, '--admin-ca', ca, ...alice.slice(0, 2)], 64, /--admin-cert and --admin-key: allowed are both or none/],
    [
      ['--admin', url, '--admin-ca', ca, ...alice.slice(0, 3), write('stranger.key', operators.issue({ uris: [] }).key)],
      69,
      /: key values mismatch: the key of --admin-key is not that of the certificate of --admin-cert\n$/,
    ],
    [
      ['--admin', url, '--admin-ca', ca, '--admin-cert', write('no.crt', 'no'), ...alice.slice(2)],
      69,
      /: no start line: allowed in the files of --admin-cert and --admin-key is PEM\n$/,
    ],
    [['--admin', `ftp://127.0.0.1:${port}`], 64, /allowed is http:\/\/HOST:PORT, https:\/\/HOST:PORT, or the path/],
  ];
  for (const [args, code, err] of cases) t.match(await runCommand('sessions', ...args), { code, err }, args.join(' '));
  await using plain = await startZone(t, { admin: { port: 0 } });
  const wrong = await runCommand('sessions', '--admin', `https://127.0.0.1:${plain.egress.adminPort}`, '--admin-ca', ca);
  t.match(wrong, { code: 69, err: /: wrong version number: a port without TLS is asked by http:\/\/\n$/ });
});

t.test('files that cannot be used end the start, with the file and the option', async (t) => {
  const { folder, write, tls } = files(t);
  const stranger = operators.issue({ uris: [], eku: ['clientAuth'] });
  const middle = operators.issue({
    uris: [],
    subject: [['CN', 'middle']],
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign'],
    eku: [],
  });
  const cases: readonly (readonly [changed: Partial<typeof tls>, message: RegExp])[] = [
    [{ certFile: join(folder, 'none') }, /none --admin-tls-cert-file: there is no such file/],
    [{ keyFile: folder }, /--admin-tls-key-file: it is no file/],
    [
      { keyFile: write('other.key', stranger.key) },
      /other\.key --admin-tls-key-file: the key does not belong to the first certificate of/,
    ],
    [
      { certFile: write('c.crt', stranger.cert), keyFile: write('c.key', stranger.key) },
      /--admin-tls-cert-file: its certificate is not one for servers/,
    ],
    [{ clientCaFile: write('leaf.crt', stranger.cert) }, /--admin-client-ca-file: certificate 1 of 1 in it is no CA certificate/],
    [{ clientCaFile: write('middle.crt', middle.cert) }, /--admin-client-ca-file: it has no root CA/],
  ];
  for (const [changed, message] of cases) {
    const starting = startEgress({
      resources: [{ path: 'z.yaml', text: ZONE }],
      port: 0,
      logLevel: 'off',
      admin: { port: 0, tls: { ...tls, ...changed } },
    });
    const problem = await starting.then(
      async (egress) => egress.close().then(() => 'it started'),
      (error: unknown) => (error instanceof ConfigError ? error.problems.map(formatProblem).join() : String(error)),
    );
    t.match(problem, message);
  }
  for (const admin of [{ tls: { certFile: 'x' } }, { tls: true }])
    await t.rejects(startEgress({ resources: [], admin } as never), { name: 'TypeError', message: /admin\.tls/ });
});

const ZONE = 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n';

t.test('an alarm tells that a certificate of the listener ends, until it is replaced', async (t) => {
  const { write, tls } = files(t);
  const day = 86_400_000;
  const ending = servers.issue({
    uris: [],
    ips: ['127.0.0.1'],
    eku: ['serverAuth'],
    notBefore: Date.now() - 30 * day,
    notAfter: Date.now() + day / 24,
  });
  const fresh = servers.issue({ uris: [], ips: ['127.0.0.1'], eku: ['serverAuth'] });
  write('server.crt', ending.cert);
  write('server.key', ending.key);
  await using zone = await startZone(t, { admin: { port: 0, tls } });
  const alarms = () => runCommand('alarms', '-o', 'json', '--admin', `https://127.0.0.1:${zone.egress.adminPort}`, ...trusted);
  const trusted = ['--admin-ca', write('roots.crt', servers.ca.cert)];
  const { code, out } = await alarms();
  t.equal(code, 3);
  t.match(JSON.parse(out), {
    alarms: [
      {
        name: 'admin-certificate-expires',
        severity: 'critical',
        subject: '--admin-tls-cert-file',
        says: /^for the admin listener, the certificate in --admin-tls-cert-file ends 20/,
      },
    ],
  });
  write('server.crt', fresh.cert);
  write('server.key', fresh.key);
  await until('the alarm ends', async () => (await alarms()).code === 0);
});

t.test('run takes all three files or none', (t) => {
  const run = (...args: readonly string[]) => parseCommand(['run', '--resources', '/x', ...args], {});
  t.match(run('--admin-tls-cert-file', 'a'), {
    kind: 'usage-error',
    message:
      /--admin-tls-cert-file needs --admin-tls-key-file and --admin-client-ca-file too: the admin listener speaks TLS with all three/,
  });
  t.match(run('--admin-client-ca-file', 'a', '--admin-tls-cert-file', 'b'), {
    kind: 'usage-error',
    message: /--admin-tls-key-file too/,
  });
  t.match(run('--admin-tls-cert-file', 'a', '--admin-tls-key-file', 'b', '--admin-client-ca-file', 'c'), { kind: 'command' });
  t.end();
});
