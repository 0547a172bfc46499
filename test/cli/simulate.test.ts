// A real egress records what real clients did; the recording is replayed over other folders.
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { gone, startZone } from '../egress/zone.ts';
import type { Zone } from '../egress/zone.ts';
import { runCommand } from './running.ts';
import type { Simulation } from '../../src/explain/simulate.ts';

/** Returns the folder of the zone with a change. */
function other(zone: Zone, dir: string, from: string, to: string): string {
  const text = readFileSync(`${zone.folder}/zone.yaml`, 'utf8');
  if (!text.includes(from)) throw new Error(from);
  writeFileSync(`${dir}/zone.yaml`, text.replaceAll(from, to));
  return dir;
}

/**
 * Makes one session that passes, one that is denied, one that is passed through, and one without
 * TLS.
 */
async function sessions(zone: Zone): Promise<void> {
  for (const [sni, service] of [
    ['api{mesh=default}', 'frontend'],
    ['api{mesh=default}', 'batch'],
    ['backend{mesh=default}', 'frontend'],
  ] as const) {
    const socket = await zone.connect(sni, zone.mesh.client(service)).catch(() => null);
    if (socket === null) continue;
    socket.end();
    await gone(socket);
  }
  const plain = zone.raw();
  plain.write('GET / HTTP/1.1\r\n\r\n');
  await gone(plain);
  for (const reason of ['denied', 'not-tls']) await zone.record((record) => record.reason === reason);
  await zone.record((record) => record.mode === 'passthrough');
  await zone.record((record) => record.permission !== '');
}

for (const concurrency of [1, 2]) {
  t.test(
    `what an egress records is replayed: nothing changes over its own folder, and a newly allowed path is caught (concurrency ${concurrency})`,
    async (t) => {
      const dir = t.testdir({ same: {}, open: {}, moved: {} });
      const file = `${dir}/sessions.ndjson`;
      {
        await using zone = await startZone(t, { concurrency, record: { file } });
        await sessions(zone);
        other(zone, `${dir}/same`, 'type: ZoneEgress', '# the same\ntype: ZoneEgress');
        other(zone, `${dir}/open`, 'match: { kuma.io/service: frontend }', "match: { kuma.io/service: '*' }");
        other(zone, `${dir}/moved`, `address: 127.0.0.1:${zone.ports.tls}`, 'address: 127.0.0.9:1');

        const admin = ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`];
        const asked = await runCommand('simulate', '--resources', `${dir}/open`, ...admin, '-o', 'json');
        t.equal(asked.code, 3);
        t.match(JSON.parse(asked.out), {
          version: 1,
          sessions: 4,
          changes: [{ kind: 'newly-allowed', client: ['spiffe://default/batch'] }],
        });
      }
      const lines = readFileSync(file, 'utf8').trim().split('\n');
      t.equal(lines.length, 4, 'every session is on the disk when the egress is closed');
      const from = ['--decisions', file];
      const same = await runCommand('simulate', '--resources', `${dir}/same`, ...from);
      t.match(same, {
        code: 0,
        err: '',
        out: /^none of 3 sessions come to another end[^]*skipped: 1 session \(not-tls 1\) never sent a whole hello\n$/,
      });

      const open = await runCommand('simulate', '--resources', `${dir}/open`, ...from);
      t.equal(open.code, 3);
      t.match(
        open.out,
        /^1 of 3 sessions.*\n\nNEWLY ALLOWED: 1 path, 1 session\n {2}api\{mesh=default\} from spiffe:\/\/default\/batch: was denied, is allowed: is let in by TrafficPermission default\/frontend-out \(.*open\/zone\.yaml:\d+\); 1 session, e\.g\. \d+\.\d+\n/,
      );
      writeFileSync(`${dir}/expect.yaml`, "- { sni: 'api{mesh=default}', client: spiffe://default/batch, outcome: allowed }\n");
      const expected = await runCommand('simulate', '--resources', `${dir}/open`, ...from, '--expect', `${dir}/expect.yaml`);
      t.match(expected, { code: 0, out: /expected: 1 change\n/ });
      t.notMatch(expected.out, /NEWLY/);
      const moved = await runCommand(
        'simulate',
        '--resources',
        `${dir}/moved`,
        ...from,
        '--expect',
        `${dir}/expect.yaml`,
        '-o',
        'json',
      );
      t.equal(moved.code, 3);
      const { changes, ...rest } = JSON.parse(moved.out) as Simulation;
      t.match(changes, [{ kind: 'other-endpoints', text: /goes to 127\.0\.0\.9:1 now/ }]);
      t.match(rest, { unexpected: 1, missing: [{ sni: 'api{mesh=default}' }], unreadable: 0 });
    },
  );
}

t.test('lines that cannot be read are counted aloud, and a file without any session is an error', async (t) => {
  const dir = t.testdir({
    'torn.ndjson': '{"version":1,"id":"0.\n',
    'empty.ndjson': '',
    'later.ndjson': '{"version":9}\n{"version":9}\n',
  });
  await using zone = await startZone(t, { record: { file: `${dir}/good.ndjson` } });
  await sessions(zone);
  const page = await fetch(`http://127.0.0.1:${zone.egress.adminPort}/decisions?limit=10000`);
  writeFileSync(`${dir}/page.json`, await page.text());
  const over = ['simulate', '--resources', zone.folder, '--decisions'];
  t.match(await runCommand(...over, `${dir}/page.json`), { code: 0, out: /^none of 3 sessions/ });
  writeFileSync(`${dir}/half.ndjson`, `${readFileSync(`${dir}/good.ndjson`, 'utf8')}{"version":1,"id":"0.\n{"version":9}\n`);
  t.match(await runCommand(...over, `${dir}/half.ndjson`), {
    code: 0,
    out: /1 line cannot be read as a session\nskipped: 1 line of another version\n$/,
  });
  t.match(await runCommand(...over, `${dir}/torn.ndjson`), { code: 66, err: /torn\.ndjson: there is no recorded session in it/ });
  t.match(await runCommand(...over, `${dir}/later.ndjson`), {
    code: 66,
    err: /no recorded session in it that can be read: 2 lines of another version/,
  });
  t.match(await runCommand(...over, `${dir}/empty.ndjson`), { code: 0, out: /^none of 0 sessions/ });
  t.match(await runCommand(...over, `${dir}/missing`), { code: 66, err: /missing: ENOENT/ });
});

t.test('what cannot be simulated is said with what can', async (t) => {
  const dir = t.testdir({
    resources: { 'bad.yaml': 'type: Mesh\nname: "a b"\n' },
    'x.ndjson': '',
    'expect.yaml': '- { sni: x }\n',
    'broken.yaml': '{',
  });
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[], 64, /needs --resources DIR/],
    [['--resources', 'x'], 64, /needs --decisions FILE of recorded sessions, or --admin URL/],
    [['--resources', 'x', '--decisions', 'y', '--admin', 'http://127.0.0.1:1'], 64, /one of them/],
    [['--resources', 'x', '--admin', 'https://127.0.0.1:1'], 64, /allowed is http:\/\/HOST:PORT/],
    [['--resources', 'x', '--decisions', 'y', 'z'], 64, /takes no arguments/],
    [['--resources', `${dir}/resources`, '--decisions', `${dir}/x.ndjson`], 78, /bad\.yaml:2/],
    [
      ['--resources', `${dir}/resources`, '--decisions', 'x', '--expect', `${dir}/expect.yaml`],
      64,
      /entry 1: outcome is missing/,
    ],
    [['--resources', `${dir}/resources`, '--decisions', 'x', '--expect', `${dir}/broken.yaml`], 64, /broken\.yaml:1/],
    [['--resources', `${dir}/resources`, '--decisions', 'x', '--expect', `${dir}/none`], 66, /none: ENOENT/],
  ];
  for (const [args, code, err] of cases) t.match(await runCommand('simulate', ...args), { code, err }, args.join(' '));
});
