// The page of metrics of a running egress: series by destination and by endpoint, the time of
// look-ups and handshakes, OpenMetrics for readers that accept it, and the names of several
// Dataplanes in one process.
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { startScopedZone } from './scoped-zone.ts';
import { until } from './until.ts';
import { ask, gone, startZone } from './zone.ts';

interface Read {
  readonly type: string;
  readonly body: string;
}

function read(port: number, accept: string): Promise<Read> {
  const { promise, resolve, reject } = Promise.withResolvers<Read>();
  const onResponse = (response: IncomingMessage): void => {
    text(response).then((body) => resolve({ type: response.headers['content-type'] ?? '', body }), reject);
  };
  request({ host: '127.0.0.1', port, path: '/stats/prometheus', agent: false, headers: { accept } }, onResponse)
    .on('error', reject)
    .end();
  return promise;
}

/** Without examples and comments, in an order of their own. */
function namesIn(body: string): readonly string[] {
  const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => line.slice(0, line.lastIndexOf('} ') + 1) || line.slice(0, line.indexOf(' '))).sort();
}

const OPEN = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';

const NAMED = (port: number): string => `type: ExternalService
mesh: default
name: named
tags: { kuma.io/service: named, kuma.io/protocol: tcp }
networking: { address: 'named.partner.test:${port}' }
---
type: ExternalService
mesh: default
name: missing
tags: { kuma.io/service: missing, kuma.io/protocol: tcp }
networking: { address: 'missing.partner.test:${port}' }
---
type: TrafficPermission
mesh: default
name: frontend-out
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: named } }, { match: { kuma.io/service: missing } }]
`;

t.test('sessions, look-ups and handshakes count where they belong, and OpenMetrics has their ids', async (t) => {
  await using zone = await startZone(t, {
    resources: ({ tcp }) => NAMED(tcp),
    openMetrics: true,
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    lookup: (name) => (name === 'named.partner.test' ? Promise.resolve(['127.0.0.1']) : Promise.reject(new Error('ENOTFOUND'))),
  });
  const client = zone.mesh.client('frontend');
  const served = await zone.connect('named{mesh=default}', client);
  t.equal(await ask(served, 'x'), 'x');
  served.end();
  await gone(served);
  await gone(await zone.connect('named{mesh=default}', zone.mesh.client('stranger')));
  await gone(await zone.connect('missing{mesh=default}', client));
  await zone.record(({ reason }) => reason === 'dns-failed');
  const done = await zone.record(({ reason, destination }) => reason === 'closed' && destination === 'named');
  await zone.record(({ reason }) => reason === 'denied');

  const plain = await read(zone.egress.adminPort, '');
  t.match(plain.type, /^text\/plain/);
  const of = 'mesh="default",destination="named"';
  for (const line of [
    `zone_egress_destination_sessions_total{${of},outcome="served"} 1`,
    `zone_egress_destination_sessions_total{${of},outcome="refused"} 1`,
    'zone_egress_destination_sessions_total{mesh="default",destination="missing",outcome="failed"} 1',
    'zone_egress_destination_refusals_total{mesh="default",destination="missing",reason="dns-failed"} 1',
    `zone_egress_destination_connect_seconds_count{${of}} 1`,
    `zone_egress_endpoint_sessions_total{${of},endpoint="127.0.0.1:${zone.ports.tcp}",result="connected"} 1`,
    'zone_egress_handshake_seconds_count{kind="full"} 3',
  ])
    t.ok(plain.body.includes(`${line}\n`), line);
  t.match(plain.body, /^zone_egress_dns_seconds_count\{result="answered"\} [1-9]/m);
  t.match(plain.body, /^zone_egress_dns_seconds_count\{result="failed"\} [1-9]/m);
  t.notMatch(plain.body, / # \{/);
  t.notMatch(plain.body, /^zone_egress_control_plane_connected /m, '0 would be a control plane that is away');

  const open = await read(zone.egress.adminPort, OPEN);
  t.match(open.type, /^application\/openmetrics-text; version=1\.0\.0/);
  t.ok(open.body.endsWith('\n# EOF\n'));
  t.match(open.body, new RegExp(`_connect_seconds_bucket\\{${of},le="[^"]+"\\} 1 # \\{id="${done.id}"\\} [0-9.e-]+ [0-9.]+\\n`));
  t.notMatch(open.body, /^# TYPE envoy_\w+ counter$/m, 'a counter of Envoy keeps its name');
  t.notMatch(open.body, /\n\n/);
  t.same(namesIn(open.body.replaceAll(/ # \{.*/g, '')), namesIn(plain.body), 'no series has another name');
});

t.test('each of several Dataplanes in one process has its name on its sessions', async (t) => {
  await using zone = await startScopedZone(t, { meshes: ['mesh-a', 'mesh-b'] });
  for (const mesh of zone.meshes) {
    await zone.connect(mesh.sni, mesh.client('frontend')).then((socket) => {
      socket.end();
      return gone(socket);
    });
  }
  await until('both are recorded', () => zone.records.length === 2);
  const metrics = await zone.egress.metrics();
  for (const { name } of zone.meshes)
    t.match(
      metrics,
      new RegExp(`zone_egress_sessions_total\\{mode="terminate",mesh="${name}",reason="closed",dataplane="egress"\\} 1`),
    );
});

t.test('one alone has no such label', async (t) => {
  await using zone = await startScopedZone(t, { meshes: ['mesh-a'] });
  const [mesh] = zone.meshes;
  await gone(await zone.connect(mesh!.sni, mesh!.client('other')));
  await until('it is recorded', () => zone.records.length === 1);
  const metrics = await zone.egress.metrics();
  t.match(metrics, 'zone_egress_sessions_total{mode="terminate",mesh="mesh-a",reason="denied"} 1');
  t.notMatch(metrics, 'dataplane=');
});
