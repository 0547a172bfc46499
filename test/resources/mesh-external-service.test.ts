import { existsSync, readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { documentsIn } from '../../src/resources/document.ts';
import { createFindings } from '../../src/resources/findings.ts';
import { readMeshExternalService } from '../../src/resources/kinds/mesh-external-service.ts';
import { parseYaml } from '../../src/resources/yaml.ts';
import { KUMA, withKuma } from '../data.ts';

const VECTORS = new URL('validation/meshexternalservice/', KUMA);

interface Violation {
  readonly field: string;
  readonly message: string;
}

function validate(spec: string, name = 'mes'): { violations: readonly Violation[]; places: readonly string[] } {
  const indented = spec.replace(/^(?=.)/gm, '  ');
  const findings = createFindings(false);
  const text = `type: MeshExternalService\nmesh: default\nname: ${name}\nspec:\n${indented}`;
  for (const value of parseYaml({ path: 'mes.yaml', text }, findings)) {
    for (const document of documentsIn(value, findings)) readMeshExternalService(document);
  }
  const problems = findings.problems();
  return {
    violations: problems.map(({ field, message }) => ({ field, message })),
    places: problems.map(({ line, column }) => `${line}:${column}`),
  };
}

t.test('it says what Kuma says, word for word', withKuma, async (t) => {
  const inputs = readdirSync(VECTORS).filter((file) => file.endsWith('.input.yaml'));
  t.ok(inputs.length >= 7);
  for (const input of inputs) {
    const { violations } = validate(readFileSync(new URL(input, VECTORS), 'utf8'));
    const output = new URL(input.replace('.input.', '.output.'), VECTORS);
    const expected = existsSync(output) ? (parse(readFileSync(output, 'utf8')) as { violations: Violation[] }).violations : [];
    t.equal(expected.length === 0, input.includes('-valid.'), input);
    t.same(violations.toSorted(byText), expected.toSorted(byText), input);
  }
});

t.test('each violation has its place', async (t) => {
  const spec =
    'match: {port: 80}\nendpoints:\n- address: 1.1.1.1\n- address: 127.1\n  port: 1\ntls: {version: {min: TLS13, max: TLS12}}\n';
  const { violations, places } = validate(spec.replace('127.1', "'127.1'"));
  t.same(
    violations.map(({ field }) => field),
    ['spec.endpoints[0].port', 'spec.endpoints[1].address', 'spec.tls.version.min'],
  );
  t.same(places, ['7:5', '8:14', '10:24']);
});

t.test('what the vectors leave out', async (t) => {
  const minimal = 'match: {port: 80}\nendpoints: [{address: 1.1.1.1, port: 1}]\n';
  t.same(validate(minimal, 'a'.repeat(64)).violations, [{ field: 'name', message: 'must not be longer than 63 characters' }]);
  for (const name of ['a\\0.test', 'a\\n', 'a b', '*.test', '192.0.2.1', '0x7f000001'])
    t.same(
      validate(`${minimal}tls: {verification: {serverName: "${name}"}}\n`).violations,
      [{ field: 'spec.tls.verification.serverName', message: 'must be a valid DNS name' }],
      name,
    );
  t.same(validate(`${minimal}extension: {type: ""}\n`).violations, [
    { field: 'spec.extension.type', message: 'must not be empty' },
  ]);
  t.same(validate('endpoints: []\n').violations, [{ field: 'spec.match.port', message: 'port must be a valid (1-65535)' }]);
  t.same(validate('match: {port: 1, protocol: ""}\n').violations, [
    { field: 'spec.match.protocol', message: '"protocol" must be one of ["tcp", "grpc", "http", "http2"]' },
  ]);
  t.same(validate(`${minimal}tls: {verification: {mode: ""}}\n`).violations, [], 'an empty mode is the default');
  t.same(
    validate(`${minimal}tls: {verification: {caCert: {file: /x}}}\n`).violations.map(({ message }) => message),
    ['data source cannot be empty', 'unknown field'],
  );
});

function byText(a: Violation, b: Violation): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}
