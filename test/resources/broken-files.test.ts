import fc from 'fast-check';
import t from 'tap';
import { compile } from '../../src/resources/compile.ts';
import { ALLOW_ALL, EGRESS, external, MESH, withIdentities } from './fixtures/compiling.ts';

const TEXT = [
  EGRESS,
  MESH,
  ALLOW_ALL,
  external('es', 'networking: {address: "ext.test:443", tls: {enabled: true}}'),
  'type: Secret\nmesh: default\nname: s\ndata: eA==\n',
  'type: ZoneIngress\nname: zi\nzone: z\nnetworking: {port: 1, advertisedAddress: a, advertisedPort: 1}\navailableServices: [{tags: {kuma.io/service: b}, instances: 1, mesh: default}]\n',
  'type: MeshTrafficPermission\nmesh: default\nname: m\nspec: {targetRef: {kind: Mesh}, from: [{targetRef: {kind: MeshService, name: a}, default: {action: Allow}}]}\n',
  'apiVersion: kuma.io/v1alpha1\nkind: MeshExternalService\nmetadata: {name: e, labels: {kuma.io/mesh: default}}\nspec: {match: {port: 1}, endpoints: [{address: a, port: 1}], tls: {enabled: true, version: {min: TLS12}}}\n',
].join('---\n');

t.test(
  'whatever a slip of the keyboard makes of a file, it is compiled or refused with a place, and nothing throws',
  async (t) => {
    let refused = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: TEXT.length - 1 }),
        fc.integer({ min: 0, max: 3 }),
        fc.constantFrom('', ':', '{', ']', '"', '\n', '- ', '\t', '&a ', '*a', '0', '~', '[]', '\u0000', '# '),
        (at, cut, insert) => {
          const text = TEXT.slice(0, at) + insert + TEXT.slice(at + cut);
          const compiled = compile([{ path: 'f.yaml', text }], withIdentities);
          if (compiled.kind === 'compiled') return true;
          refused++;
          const errors = compiled.problems.filter(({ severity }) => severity === 'error');
          return errors.length > 0 && errors.every(({ file, message }) => file !== '' && message !== '');
        },
      ),
      { numRuns: 400 },
    );
    t.ok(refused > 50);
  },
);

t.test('a value of any other type in any field is reported at that field', async (t) => {
  const lines = TEXT.split('\n');
  const isMeta = /^(?:---|type|apiVersion|kind)/;
  for (const [i, line] of lines.entries()) {
    const key = /^([a-zA-Z]+): /.exec(line)?.[1];
    if (key === undefined || isMeta.test(line)) continue;
    for (const value of ['[[1]]', '{a: {b: c}}', '1.5', 'true']) {
      const text = lines.with(i, `${key}: ${value}`).join('\n');
      const { problems } = compile([{ path: 'f.yaml', text }], withIdentities);
      t.ok(
        problems.some((problem) => problem.line === i + 1),
        `${key}: ${value}`,
      );
    }
  }
});
