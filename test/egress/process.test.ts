import { X509Certificate, createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { startEgress } from '../../src/egress.ts';
import { withFreePorts } from '../data.ts';
import { BOUND_MS, until } from './until.ts';
import { finish, page, refused, run, writeZone } from './zone-process.ts';
import { CONCURRENCIES, ask, gone } from './zone.ts';

for (const concurrency of CONCURRENCIES) {
  t.test(`zone-egress run, with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test('SIGTERM under 20 running streams: all of them complete, and it exits with 0', async (t) => {
      await using zone = await writeZone();
      await using egress = await run(zone, ['--concurrency', String(concurrency), '--drain-time', '600s']);
      const sockets = await Promise.all(Array.from({ length: 20 }, (_, i) => zone.connect(i % 2 === 0 ? 'backend' : 'legacy')));
      let stop = false;
      const streams = sockets.map((socket) => stream(socket, () => stop));
      egress.kill('SIGTERM');
      await until('it says that it drains', async () => (await page(zone.readinessPort, '/ready')).startsWith('503 TERMINATING'));
      await until('the listener is closed', () => refused(zone.port));
      t.equal(egress.exited(), false, 'it waits for the streams');
      stop = true;
      for (const { up, down } of await Promise.all(streams)) t.equal(down, up, 'nothing is lost');
      t.strictSame(await egress.exit, { code: 0, signal: null });
      t.equal(egress.stderr(), '');
    });

    t.test('a stream that does not end is cut after the drain time: exit 1, or what --drain-exit-code says', async (t) => {
      const outcomes = await Promise.all(
        [[], ['--drain-exit-code', '0']].map(async (flags) => {
          await using zone = await writeZone();
          await using egress = await run(zone, ['--concurrency', String(concurrency), '--drain-time', '1s', ...flags]);
          const socket = await zone.connect('legacy');
          t.equal(await ask(socket, 'ping'), 'ping');
          const startedAt = performance.now();
          egress.kill('SIGTERM');
          await gone(socket);
          const { code } = await egress.exit;
          const took = performance.now() - startedAt;
          t.ok(took >= 1_000 && took < BOUND_MS, `after ${Math.round(took)} ms`);
          const record = egress.lines().find(({ reason }) => reason === 'drained');
          t.match(record, { reason: 'drained', destination: 'legacy' }, 'it is recorded');
          return code;
        }),
      );
      t.strictSame(outcomes, [1, 0]);
    });

    t.test('a second signal ends it now', async (t) => {
      await using zone = await writeZone();
      await using egress = await run(zone, ['--concurrency', String(concurrency), '--drain-time', '600s']);
      const socket = await zone.connect('backend');
      t.equal(await ask(socket, 'ping'), 'ping');
      egress.kill('SIGTERM');
      await until('it says that it drains', async () => (await page(zone.readinessPort, '/ready')).startsWith('503'));
      const startedAt = performance.now();
      egress.kill('SIGTERM');
      t.strictSame(await egress.exit, { code: 1, signal: null });
      t.ok(performance.now() - startedAt < BOUND_MS, 'long before the drain time');
    });

    t.test(
      'a port that is taken is one clear line and exit 71, also where the other listens with several data sides',
      async (t) => {
        await using zone = await writeZone();
        await using first = await run(zone, ['--concurrency', String(concurrency), '--drain-time', '1s']);
        const flags = ['--resources', zone.folder, '--readiness-port', '0', '--log-level', 'off'];
        // Listeners that do not serve clients are bound first.
        const admin = `zone-egress: listen on 127.0.0.1:${zone.adminPort} for the admin pages: another socket has this port (EADDRINUSE)\n`;
        const client = new RegExp(`^zone-egress: .*EADDRINUSE.*127\\.0\\.0\\.1:${zone.port}\n$`);
        // They start at once: an admin address for each, so that they meet the first one and not each other.
        const others = CONCURRENCIES.flatMap((count, index) => [
          { count, adminBind: '127.0.0.1', line: admin },
          { count, adminBind: `127.0.0.${index + 2}`, line: client },
        ]).map(async ({ count, adminBind, line }) => {
          const { code, stdout, stderr } = await finish([
            'run',
            ...flags,
            '--admin-bind',
            adminBind,
            '--concurrency',
            String(count),
          ]);
          t.equal(code, 71);
          t.match(stderr, line);
          t.equal(stdout, '');
        });
        await Promise.all(others);
        t.equal(first.exited(), false, 'the first one serves on');
        const socket = await zone.connect('legacy');
        t.equal(await ask(socket, 'ping'), 'ping');
        socket.destroy();
      },
    );
  });
}

t.test('it says when it is ready; SIGHUP loads again; SIGINT drains as SIGTERM does', async (t) => {
  await using zone = await writeZone();
  await using egress = await run(zone, ['--drain-time', '1s']);
  t.match(
    egress.lines().find(({ msg }) => msg === 'zone egress is ready'),
    {
      address: '127.0.0.1',
      port: zone.port,
      admin: zone.adminPort,
      zone: 'east',
      egress: 'egress',
    },
  );
  egress.kill('SIGHUP');
  await until('the same files were loaded again', async () =>
    (await page(zone.adminPort, '/stats/prometheus')).includes('zone_egress_config_loads_total{result="unchanged"} 1'),
  );
  writeFileSync(join(zone.folder, 'bad.yaml'), 'type: Mesh\nname: [\n');
  egress.kill('SIGHUP');
  await until('a bad file is told', async () => (await page(zone.adminPort, '/config_errors')).includes('bad.yaml:'));
  t.equal(egress.exited(), false);
  t.match(await page(zone.readinessPort, '/ready'), /^200 LIVE/);
  egress.kill('SIGINT');
  t.strictSame(await egress.exit, { code: 0, signal: null });
});

t.test(
  'the readiness port answers /ready and nothing else, on every address; the admin port is on loopback, and reads only',
  async (t) => {
    await using zone = await writeZone();
    await using egress = await run(zone, ['--concurrency', '1', '--drain-time', '0s']);
    const socket = await zone.connect('legacy');
    t.equal(await ask(socket, 'ping'), 'ping');
    socket.end();
    await gone(socket);

    t.match(await page(zone.readinessPort, '/ready', { host: '127.0.0.2' }), /^200 LIVE/);
    t.match(await page(zone.readinessPort, '/ready', { headers: { host: 'any.name' } }), /^200 LIVE/);
    for (const path of ['/', '/stats/prometheus', '/decisions', '/config_errors', '/ready/x'])
      t.match(await page(zone.readinessPort, path), /^404 /, path);

    await t.rejects(page(zone.adminPort, '/ready', { host: '127.0.0.2' }), { code: 'ECONNREFUSED' });
    t.match(await page(zone.adminPort, '/ready'), /^200 LIVE/);
    await until('the session is counted', async () =>
      /zone_egress_sessions_total\{mode="terminate",mesh="default",reason="closed"\} 1/.test(
        await page(zone.adminPort, '/stats/prometheus'),
      ),
    );
    t.match(await page(zone.adminPort, '/decisions'), /^200 [^]*"destination": "legacy"/);
    t.match(await page(zone.adminPort, '/decisions?reason=denied'), /^200 [^]*"decisions": \[\]/);
    for (const method of ['POST', 'PUT', 'DELETE']) t.match(await page(zone.adminPort, '/ready', { method }), /^405 /, method);
    t.match(await page(zone.adminPort, '/ready', { headers: { host: 'rebound.test' } }), /^421 /);
    t.match(await page(zone.adminPort, '/decisions', { headers: { origin: 'http://localhost' } }), /^403 /);
    egress.kill('SIGTERM');
    await egress.exit;
  },
);

t.test('run and validate tell every problem of a folder as file:line:col field: message, and exit with 78', async (t) => {
  await using zone = await writeZone();
  writeFileSync(
    join(zone.folder, 'a.yaml'),
    'type: ExternalService\nmesh: default\nname: a\nnetworking: { address: "nowhere" }\n',
  );
  writeFileSync(join(zone.folder, 'b.yaml'), 'type: Mesh\nname: other\nmtls: { enabledBackend: none }\n');
  const [ran, validated] = await Promise.all([
    finish(['run', '--resources', zone.folder, '--readiness-port', '0', '--log-level', 'off']),
    finish(['validate', zone.folder]),
  ]);
  for (const { code, text } of [
    { code: ran.code, text: ran.stderr },
    { code: validated.code, text: validated.stdout },
  ]) {
    t.equal(code, 78);
    t.match(text, /a\.yaml:\d+:\d+ networking\.address: /);
    t.match(text, /a\.yaml:\d+:\d+ tags/);
    t.match(text, /b\.yaml:3:\d+ mtls\.enabledBackend: /);
  }
  t.equal(ran.stdout, '', 'nothing was started');
  const lines = validated.stdout.trimEnd().split('\n');
  t.match(lines.at(-1), /: [3-9] errors, \d+ warnings?$/);
  t.strictSame(ran.stderr.trimEnd().split('\n').slice(0, -1), lines.slice(0, -1), 'both say the same');
});

t.test('warnings are no error to validate, unless --strict makes them one', async (t) => {
  await using zone = await writeZone();
  writeFileSync(join(zone.folder, 'typo.yaml'), 'type: TrafficPermision\nmesh: default\nname: x\n');
  const [usual, strict, missing] = await Promise.all([
    finish(['validate', zone.folder]),
    finish(['validate', zone.folder, '--strict']),
    finish(['validate', join(zone.folder, 'nowhere')]),
  ]);
  t.match(usual, { code: 0, stdout: /typo\.yaml:1:\d+ warning: type: .*TrafficPermission[^]*0 errors, 1 warning\n$/ });
  t.match(strict, { code: 78, stdout: /typo\.yaml:1:\d+ type: .*TrafficPermission[^]*1 error, 0 warnings\n$/ });
  t.match(missing, { code: 66, stderr: /nowhere: there is no such folder/ });
});

t.test('generate zone writes a zone that validates without a word, serves, and is not overwritten', async (t) => {
  const dir = temporary(t);
  t.match(await finish(['generate', 'zone', dir]), { code: 0, stdout: /zone-egress run --resources/ });
  t.match(await finish(['validate', `${dir}/resources`, '--strict']), {
    code: 0,
    stdout: new RegExp(`^${dir}/resources: \\d+ routes in 2 meshes, 0 errors, 0 warnings\\n$`),
  });
  const secrets = join(dir, 'resources/50-secrets.yaml');
  t.equal(statSync(secrets).mode & 0o777, 0o600, 'keys are for their owner');
  const before = readFileSync(secrets, 'utf8');
  t.match(await finish(['generate', 'zone', dir]), { code: 73, stderr: /50-secrets\.yaml/ });
  t.equal(readFileSync(secrets, 'utf8'), before);
  t.match(await finish(['generate', 'zone', dir, '--force']), { code: 0 });
  t.not(readFileSync(secrets, 'utf8'), before);

  await using egress = await startEgress({ resources: `${dir}/resources`, port: 0, admin: false });
  const record = new Promise<readonly string[]>((resolve) => egress.onRecord(({ spiffeIds }) => resolve(spiffeIds)));
  const pem = (name: string): string => readFileSync(join(dir, 'certs', name), 'utf8');
  const socket = connectTls({
    port: egress.port,
    host: '127.0.0.1',
    servername: 'legacy{mesh=default}',
    cert: pem('frontend.crt'),
    key: pem('frontend.key'),
    ca: pem('default-ca.crt'),
    checkServerIdentity: () => undefined,
  });
  socket.on('error', () => {});
  await gone(socket);
  t.strictSame(await record, ['spiffe://default/frontend'], 'its client certificates are good for it');
});

t.test('generate certs writes a CA and client certificates that belong together, and does not overwrite', async (t) => {
  const dir = temporary(t);
  const command = ['generate', 'certs', dir, '--mesh', 'demo', '--service', 'web,till', '--key-type', 'ec'];
  t.match(await finish(command), { code: 0, stdout: /till\.key/ });
  const ca = new X509Certificate(readFileSync(join(dir, 'ca.crt')));
  t.ok(ca.ca);
  for (const service of ['web', 'till']) {
    const leaf = new X509Certificate(readFileSync(join(dir, `${service}.crt`)));
    t.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca));
    t.match(leaf.subjectAltName, new RegExp(`URI:spiffe://demo/${service}`));
    t.ok(leaf.checkPrivateKey(createPrivateKey(readFileSync(join(dir, `${service}.key`)))));
    t.equal(statSync(join(dir, `${service}.key`)).mode & 0o777, 0o600);
  }
  t.match(await finish(command), { code: 73, stderr: /--force/ });
  t.equal(readFileSync(join(dir, 'ca.crt'), 'utf8'), ca.toString());
  t.match(await finish([...command, '--force']), { code: 0 });
});

t.test('a command or a flag that does not exist is one line and exit 64', async (t) => {
  const [command, flag] = await Promise.all([finish(['serve']), finish(['run', '--resources=x', '--frobnicate'])]);
  t.match(command, { code: 64, stdout: '', stderr: /^zone-egress: unknown command "serve": allowed are .*\n$/ });
  t.match(flag, { code: 64, stdout: '', stderr: /^zone-egress: .*frobnicate.*\n$/ });
});

t.test('the demo sends one session of each kind and prints each as a line with its outcome', async (t) => {
  const { code, stdout, stderr } = await finish(['demo', temporary(t), '--once']);
  await t.test('the six lines', withFreePorts(code !== 71, stderr), async (t) => {
    t.equal(code, 0);
    const outcomes: readonly (readonly [title: string, outcome: RegExp])[] = [
      ['passed through', /backend\{mesh=default\}  ok, passthrough to 127\.0\.0\.1:\d+  <- "hello from backend/],
      ['terminated', /frontend -> legacy\{mesh=default\}  ok, terminate to 127\.0\.0\.1:\d+  <- "hello from the plain/],
      ['re-encrypted', /frontend -> api\{mesh=default\}  ok, terminate to 127\.0\.0\.1:\d+ over TLS  <- "hello from api/],
      ['denied', /batch -> api\{mesh=default\}  refused, denied: /],
      ['no such route', /backedn\{mesh=default\}  refused, no-route: /],
      ['other mesh', /till -> legacy\{mesh=default\}  refused, wrong-mesh: /],
    ];
    const lines = stdout.split('\n');
    for (const [title, outcome] of outcomes) {
      const line = lines.find((each) => each.startsWith(`${title} `)) ?? '';
      t.match(line, outcome, title);
    }
  });
});

/** Writes random bytes until it is stopped; resolves with the hash of each direction. */
async function stream(socket: TLSSocket, stop: () => boolean): Promise<{ readonly up: string; readonly down: string }> {
  const up = createHash('sha256');
  const down = createHash('sha256');
  const over = gone(socket);
  socket.on('data', (bytes: Buffer) => down.update(bytes));
  while (!stop()) {
    const bytes = randomBytes(8_192);
    up.update(bytes);
    socket.write(bytes);
    await pause(20);
  }
  socket.end();
  await over;
  return { up: up.digest('hex'), down: down.digest('hex') };
}

function temporary(t: { teardown(act: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-cli-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
