import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { migrationText } from '../../src/explain/print-migration.ts';
import { compile } from '../../src/resources/compile.ts';
import { LIVE } from '../data.ts';
import { ca, linesOf, snapshotOf } from '../resources/fixtures/compiling.ts';
import { authorityYaml } from '../resources/fixtures/scoped.ts';
import { runCommand } from './running.ts';

const ZONE = `type: Mesh
name: default
mtls: { enabledBackend: ca-1, backends: [{ name: ca-1, type: builtin }] }
routing: { zoneEgress: true }
---
type: ZoneEgress
name: egress
zone: zone-1
networking: { address: 10.0.0.1, port: 10002 }
---
type: MeshExternalService
mesh: default
name: ledger
spec: { match: { type: HostnameGenerator, port: 9000, protocol: tcp }, endpoints: [{ address: 10.0.0.9, port: 80 }] }
`;
const PARTNER = `---
type: ExternalService
mesh: default
name: partner
tags: { kuma.io/service: partner, kuma.io/protocol: http }
networking: { address: "api.partner.test:443", tls: { enabled: true, caCert: { inlineString: secret text } } }
`;
const permission = (sources: string): string => `---
type: TrafficPermission
mesh: default
name: p
sources: [${sources}]
destinations: [{ match: { kuma.io/service: partner } }]
`;
const FRONTEND = '{ match: { kuma.io/service: frontend } }';
const ID = 'spiffe://default.zone-1.mesh.local/workload/frontend';

function folder(dir: string, text: string): string {
  mkdirSync(dir);
  writeFileSync(`${dir}/zone.yaml`, text);
  return dir;
}

t.test('it keeps the access of today, and exits with 0', async (t) => {
  const dir = folder(`${t.testdir({})}/zone`, ZONE + PARTNER + permission(FRONTEND));
  const { code, out, err } = await runCommand('migrate', dir);
  t.equal(err, '');
  t.equal(code, 0);
  t.match(out, /ExternalService partner: partner\{mesh=default\} -> sni\.extsvc\.default\.partner\.443/);
  t.match(out, /By hand: make the Secret partner-ca of mesh default from networking\.tls\.caCert at .*zone\.yaml:20/);
  t.notMatch(out, 'secret text');
  t.match(out, /caCert:\n +secret: partner-ca\n/, 'in the form of 2.14, which has to be migrated first');
  t.match(out, /after the upgrade to 3\.0 write caCert of MeshExternalService partner as \{ type: Secret, secretRef/);
  t.match(out, /# {3}meshes:\n# {5}- \{ name: default, egress: \{ enabled: true \} \}\n/, 'the values of the chart');
  t.match(out, /Step 6[^]*the ExternalServices of partner in mesh default/);
  t.notMatch(out, /gains access|loses access|no successor/);
  const order = ['MeshIdentity', 'MeshExternalService', 'MeshTrafficPermission', 'Dataplane'].map((kind) =>
    out.indexOf(`type: ${kind}\n`),
  );
  t.same(
    order,
    order.toSorted((a, b) => a - b),
  );
  t.ok(order.every((at) => at > 0));
  t.match(out, /state: NotReady/);
  t.same(readdirSync(dir), ['zone.yaml'], 'nothing is written');
});

t.test('what it prints is served as it says', async (t) => {
  const dir = folder(
    `${t.testdir({})}/zone`,
    ZONE + PARTNER.replace('inlineString: secret text', 'secret: ca') + permission(FRONTEND),
  );
  const { out } = await runCommand('migrate', dir);
  const secret = `type: Secret\nmesh: default\nname: ca\ndata: ${Buffer.from(ca.cert).toString('base64')}\n`;
  const files = [out, 'type: Mesh\nname: default\n', ZONE.split('---\n')[2] ?? '', secret, authorityYaml('default', ca)];
  const compiled = compile(
    files.map((text, i) => ({ path: `${i}.yaml`, text })),
    { zone: 'zone-1' },
  );
  t.same(linesOf(compiled, 'error'), []);
  const { routes } = snapshotOf(compiled);
  t.same(Object.fromEntries([...routes].map(([name, route]) => [name, route.kind === 'terminate' && route.permission.kind])), {
    'sni.extsvc.default.ledger.9000': 'allow-all',
    'sni.extsvc.default.partner.443': 'rules',
  });
  t.match(routes.get('sni.extsvc.default.partner.443' as never), {
    permission: { rules: [{ action: 'allow', principal: { kind: 'uri-list', match: 'exact', value: ID } }] },
  });
});

t.test('who would lose access, and what has no successor, is said and exits with 3', async (t) => {
  const dir = t.testdir({});
  const tagged = '{ match: { kuma.io/service: backend, version: v1 } }';
  const some = await runCommand('migrate', folder(`${dir}/tags`, ZONE + PARTNER + permission(`${FRONTEND}, ${tagged}`)));
  t.equal(some.code, 3);
  t.match(some.out, /loses access: spiffe:\/\/default\.zone-1\.mesh\.local\/workload\/backend\n/);
  const kafka = await runCommand('migrate', folder(`${dir}/kafka`, ZONE + PARTNER.replace('protocol: http', 'protocol: kafka')));
  t.match(kafka, {
    code: 3,
    out: /ExternalService partner: no successor: a MeshExternalService does not know the protocol kafka/,
  });
  const json = await runCommand('migrate', '-o', 'json', `${dir}/tags`);
  t.match(JSON.parse(json.out), {
    meshes: [{ mesh: 'default', trustDomain: 'default.zone-1.mesh.local', dataplane: { type: 'Dataplane' } }],
    access: [
      {
        mesh: 'default',
        name: 'partner',
        change: { newly: [], noLonger: ['spiffe://default.zone-1.mesh.local/workload/backend'] },
      },
    ],
  });
});

t.test('a Deny and a mesh that forbids its MeshExternalServices let nobody in afterwards either', async (t) => {
  const dir = t.testdir({});
  const forbidding = ZONE.replace('zoneEgress: true', 'zoneEgress: true, defaultForbidMeshExternalServiceAccess: true');
  const { code, out } = await runCommand('migrate', folder(`${dir}/forbid`, forbidding));
  t.equal(code, 0);
  t.notMatch(out, 'type: MeshTrafficPermission');
  const policy = `---
type: MeshTrafficPermission
mesh: default
name: m
spec:
  targetRef: { kind: Mesh }
  from:
    - { targetRef: { kind: Mesh }, default: { action: Allow } }
    - { targetRef: { kind: MeshSubset, tags: { version: v1 } }, default: { action: Deny } }
`;
  const denied = await runCommand('migrate', folder(`${dir}/deny`, ZONE + PARTNER + policy));
  t.match(denied.out, /ExternalService partner[^\n]*\n# {5}loses access: any other client/, 'what cannot be kept is not opened');
  t.notMatch(denied.out, /gains access/);
});

t.test('the recorded migration: all that its control plane needed was a permission', async (t) => {
  const dir = t.testdir({});
  cpSync(fileURLToPath(new URL('mesh-scoped/client/migration/resources.yaml', LIVE)), `${dir}/resources.yaml`);
  const { code, out, err } = await runCommand('migrate', dir, '--zone', 'zone-1');
  t.equal(err, '');
  t.equal(code, 0);
  t.match(out, /m-tcp: ac775f3e62d34ed67\.m-tcp\.9000\.mesh-both\.mes -> sni\.extsvc\.mesh-both\.m-tcp\.9000/);
  t.same(
    [...out.matchAll(/^type: (\w+)$/gm)].map(([, kind]) => kind),
    ['MeshTrafficPermission'],
    'the identity and the Dataplane are there already',
  );
  t.match(out, /By hand: apply the steps before step 4 at once: Dataplane egress-new is Ready/);
  t.match(out, /generate dataplane-token --mesh mesh-both --workload egress-new /, 'a token for the Dataplane that is there');
});

t.test('a certificate in the form of 2.x is said, and one in that of 3.0 is not', async (t) => {
  const dir = t.testdir({});
  const tls = (caCert: string): string =>
    ZONE.replace('port: 80 }] }', `port: 80 }], tls: { enabled: true, verification: { caCert: ${caCert} } } }`);
  const text = JSON.stringify(ca.cert);
  const old = await runCommand('migrate', folder(`${dir}/old`, tls(`{ inlineString: ${text} }`)));
  const form = '{ type: InsecureInline, insecureInline: { value } }';
  t.match(old, { code: 0, err: '' });
  t.match(
    old.out,
    `write spec.tls.verification.caCert of MeshExternalService ledger (${dir}/old/zone.yaml:14) as ${form}, for 3.0`,
  );
  const now = await runCommand(
    'migrate',
    folder(`${dir}/new`, tls(`{ type: InsecureInline, insecureInline: { value: ${text} } }`)),
  );
  t.match(now, { code: 0, err: '' });
  t.notMatch(now.out, 'By hand');
});

t.test('what cannot be migrated is said', async (t) => {
  const dir = t.testdir({});
  t.match(await runCommand('migrate'), { code: 64, err: /needs a folder of resources/ });
  t.match(await runCommand('migrate', 'a', 'b'), { code: 64, err: /takes one folder/ });
  t.match(await runCommand('migrate', `${dir}/none`), { code: 66 });
  t.match(await runCommand('migrate', folder(`${dir}/empty`, 'type: Mesh\nname: m\n')), {
    code: 78,
    err: /no ZoneEgress to migrate/,
  });
  const bad = await runCommand('migrate', folder(`${dir}/bad`, `${ZONE}---\ntype: Mesh\nname: "a b"\n`));
  t.match(bad, { code: 78, out: '', err: /zone\.yaml:\d+:\d+ name/ });
});

t.test('a name with a line feed stays in the comment', async (t) => {
  const destination = { name: 'a\nkind: Mesh', before: 'a', after: '', from: 'ExternalService', lost: 'b\u2028c' } as const;
  const resources = { identity: null, services: [], permission: null, dataplane: null };
  const mesh = { mesh: 'default', trustDomain: 'd', ...resources, workloads: [], isComplete: true, tasks: [] };
  const plan = { meshes: [{ ...mesh, destinations: [destination] }] };
  const text = migrationText(plan, [], { zone: 'east', toYaml: String });
  t.match(text, /\n# {3}ExternalService a\\x0akind: Mesh: no successor: b\\u\{2028\}c\n/);
  t.same(
    text.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
    [],
  );
});
