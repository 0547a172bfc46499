import fc from 'fast-check';
import t from 'tap';
import { compile } from '../../src/resources/compile.ts';
import { ALLOW_ALL, EGRESS, external, MESH, snapshotOf, withIdentities } from './fixtures/compiling.ts';

const INGRESS = (name: string, address: string): string =>
  `type: ZoneIngress\nname: ${name}\nzone: zone-2\nnetworking: {port: 1, advertisedAddress: ${address}, advertisedPort: 1}\navailableServices: [{tags: {kuma.io/service: backend}, instances: 2, mesh: default}]\n`;
const POLICY = (name: string, action: string): string =>
  `type: MeshTrafficPermission\nmesh: default\nname: ${name}\nspec: {from: [{targetRef: {kind: Mesh}, default: {action: ${action}}}]}\n`;

const DOCUMENTS: readonly string[] = [
  EGRESS,
  MESH,
  MESH.replace('name: default', 'name: other'),
  ALLOW_ALL,
  external('twin-a').replace('service: twin-a', 'service: twin'),
  external('twin-b', 'networking: {address: "192.0.2.1:1"}').replace('service: twin-b', 'service: twin'),
  external('es'),
  external('upper').replace('service: upper', 'service: ES'),
  INGRESS('a', '192.0.2.1'),
  INGRESS('b', '192.0.2.2'),
  INGRESS('c', '192.0.2.2'),
  POLICY('a', 'Deny'),
  POLICY('b', 'Allow'),
  'type: MeshExternalService\nmesh: other\nname: mes\nspec: {match: {port: 80}, endpoints: [{address: ext.test, port: 80}]}\n',
];

t.test('neither the order of documents nor their cut into files changes the snapshot', async (t) => {
  const whole = snapshotOf(compile([{ path: 'f', text: DOCUMENTS.join('---\n') }], withIdentities));
  t.match(whole.version, /^[0-9a-f]{16}$/);
  t.ok(whole.routes.size > 3);
  fc.assert(
    fc.property(
      fc.shuffledSubarray([...DOCUMENTS], { minLength: DOCUMENTS.length }),
      fc.array(fc.integer({ min: 0, max: 2 }), { minLength: DOCUMENTS.length, maxLength: DOCUMENTS.length }),
      (documents, cut) => {
        const files = [0, 1, 2].map((file) => ({
          path: `f${file}`,
          text: documents.filter((_, i) => cut[i] === file).join('---\n'),
        }));
        const snapshot = snapshotOf(compile(files, withIdentities));
        return snapshot.version === whole.version && snapshot.routes.size === whole.routes.size;
      },
    ),
    { numRuns: 40 },
  );
});

t.test('every change of content changes the version, comments and places do not', async (t) => {
  const version = (text: string): string => snapshotOf(compile([{ path: 'f', text }], withIdentities)).version;
  const text = DOCUMENTS.join('---\n');
  t.equal(version(`# a comment\n\n${text}`), version(text));
  const changes = [
    ['zone: zone-1', 'zone: zone-9'],
    ['ext.test:443', 'ext.test:444'],
    ['instances: 2', 'instances: 3'],
    ['action: Deny', 'action: AllowWithShadowDeny'],
    ['port: 80}, endpoints', 'port: 81}, endpoints'],
  ] as const;
  const versions = changes.map(([from, to]) => version(text.replace(from, to)));
  t.equal(new Set([version(text), ...versions]).size, changes.length + 1);
});
