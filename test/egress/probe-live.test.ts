// `probe --admin`: the running egress dials, with its own configuration, certificates and names.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createTcpServer } from 'node:net';
import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import type { ProbedDestination } from '../../src/model/probed-destination.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { post, send } from '../admin/post.ts';
import { freePort } from '../free-ports.ts';
import { runCommand, startCommand } from '../cli/running.ts';
import { listening } from '../listening.ts';
import { startControlledZone } from './controlled-zone.ts';
import { until } from './until.ts';
import { CONCURRENCIES, startZone } from './zone.ts';
import type { ZoneOptions } from './zone.ts';

const TOKEN = 'fedcba9876543210fedcba9876543210';
const partner = await createTestMesh('partner', { keyType: 'ec' });
const good = partner.issue({ uris: [], dns: ['api.partner.test'], subject: [['CN', 'api']] });
const client = partner.issue({ uris: [], dns: ['egress.partner.test'], subject: [['CN', 'egress']] });

const inline = (pem: string): string => `{ inlineString: ${JSON.stringify(pem)} }`;
const TLS = `enabled: true, serverName: api.partner.test, caCert: ${inline(partner.ca.cert)}`;
const PAIR = `clientCert: ${inline(client.cert)}, clientKey: ${inline(client.key)}`;

function external(name: string, address: string, tls = ''): string {
  return `---
type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name} }
networking: { address: '${address}'${tls === '' ? '' : `, tls: { ${tls} }`} }
`;
}

async function probed(t: Test, services: string, options: ZoneOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-probe-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [socketPath, tokenFile] = [join(folder, 'admin.sock'), join(folder, 'tokens')];
  writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
  const lines: Readonly<Record<string, unknown>>[] = [];
  const zone = await startZone(t, {
    logLevel: 'info',
    logDestination: { write: (line) => void lines.push(JSON.parse(line) as Readonly<Record<string, unknown>>) },
    resources: () => services,
    ...options,
    admin: { port: 0, socket: socketPath, tokenFile },
  });
  const url = `http://127.0.0.1:${zone.egress.adminPort}`;
  return { zone, socketPath, tokenFile, url, lines };
}

for (const concurrency of CONCURRENCIES)
  t.test(`with ${concurrency} data sides, the egress shows its own certificate, over the socket and with a token`, async (t) => {
    const seen: string[] = [];
    const server = createTlsServer({ ...good, ca: partner.ca.cert, requestCert: true, rejectUnauthorized: true }, (socket) => {
      seen.push(String(socket.getPeerX509Certificate()?.subject));
      socket.on('error', () => {}).resume();
    });
    const port = await listening(t, server);
    const services = external('partner', `127.0.0.1:${port}`, `${TLS}, ${PAIR}`) + external('bare', `127.0.0.1:${port}`, TLS);
    const { zone, socketPath, tokenFile, url, lines } = await probed(t, services, { concurrency });
    await using _ = zone;
    for (const at of [
      ['--admin', socketPath],
      ['--admin', url, '--admin-token-file', tokenFile],
    ]) {
      const text = await runCommand('probe', 'partner', ...at, '--timeout', '15s');
      t.match(text, {
        code: 0,
        err: '',
        out: /^partner of mesh default: 1 address\n127\.0\.0\.1:\d+: good; connected in \d+ ms, TLS in \d+ ms\n {2}TLSv1\.3, TLS_\w+.*; certificate valid to 20/,
      });
      const bare = await runCommand('probe', 'bare{mesh=default}', ...at, '--timeout', '15s', '--wait', '5s', '-o', 'json');
      t.match(bare, { code: 3, err: '' });
      t.match(JSON.parse(bare.out), {
        version: 1,
        sni: 'bare{mesh=default}',
        mesh: 'default',
        destination: 'bare',
        kind: 'terminate',
        leftOut: 0,
        endpoints: [{ address: `127.0.0.1:${port}`, finding: { kind: 'client-certificate-wanted' } }],
      });
      t.notMatch(text.out + bare.out, /PRIVATE KEY|BEGIN|fedcba/);
    }
    t.same([...new Set(seen)], ['CN=egress']);
    // The same question to the folder has the same answer, but for the times.
    const here = await runCommand('probe', 'bare', '--resources', zone.folder, '--wait', '60s', '--timeout', '60s', '-o', 'json');
    const there = await runCommand('probe', 'bare', '--admin', socketPath, '--timeout', '15s', '--wait', '5s', '-o', 'json');
    t.same(withoutTimes(there.out), withoutTimes(here.out));
    t.equal(there.code, here.code);
    const said = lines.filter(({ msg }) => msg === 'endpoints were dialled for an operator');
    t.equal(said.length, 5);
    t.match(said[0], {
      level: 'info',
      change: '/probe',
      by: /^the admin socket of uid/,
      what: '1 address of partner of mesh default',
    });
    t.match(said[2], { by: /^token of line 1 from 127\.0\.0\.1$/ });
    t.match(await zone.egress.metrics(), /zone_egress_admin_changes_total\{outcome="probed"\} 5/);
    t.notMatch(JSON.stringify(lines), /PRIVATE KEY|fedcba/);
  });

function withoutTimes(out: string): unknown {
  const { endpoints, ...about } = JSON.parse(out) as ProbedDestination;
  return { ...about, endpoints: endpoints.map((each) => ({ ...each, resolveMs: 0, connectMs: 0, tlsMs: 0 })) };
}

t.test('without the right to change, and by anything but POST, nothing is dialled', async (t) => {
  let dialled = 0;
  const port = await listening(
    t,
    createTcpServer(() => dialled++),
  );
  const { zone, socketPath, url } = await probed(t, external('partner', `127.0.0.1:${port}`));
  await using _ = zone;
  t.match(await runCommand('probe', 'partner', '--admin', url), { code: 69, err: /401: a change needs a token/ });
  const tcp = { port: zone.egress.adminPort };
  t.match(await send(tcp, 'GET', '/probe?target=partner'), { status: 405 });
  t.match(await send({ socketPath }, 'GET', '/probe?target=partner'), { status: 405 });
  t.match(await post({ socketPath }, '/probe?target=partner', { origin: 'http://evil.example' }), { status: 403 });
  t.match(await post({ socketPath }, '/probe?target=partner', { host: 'evil.example' }), { status: 421 });
  t.equal(dialled, 0);
});

t.test('it follows no name into the machine, and never dials the egress itself', async (t) => {
  let dialled = 0;
  const port = await listening(
    t,
    createTcpServer(() => dialled++),
  );
  const asked: string[] = [];
  const lookup = (name: string): Promise<string[]> => {
    asked.push(name);
    if (name === 'many.test') return Promise.resolve(Array.from({ length: 40 }, (_, i) => `127.0.0.${i + 1}`));
    return name === 'inside.test'
      ? Promise.resolve(['127.0.0.1'])
      : Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' }));
  };
  const services =
    external('inside', `inside.test:${port}`) + external('nothing', 'nothing.test:443') + external('many', `many.test:${port}`);
  const { zone, socketPath } = await probed(t, services, { lookup, watch: true });
  await using _ = zone;
  const at = ['--admin', socketPath, '--timeout', '15s'];
  t.match(await runCommand('probe', 'inside', ...at), {
    code: 3,
    out: /: forbidden-address; resolved in \d+ ms\n {2}it resolves to 127\.0\.0\.1/,
  });
  t.match(await runCommand('probe', 'nothing', ...at), {
    code: 3,
    out: /: name-not-resolved\n {2}nothing\.test does not resolve: ENOTFOUND/,
  });
  const many = await runCommand('probe', 'many', ...at);
  t.match(many, { code: 3, out: /^many of mesh default: 32 addresses\n[^]*\nnote: 8 further addresses were not dialled\n$/ });
  t.ok(asked.includes('inside.test') && asked.includes('nothing.test'), 'the names are asked of what the egress uses');
  t.equal(dialled, 0);
  zone.write(
    'more.yaml',
    external('self', `127.0.0.1:${zone.egress.port}`) + external('pages', `127.0.0.1:${zone.egress.adminPort}`),
  );
  await until('the egress has them', () => zone.egress.snapshot().routes.has('pages{mesh=default}' as never));
  for (const name of ['self', 'pages'])
    t.match(
      await runCommand('probe', name, ...at),
      { code: 3, out: /: forbidden-address\n {2}127\.0\.0\.1:\d+ is the egress itself\n/ },
      name,
    );
  t.match(await runCommand('probe', 'slef', ...at), { code: 66, err: /no destination and no SNI is "slef".*did you mean "self/ });
});

t.test('one probe runs at a time, and the end of the egress ends it', async (t) => {
  const held: Socket[] = [];
  const port = await listening(
    t,
    createTcpServer((socket) => void held.push(socket.resume())),
  );
  const { zone, socketPath } = await probed(t, external('silent', `127.0.0.1:${port}`, TLS));
  {
    await using _ = zone;
    const first = startCommand('probe', 'silent', '--admin', socketPath, '--timeout', '15s');
    await until('it dials', () => held.length > 0);
    t.match(await runCommand('probe', 'silent', '--admin', socketPath), {
      code: 69,
      err: /503: another probe is running: ask again/,
    });
    for (const socket of held) socket.destroy();
    await until('it looks once more', () => held.length > 1);
    held.at(-1)?.destroy();
    t.equal(await first.code, 3);
    const second = startCommand('probe', 'silent', '--admin', socketPath, '--timeout', '15s');
    await until('it dials again', () => held.length > 2);
    void second.code;
  }
  t.pass('the zone found nothing left behind');
});

t.test('what a control plane has sent is what is dialled', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-probe-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, 'admin.sock');
  await using zone = await startControlledZone(t, { egress: { admin: { port: 0, socket } } });
  const at = ['--admin', socket, '--timeout', '15s'];
  t.match(await runCommand('probe', 'legacy', ...at), {
    code: 0,
    err: '',
    out: /^legacy of mesh default: 1 address\n127\.0\.0\.1:\d+: good; connected in/,
  });
  await zone.send({ external: { legacy: { address: '127.0.0.1', port: await freePort(), allow: ['frontend'] } } });
  t.match(await runCommand('probe', 'legacy', ...at), { code: 3, out: /: refused\n {2}nothing listens there/ });
});
