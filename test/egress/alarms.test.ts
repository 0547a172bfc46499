// Alarms of a running egress: the fault is made on real sockets, and read at /alarms, in the log, in
// the metrics and by the command.
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import type { Alarm } from '../../src/model/alarm.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { runCommand } from '../cli/running.ts';
import { freePort } from '../free-ports.ts';
import { startControlledZone } from './controlled-zone.ts';
import { until } from './until.ts';
import { gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const DAY = 86_400_000;

async function alarmsAt(port: number): Promise<readonly Alarm[]> {
  const answer = await fetch(`http://127.0.0.1:${port}/alarms`, { headers: { connection: 'close' } });
  return ((await answer.json()) as { alarms: readonly Alarm[] }).alarms;
}

/** The alarms that are on, as `severity name subject`. */
async function on({ egress }: Pick<Zone, 'egress'>): Promise<readonly string[]> {
  return (await alarmsAt(egress.adminPort)).map(({ severity, name, subject }) => `${severity} ${name} ${subject}`);
}

/** Moves the clock until these alarms are on, and no others. */
async function come(zone: Pick<Zone, 'egress'>, clock: FakeClock, ...wanted: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  await until(`${wanted.join(', ')}`, async () => {
    last = await on(zone);
    if (JSON.stringify([...last].sort()) === JSON.stringify([...wanted].sort())) return true;
    clock.advance(1_000);
    return false;
  }).catch((error: unknown) => {
    throw new Error(`on are ${last.join(', ')}`, { cause: error });
  });
}

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly alarm?: string;
}

function logged(): {
  readonly lines: readonly Line[];
  readonly options: { logLevel: 'info'; logDestination: { write(line: string): void } };
} {
  const lines: Line[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Line);
  return { lines, options: { logLevel: 'info', logDestination: { write } } };
}

async function refusedOnce(zone: Zone): Promise<void> {
  const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('batch')).catch(() => null);
  if (socket !== null) await gone(socket);
}

t.test('limits, refusals, errors and a bad configuration have alarms, each once in the log, and they end', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  const { lines, options } = logged();
  await using zone = await startZone(t, { clock, ...options, traffic: { maxSessions: 5, maxSessionsPerSource: 10 } });
  t.same(await on(zone), []);
  const client = ['alarms', '--admin', `http://127.0.0.1:${zone.egress.adminPort}`];
  t.same(await runCommand(...client), { code: 0, out: 'no alarm\n', err: '' });

  // The past with which refusals are compared.
  for (let minute = 0; minute < 6; minute++) {
    clock.advance(60_000);
    await on(zone);
  }
  for (let i = 0; i < 20; i++) await refusedOnce(zone);
  await until('20 records', () => zone.records.length === 20);
  t.match(await alarmsAt(zone.egress.adminPort), [
    {
      name: 'refusals-jump',
      subject: 'default/legacy',
      says: '20 refusals in a minute, where less than one is usual; most with denied',
    },
  ]);
  const open = await Promise.all(
    Array.from({ length: 4 }, () => zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'))),
  );
  zone.egress.reportFault(new Error('boom'));
  zone.write('bad.yaml', 'type: Mesh\nname: [\n');
  t.match(await zone.egress.reload(), { kind: 'rejected' });
  await come(
    zone,
    clock,
    'warning limit-near sessions',
    'warning refusals-jump default/legacy',
    'warning internal-errors egress',
    'warning configuration-rejected egress',
  );
  t.match(await zone.egress.metrics(), /^zone_egress_alarm\{name="limit-near",severity="warning"\} 1$/m);
  t.match(await zone.egress.metrics(), /^zone_egress_alarm\{name="limit-near",severity="critical"\} 0$/m);
  const { code, out } = await runCommand(...client);
  t.equal(code, 3);
  t.match(
    out,
    /^warning configuration-rejected: egress: the last load has 1 error: .*bad\.yaml:.*\n {2}since 20.*\n {2}to do: correct/m,
  );
  t.match(JSON.parse((await runCommand(...client, '-o', 'json')).out), { alarms: [{ name: 'refusals-jump' }, {}, {}, {}] });

  zone.write('bad.yaml', '');
  t.match(await zone.egress.reload(), { kind: 'live' });
  for (const socket of open) socket.destroy();
  await come(zone, clock);
  for (const msg of ['an alarm begins', 'an alarm ends'])
    t.same(
      lines
        .filter((line) => line.msg === msg)
        .map(({ alarm }) => alarm)
        .sort(),
      ['configuration-rejected', 'internal-errors', 'limit-near', 'refusals-jump'],
      msg,
    );
  t.match(await zone.egress.metrics(), /^zone_egress_alarm\{name="limit-near",severity="warning"\} 0$/m);
});

/** Services with one trouble each. */
function troubled(dead: number): string {
  const external = (name: string, address: string): string =>
    `type: ExternalService\nmesh: default\nname: ${name}\ntags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }\nnetworking: { address: '${address}' }\n`;
  return `${external('named', 'named.partner.test:443')}---
${external('guarded', '127.0.0.1:9')}---
type: MeshTrafficPermission
mesh: default
name: guard
spec:
  targetRef: { kind: MeshService, name: guarded }
  from: [{ targetRef: { kind: Mesh }, default: { action: Allow, unless: [x] } }]
---
type: MeshExternalService
mesh: default
name: partner
spec:
  match: { type: HostnameGenerator, port: 443, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: 9 }]
  tls: { enabled: true, verification: { caCert: { secret: partner-ca } } }
---
type: MeshExternalService
mesh: default
name: checked
spec:
  match: { type: HostnameGenerator, port: 80, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: ${dead} }]
---
type: MeshHealthCheck
mesh: default
name: checked
spec:
  to:
  - targetRef: { kind: MeshExternalService, name: checked }
    default: { interval: 1s, noTrafficInterval: 1s, timeout: 60s, unhealthyThreshold: 1, healthyThreshold: 1, tcp: {} }
`;
}

t.test('destinations that serve no client have alarms', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  const dead = await freePort();
  let resolves = false;
  await using zone = await startZone(t, {
    clock,
    lookup: async () => {
      if (resolves) return ['192.0.2.1'];
      throw new Error('no such name');
    },
    resources: () => troubled(dead),
  });
  const broken = ['critical destination-broken default/partner', 'critical policy-unsupported default/guarded'];
  const errors = 'warning configuration-errors egress';
  await come(
    zone,
    clock,
    ...broken,
    errors,
    'critical no-endpoint default/named',
    'critical endpoints-unhealthy default/checked',
  );
  const alarms = await alarmsAt(zone.egress.adminPort);
  const says = (name: string): string => alarms.find((alarm) => alarm.name === name)?.says ?? '';
  t.match(says('no-endpoint'), /resolve named\.partner\.test: .*no such name/);
  t.equal(says('endpoints-unhealthy'), 'its one endpoint is unhealthy or ejected');
  t.match(says('destination-broken'), /no Secret "partner-ca"/);
  t.match(says('policy-unsupported'), /MeshTrafficPermission default\/guard: it has fields that are not known/);
  resolves = true;
  await come(zone, clock, ...broken, errors, 'critical endpoints-unhealthy default/checked');
});

t.test('certificates that end have alarms: CAs, those shown to services, and that of the egress', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  await using zone = await startZone(t, { clock });
  t.same(await on(zone), []);
  const end = Math.max(...[zone.mesh, zone.external].map(({ ca }) => Date.parse(new X509Certificate(ca.cert).validTo)));
  clock.jump(end - clock.wall() + DAY);
  const ofDefault = (await on(zone)).filter((alarm) => alarm.includes('default'));
  t.same([...ofDefault].sort(), [
    'critical certificate-expires default',
    'critical client-trust-expires default',
    'critical service-certificate-expires default/api',
    'critical service-trust-expires default/api',
  ]);
});

t.test('a control plane that goes away, its refused resources and a token that ends have alarms', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  await using zone = await startControlledZone(t, { egress: { clock, admin: { port: 0 } } });
  t.same(await on(zone), []);
  const mend = zone.controlPlane.nackLoop('cluster');
  await come(zone, clock, 'warning resources-refused cluster');
  mend();
  await come(zone, clock);
  await zone.controlPlane.stop();
  await come(zone, clock, 'warning control-plane-away egress-1');
  const [away] = await alarmsAt(zone.egress.adminPort);
  t.match(away?.says, /the ZoneEgress serves .* from its last configuration/);
  clock.jump(29.9 * DAY);
  clock.advance(60_000);
  const later = await on(zone);
  t.ok(later.includes('critical token-expires egress-1'), later.join(', '));
});
