// A real egress records what real clients did; the recording is replayed over other folders.
import { readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { until } from '../egress/until.ts';
import { CONCURRENCIES, gone, startZone } from '../egress/zone.ts';
import type { Zone } from '../egress/zone.ts';
import { runCommand } from './running.ts';
import type { Simulation } from '../../src/explain/simulate.ts';
import type { RequestSimulation } from '../../src/explain/simulate-requests.ts';

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

const SHOP_ZONE = (port: number): string => `type: ExternalService
name: shop
mesh: default
tags: { kuma.io/service: shop, kuma.io/protocol: http }
networking: { address: 'shop.partner.test:${port}' }
---
type: MeshTrafficPermission
name: shop
mesh: default
spec:
  targetRef: { kind: Mesh }
  from:
    - targetRef: { kind: MeshService, name: frontend }
      default: { action: Allow }
---
type: RateLimit
name: limited
mesh: default
sources: [{ match: { kuma.io/service: limited } }]
destinations: [{ match: { kuma.io/service: shop } }]
conf: { http: { requests: 2, interval: 1h, onRateLimit: { status: 423 } } }
`;

for (const concurrency of CONCURRENCIES)
  t.test(`requests that an egress records are replayed, limits with them (concurrency ${concurrency})`, async (t) => {
    const dir = t.testdir({ open: {}, closed: {}, tight: {}, wide: {}, teapot: {}, bytes: {} });
    const file = `${dir}/sessions.ndjson`;
    const service = createServer((request, response) => void request.resume().on('end', () => response.end('ok')));
    await once(service.listen(0, '127.0.0.1'), 'listening');
    t.teardown(() => {
      service.closeAllConnections();
      service.close();
    });
    {
      await using zone = await startZone(t, {
        concurrency,
        record: { file },
        lookup: async () => ['127.0.0.1'],
        traffic: { allowedResolved: ['127.0.0.0/8'] },
        resources: () => SHOP_ZONE((service.address() as AddressInfo).port),
      });
      const seen: number[] = [];
      zone.egress.onRequest(({ status }) => seen.push(status));
      const ask = async (client: string, paths: readonly string[], tags = client): Promise<void> => {
        const socket = await zone.connect('shop{mesh=default}', zone.mesh.client(client));
        for (const [i, path] of paths.entries())
          socket.write(
            `GET ${path} HTTP/1.1\r\nHost: shop\r\nx-kuma-tags: &kuma.io/service=${tags}&\r\n${i + 1 === paths.length ? 'Connection: close\r\n' : ''}\r\n`,
          );
        socket.resume();
        await gone(socket);
      };
      await ask('frontend', ['/orders/1', '/orders/2']);
      await ask('frontend', ['/cart', '/cart', '/cart'], 'limited');
      await ask('batch', ['/orders/3']);
      await until('the requests have ended', () => seen.length === 6);
      t.same(seen.toSorted(), [200, 200, 200, 200, 403, 423]);
      other(zone, `${dir}/open`, 'kind: MeshService, name: frontend', 'kind: Mesh');
      other(zone, `${dir}/closed`, 'kind: MeshService, name: frontend', 'kind: MeshService, name: nobody');
      other(zone, `${dir}/tight`, 'requests: 2', 'requests: 1');
      other(zone, `${dir}/wide`, 'requests: 2', 'requests: 9');
      other(
        zone,
        `${dir}/teapot`,
        'type: RateLimit',
        'type: FaultInjection\nname: teapot\nmesh: default\nsources: [{ match: { kuma.io/service: frontend } }]\ndestinations: [{ match: { kuma.io/service: shop, kuma.io/protocol: http } }]\nconf: { abort: { httpStatus: 418, percentage: 100 } }\n---\ntype: RateLimit',
      );
      other(zone, `${dir}/bytes`, ', kuma.io/protocol: http', '');
      const admin = ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`, '-o', 'json'];
      const live = await runCommand('simulate', '--resources', `${dir}/open`, ...admin);
      t.match(JSON.parse(live.out), {
        requests: {
          requests: 2,
          changes: [{ kind: 'newly-allowed', status: { before: 403, after: null } }],
        },
      });

      const same = await runCommand('simulate', '--resources', zone.folder, '--decisions', file, '-o', 'json');
      t.equal(same.code, 0, same.out);
      t.match(JSON.parse(same.out), {
        changes: [],
        requests: { requests: 6, replayed: 6, changes: [], skipped: [], headersUnknown: 0 },
      });
    }
    const over = async (folder: string): Promise<readonly object[]> => {
      const { code, out } = await runCommand('simulate', '--resources', `${dir}/${folder}`, '--decisions', file, '-o', 'json');
      t.equal(code, 3, folder);
      const { changes } = (JSON.parse(out) as { readonly requests: RequestSimulation }).requests;
      return changes.map(({ kind, client, method, path, status, requests, of }) => ({
        is: `${kind} ${client[0]?.replace('spiffe://default/', '')} ${method} ${path} ${status.before} ${status.after}`,
        requests,
        of,
      }));
    };
    t.same(await over('open'), [{ is: 'newly-allowed batch GET /orders/{id} 403 null', requests: 1, of: 1 }]);
    t.same(await over('closed'), [
      { is: 'newly-denied frontend GET /orders/{id} null 403', requests: 2, of: 2 },
      { is: 'newly-denied frontend GET /cart null 403', requests: 2, of: 3 },
      { is: 'refused-otherwise frontend GET /cart 423 403', requests: 1, of: 3 },
    ]);
    t.same(await over('tight'), [{ is: 'newly-limited frontend GET /cart null 423', requests: 1, of: 3 }]);
    t.same(await over('wide'), [{ is: 'no-longer-limited frontend GET /cart 423 null', requests: 1, of: 3 }]);
    t.same(await over('teapot'), [{ is: 'newly-faulted frontend GET /orders/{id} null 418', requests: 2, of: 2 }]);
    const bytes = await over('bytes');
    t.ok(
      bytes.some((each) => JSON.stringify(each).includes('not-looked-at frontend GET /orders/{id} null null')),
      JSON.stringify(bytes),
    );

    const from = ['--decisions', file];
    const text = await runCommand('simulate', '--resources', `${dir}/open`, ...from);
    t.match(
      text.out,
      /\n1 of 6 requests is answered otherwise\n\nNEWLY ALLOWED: 1 path, 1 request\n {2}GET \/orders\/\{id\} of shop\{mesh=default\} from spiffe:\/\/default\/batch: was denied \(403\), is allowed: is let in by MeshTrafficPermission default\/shop \(.*zone\.yaml:\d+\); 1 of 1 request, e\.g\. [\d.]+\n/,
    );
    writeFileSync(
      `${dir}/expect.yaml`,
      "- { sni: 'shop{mesh=default}', outcome: over-limit, change: newly-limited, method: GET, path: /cart }\n",
    );
    const expect = ['--expect', `${dir}/expect.yaml`];
    t.match(await runCommand('simulate', '--resources', `${dir}/tight`, ...from, ...expect), {
      code: 0,
      out: /expected: 1 change\n {2}GET \/cart/,
    });
    t.match(await runCommand('simulate', '--resources', `${dir}/open`, ...from, ...expect), {
      code: 3,
      out: /expected, and does not happen:\n {2}GET \/cart of shop\{mesh=default\}: over-limit\n/,
    });
  });

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
    out: /1 line cannot be read as a session or a request\nskipped: 1 line of another version\n$/,
  });
  t.match(await runCommand(...over, `${dir}/torn.ndjson`), { code: 66, err: /torn\.ndjson: there is no recorded session in it/ });
  t.match(await runCommand(...over, `${dir}/later.ndjson`), {
    code: 66,
    err: /no recorded session in it that can be read: 2 lines of another version/,
  });
  t.match(await runCommand(...over, `${dir}/empty.ndjson`), { code: 0, out: /^none of 0 sessions/ });
  t.match(await runCommand(...over, `${dir}/missing`), { code: 66, err: /missing: there is no such file \(ENOENT\)/ });
});

t.test('a simulation that is not possible gets an error that lists what is', async (t) => {
  const dir = t.testdir({
    resources: { 'bad.yaml': 'type: Mesh\nname: "a b"\n' },
    'x.ndjson': '',
    'expect.yaml': '- { sni: x }\n',
    'broken.yaml': '{',
  });
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[], 64, /needs --resources DIR/],
    [['--resources', 'x'], 64, /needs --decisions FILE of recorded sessions, or --admin URL/],
    [['--resources', 'x', '--decisions', 'y', '--admin', 'http://127.0.0.1:1'], 64, /give only one of --decisions and --admin/],
    [['--resources', 'x', '--admin', 'ftp://127.0.0.1:1'], 64, /allowed is http:\/\/HOST:PORT/],
    [['--resources', 'x', '--decisions', 'y', 'z'], 64, /takes no arguments/],
    [['--resources', `${dir}/resources`, '--decisions', `${dir}/x.ndjson`], 78, /bad\.yaml:2/],
    [
      ['--resources', `${dir}/resources`, '--decisions', 'x', '--expect', `${dir}/expect.yaml`],
      64,
      /entry 1: outcome is missing/,
    ],
    [['--resources', `${dir}/resources`, '--decisions', 'x', '--expect', `${dir}/broken.yaml`], 64, /broken\.yaml:1/],
    [
      ['--resources', `${dir}/resources`, '--decisions', 'x', '--expect', `${dir}/none`],
      66,
      /none: there is no such file \(ENOENT\)/,
    ],
  ];
  for (const [args, code, err] of cases) t.match(await runCommand('simulate', ...args), { code, err }, args.join(' '));
});
