import { get } from 'node:http';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { until } from './until.ts';
import { ask, CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const PARTNER = encodeHashSni({ kind: 'mes', name: 'partner', mesh: 'default', port: 443 });
const DANGLING = `type: MeshExternalService
mesh: default
name: partner
spec:
  match: { type: HostnameGenerator, port: 443, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: 9 }]
  tls: { enabled: true, verification: { caCert: { secret: partner-ca } } }
`;

for (const concurrency of CONCURRENCIES) {
  t.test(
    `with ${concurrency} data side${concurrency === 1 ? '' : 's'}: a Secret that is not there refuses one destination, at the start and later`,
    async (t) => {
      let tcp = 0;
      await using zone = await startZone(t, {
        concurrency,
        watch: true,
        resources: (ports) => {
          tcp = ports.tcp;
          return `${plain('archive', ports.tcp)}---\n${DANGLING}`;
        },
      });
      await works(zone, 'archive');
      await refused(zone, /^partner: spec\.tls\.verification\.caCert: no Secret "partner-ca"/);
      t.match(zone.egress.problems(), [
        { severity: 'error', field: 'spec.tls.verification.caCert', refuses: 'MeshExternalService default/partner' },
      ]);
      t.match(await page(zone, '/config_errors'), /no Secret \\"partner-ca\\"/);
      t.match(await zone.egress.metrics(), /^zone_egress_broken_routes 1$/m);
      t.match(await zone.egress.metrics(), /^zone_egress_config_problems\{severity="error"\} 1$/m);

      // Another team's good change applies.
      await changed(zone, () => zone.write('team-c.yaml', plain('ledger', tcp)));
      await works(zone, 'ledger');

      // The Secret arrives and is unusable; the service is removed: each changes only that
      // destination.
      await changed(zone, () => zone.write('secret.yaml', 'type: Secret\nmesh: default\nname: partner-ca\ndata: aGVsbG8=\n'));
      await refused(zone, /caCert: holds no certificate in PEM form/);
      await works(zone, 'archive');
      await changed(zone, () => rmSync(join(zone.folder, 'secret.yaml')));

      // A file that cannot be read at all keeps the live configuration.
      const before = zone.egress.snapshot().version;
      zone.write('syntax.yaml', 'a: [\n');
      await until('the bad file is told', () => zone.egress.problems().some(({ file }) => file.endsWith('syntax.yaml')));
      t.equal(zone.egress.snapshot().version, before);
      await works(zone, 'ledger');
    },
  );
}

function plain(name: string, port: number): string {
  return `type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name} }
networking: { address: "127.0.0.1:${port}" }
---
type: TrafficPermission
mesh: default
name: ${name}
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: ${name} } }]
`;
}

async function changed(zone: Zone, change: () => void): Promise<void> {
  const { version } = zone.egress.snapshot();
  change();
  await until('the change is live', () => zone.egress.snapshot().version !== version);
}

async function works(zone: Zone, service: string): Promise<void> {
  const socket = await zone.connect(`${service}{mesh=default}`, zone.mesh.client('frontend'));
  if ((await ask(socket, 'ping')) !== 'ping') throw new Error(`${service} does not answer`);
  socket.end();
  await gone(socket);
}

async function refused(zone: Zone, why: RegExp): Promise<void> {
  const before = zone.records.length;
  await gone(await zone.connect(PARTNER, zone.mesh.client('frontend')));
  await until('a record', () => zone.records.slice(before).some(({ sni }) => sni === PARTNER));
  const record = zone.records.slice(before).find(({ sni }) => sni === PARTNER);
  if (record?.reason !== 'misconfigured' || !why.test(record.detail)) throw new Error(`${record?.reason}: ${record?.detail}`);
}

function page(zone: Zone, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port: zone.egress.adminPort, path }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => (text += part));
      answer.on('end', () => resolve(text));
    }).on('error', reject);
  });
}
