// Asks a running egress about a path: what it knows besides its configuration counts too, and
// `--probe` dials.
import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import type { Trace } from '../../src/explain/trace.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { runCommand } from '../cli/running.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { freePort } from '../free-ports.ts';
import { until } from './until.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

/** An authority that has issued no certificate here. */
const nobody = (await createTestMesh('nobody', { keyType: 'ec' })).ca.cert;

const FRONTEND = 'spiffe://default/frontend';

function external(name: string, address: string, more = ''): string {
  return `---
type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }
networking: { address: '${address}'${more} }
`;
}

const PERMISSION = `type: TrafficPermission
mesh: default
name: all
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;

function tlsOf(ca: string): string {
  return `, tls: { enabled: true, serverName: api.partner.test, caCert: { inlineString: ${JSON.stringify(ca)} } }`;
}

const HELD = encodeHashSni({ kind: 'mes', name: 'held', mesh: 'default', port: 9_000 });

function sniOf(name: string): string {
  return name === 'held' ? HELD : `${name}{mesh=default}`;
}

/** Makes one session and waits for any end. */
async function session(zone: Zone, name: string): Promise<void> {
  const before = zone.records.length;
  const socket = await zone.connect(sniOf(name), zone.mesh.client('frontend'));
  await gone(socket);
  await until('the record', () => zone.records.length > before);
}

interface Asked {
  readonly code: number;
  readonly text: string;
  readonly trace: Trace;
}

async function asked(zone: Zone, name: string, ...more: readonly string[]): Promise<Asked> {
  const args = ['--sni', sniOf(name), '--from', FRONTEND, '--admin', `http://127.0.0.1:${zone.egress.adminPort}`, ...more];
  const [text, json] = [await runCommand('explain', ...args), await runCommand('explain', ...args, '-o', 'json')];
  return { code: text.code, text: text.out, trace: JSON.parse(json.out) as Trace };
}

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test(
      'a path whose sessions end at the endpoint is not called allowed, and --probe says what dialling gives now',
      async (t) => {
        const dead = await freePort();
        await using zone = await startZone(t, {
          concurrency,
          resources: ({ tcp }) =>
            [
              PERMISSION,
              external('plain', `127.0.0.1:${dead}`),
              external('secure', `127.0.0.1:${dead}`, tlsOf(nobody)),
              external('fine', `127.0.0.1:${tcp}`),
            ].join(''),
        });
        for (const name of ['plain', 'secure']) {
          t.match(await asked(zone, name), {
            code: 0,
            text: /^allowed\n[^]*no endpoint was dialled for this answer; --probe dials them now/,
          });
          await session(zone, name);
          await session(zone, name);
          const record = zone.records.at(-1)!;
          t.match(zone.egress.explain({ id: record.id }), { outcome: 'refused', reason: 'connect-refused', endsAt: 'endpoint' });
          const { code, text, trace } = await asked(zone, name);
          t.equal(code, 3);
          const at = new Date(record.startedAt + record.totalMs).toISOString();
          t.match(trace, {
            outcome: 'refused',
            reason: 'connect-refused',
            endsAt: 'endpoint',
            recent: [{ id: record.id, reason: 'connect-refused', endpoint: `127.0.0.1:${dead}`, endedAt: at }, {}],
          });
          t.match(
            text,
            `the last 2 sessions of this path ended with connect-refused, the newest at ${at}: connect 127.0.0.1:${dead}: ECONNREFUSED`,
          );
          t.notMatch(text, /^allowed/m);
          const probed = await asked(zone, name, '--probe');
          t.equal(probed.code, 3);
          t.match(probed.trace, {
            reason: 'connect-refused',
            endsAt: 'endpoint',
            probes: [{ endpoint: `127.0.0.1:${dead}`, outcome: 'connect-refused' }],
          });
          t.match(probed.text, new RegExp(`dialled 127.0.0.1:${dead} from the egress: connect-refused: .*ECONNREFUSED`));
        }
        const fine = await asked(zone, 'fine', '--probe');
        t.match(fine, { code: 0, trace: { outcome: 'allowed', probes: [{ outcome: 'connected' }] } });
        t.match(fine.text, /^allowed\n/);
        t.notMatch(fine.text, /--probe/);
      },
    );

    t.test('an endpoint that is back passes again with the first session, or with --probe before it', async (t) => {
      const port = await freePort();
      await using zone = await startZone(t, {
        concurrency,
        resources: () => PERMISSION + external('plain', `127.0.0.1:${port}`),
      });
      await session(zone, 'plain');
      t.equal((await asked(zone, 'plain')).code, 3);
      const again = createServer((socket) => void socket.on('error', () => undefined).pipe(socket));
      await once(again.listen(port, '127.0.0.1'), 'listening');
      try {
        const probed = await asked(zone, 'plain', '--probe');
        t.match(probed, { code: 0, text: /^allowed\n/ });
        t.match(probed.text, /the last 1 sessions? of this path: 1 connect-refused; the newest/);
        const socket = await zone.connect(sniOf('plain'), zone.mesh.client('frontend'));
        t.equal(await ask(socket, 'ping'), 'ping');
        socket.end();
        await gone(socket);
        await zone.record(({ reason }) => reason === 'closed');
        t.match(await asked(zone, 'plain'), {
          code: 0,
          text: /2 sessions of this path: 1 closed, 1 connect-refused; the newest/,
        });
      } finally {
        again.close();
        await once(again, 'close');
      }
    });

    t.test('TLS that fails ends at the step tls: seen in the last sessions, and by --probe', async (t) => {
      await using zone = await startZone(t, {
        concurrency,
        resources: ({ tls, tcp }) =>
          [
            PERMISSION,
            // The first trusts another authority, the second meets a server without TLS.
            external('distrusted', `127.0.0.1:${tls}`, tlsOf(nobody)),
            external('notls', `127.0.0.1:${tcp}`, tlsOf(nobody)),
          ].join(''),
      });
      for (const name of ['distrusted', 'notls']) {
        if (name === 'distrusted') {
          await session(zone, name);
          t.match(await asked(zone, name), { code: 3, trace: { reason: 'upstream-tls-failed', endsAt: 'tls' } });
        }
        const probed = await asked(zone, name, '--probe');
        t.match(probed, {
          code: 3,
          trace: { reason: 'upstream-tls-failed', endsAt: 'tls', probes: [{ outcome: 'upstream-tls-failed' }] },
        });
        t.match(probed.text, /^refused at tls: upstream-tls-failed\ndialled just now: /);
      }
    });

    t.test('a server of TLS 1.3 that wants a client certificate is found out by --probe', async (t) => {
      await using zone = await startZone(t, { concurrency });
      zone.write('more.yaml', PERMISSION + external('bare', `127.0.0.1:${zone.ports.tls}`, tlsOf(zone.external.ca.cert)));
      t.equal((await zone.egress.reload()).kind, 'live');
      t.match(await asked(zone, 'bare', '--probe'), {
        code: 3,
        trace: { reason: 'upstream-tls-failed', endsAt: 'tls', detail: /refused by the endpoint after the handshake/ },
      });
      t.match(await asked(zone, 'api', '--probe'), {
        code: 0,
        trace: { probes: [{ outcome: 'connected', detail: 'connected, and TLS is set up' }] },
      });
    });

    t.test('limits that are reached at this moment refuse, and are seen later among the last sessions', async (t) => {
      await using zone = await startZone(t, {
        concurrency,
        resources: ({ tcp }) =>
          [
            PERMISSION,
            `---
type: MeshExternalService
mesh: default
name: held
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: ${tcp} }]
---
type: MeshCircuitBreaker
mesh: default
name: one
spec:
  targetRef: { kind: Mesh }
  to: [{ targetRef: { kind: MeshExternalService, name: held }, default: { connectionLimits: { maxConnections: 1 } } }]
`,
            external('slow', `127.0.0.1:${tcp}`),
            `---
type: MeshRateLimit
mesh: default
name: slow
spec:
  targetRef: { kind: MeshService, name: slow }
  from: [{ targetRef: { kind: Mesh }, default: { local: { tcp: { connectionRate: { num: 1, interval: 24h } } } } }]
`,
          ].join(''),
      });
      const holder = await zone.connect(sniOf('held'), zone.mesh.client('frontend'));
      t.equal(await ask(holder, 'ping'), 'ping');
      t.match(await asked(zone, 'held'), {
        code: 3,
        trace: { reason: 'over-limit', endsAt: 'endpoint', detail: /1 connections open/ },
      });
      t.match(await asked(zone, 'held', '--probe'), {
        code: 3,
        trace: { reason: 'over-limit', notes: [/^nothing was dialled/] },
      });
      await session(zone, 'held');
      holder.end();
      await gone(holder);
      await zone.record(({ reason }) => reason === 'closed');
      await until('the place to be free', () => zone.egress.sessions() === 0);
      t.match(await asked(zone, 'held'), { code: 0, text: /1 over-limit/ });

      const one = await zone.connect(sniOf('slow'), zone.mesh.client('frontend'));
      t.equal(await ask(one, 'ping'), 'ping');
      t.match(await asked(zone, 'slow'), { code: 3, trace: { reason: 'over-limit', endsAt: 'route', detail: /rate limit/ } });
    });

    t.test('names that do not resolve and sessions that went idle are events too', async (t) => {
      await using zone = await startZone(t, {
        concurrency,
        traffic: { idleTimeoutMs: 300 },
        lookup: () => Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })),
        resources: ({ tcp }) =>
          [PERMISSION, external('gone', 'gone.partner.test:443'), external('quiet', `127.0.0.1:${tcp}`)].join(''),
      });
      await session(zone, 'gone');
      for (const more of [[], ['--probe']]) {
        const { code, trace } = await asked(zone, 'gone', ...more);
        t.equal(code, 3);
        t.match(trace, {
          reason: 'dns-failed',
          endsAt: 'endpoint',
          detail: /gone\.partner\.test/,
          recent: [{ reason: 'dns-failed' }],
        });
      }
      await session(zone, 'quiet');
      t.match(await asked(zone, 'quiet'), { code: 0, text: /1 idle-timeout; the newest, \S+, ended at \S+ with idle-timeout: / });
    });
  });
}
