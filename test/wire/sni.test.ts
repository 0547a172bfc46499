import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import fc from 'fast-check';
import {
  decodeHashSni,
  decodeKriSni,
  decodeTagSni,
  describeSni,
  encodeHashSni,
  encodeKriSni,
  encodeTagSni,
} from '../../src/wire/sni.ts';
import type { HashSniTarget, KriSniTarget } from '../../src/wire/sni.ts';
import { LIVE } from '../data.ts';

t.test('tags become a service with its other tags in braces, sorted by key', async (t) => {
  const tags = { 'kuma.io/service': 'backend', version: 'v1', env: 'prod', region: 'eu', app: 'backend-app' };
  t.equal(encodeTagSni(tags), 'backend{app=backend-app,env=prod,region=eu,version=v1}');
  t.same(decodeTagSni('backend{app=backend-app,env=prod,region=eu,version=v1}'), { kind: 'decoded', value: tags });
  t.equal(encodeTagSni({ 'kuma.io/service': 'service-in-zone-2', mesh: 'mesh-1' }), 'service-in-zone-2{mesh=mesh-1}');
  t.equal(
    encodeTagSni({ version: 'v1', mesh: 'mesh-1', 'kuma.io/service': 'externalservice-2' }),
    'externalservice-2{mesh=mesh-1,version=v1}',
  );
});

t.test('a service alone has no braces', async (t) => {
  t.equal(encodeTagSni({ 'kuma.io/service': 'backend' }), 'backend');
  t.same(decodeTagSni('backend'), { kind: 'decoded', value: { 'kuma.io/service': 'backend' } });
});

t.test("broken tags are refused in Kuma's words, and stray closing braces are dropped as Kuma drops them", async (t) => {
  const format = 'invalid format of tags, pairs should be separated by , and key should be separated from value by =';
  for (const sni of ['backend{', 'backend{}', 'backend{mesh}', 'backend{mesh=a=b}', 'backend{mesh=a,}']) {
    t.same(decodeTagSni(sni), { kind: 'invalid', problem: format }, sni);
  }
  const twice = 'backend{mesh=default{mesh';
  t.same(decodeTagSni(twice), { kind: 'invalid', problem: `cannot parse tags from sni: ${twice}` });
  t.same(decodeTagSni('b{me}sh=d}efault'), { kind: 'decoded', value: { 'kuma.io/service': 'b', mesh: 'default' } });
});

t.test('tags with the names of object members are tags like others', async (t) => {
  const decoded = decodeTagSni('b{__proto__=x,constructor=y}');
  t.equal(decoded.kind, 'decoded');
  if (decoded.kind !== 'decoded') return;
  t.same(Object.keys(decoded.value), ['__proto__', 'constructor', 'kuma.io/service']);
  t.equal(encodeTagSni(decoded.value), 'b{__proto__=x,constructor=y}');
});

t.test("the hash form has Kuma's vectors", async (t) => {
  const backend: HashSniTarget = { kind: 'ms', name: 'backend', mesh: 'demo', port: 8080 };
  const long = {
    kind: 'ms',
    name: `${'a'.repeat(62)}-qwe`,
    mesh: `${'b'.repeat(62)}-qwe`,
    port: 8080,
    labels: { x: 'a' },
  } as const;
  const external: HashSniTarget = { kind: 'mes', name: 'meshexternalservice-1', mesh: 'mesh-1', port: 9090 };
  t.equal(encodeHashSni(backend), 'ae10a8071b8a8eeb8.backend.8080.demo.ms');
  t.equal(encodeHashSni({ ...backend, kind: 'mzms' }), 'ae10a8071b8a8eeb8.backend.8080.demo.mzms');
  t.equal(encodeHashSni({ ...backend, labels: { x: 'a' } }), 'a333a125865a97632.backend.8080.demo.ms');
  t.equal(encodeHashSni(external), 'a45e197ed7825551b.meshexternalservice-1.9090.mesh-1.mes');
  t.equal(encodeHashSni(long), `a5b91d8a08567bf09.${'a'.repeat(62)}x.8080.${'b'.repeat(62)}x.ms`);
});

t.test('a name of 62 bytes stays whole, one of 63 is cut, and names that are cut alike keep different hashes', async (t) => {
  const at = (size: number, last = 'n') => encodeHashSni({ kind: 'mes', name: 'n'.repeat(size - 1) + last, mesh: 'm', port: 1 });
  t.match(at(62), new RegExp(`\\.n{62}\\.1\\.`));
  t.match(at(63), new RegExp(`\\.n{62}x\\.1\\.`));
  t.equal(at(70, 'a').slice(18), at(70, 'b').slice(18));
  t.not(at(70, 'a'), at(70, 'b'));
});

t.test('the hash form is encoded as a real control plane does it', async (t) => {
  const recorded = `a5268803d4bdc1ba1.mes-tcp.9000.default.mes afaaef98d6ceadc6a.mes-http.80.default.mes af059a284951b6eaf.mes3-denied-http.80.mesh-3.mes
    ab4702e51a7b14b66.mes3-denied.9000.mesh-3.mes ae5e5fd2dca9c4a39.mes-tls-system.9447.default.mes ac0e08582d3f3d064.mes-prio.9100.default.mes
    aaff445776b03ac56.mes-grpc.50051.default.mes aa6700a9e84b4c1a3.mes-tls.9443.default.mes ac775f3e62d34ed67.m-tcp.9000.mesh-both.mes`;
  for (const sni of recorded.split(/\s+/)) t.equal(again(sni), sni);
});

const live = fileURLToPath(LIVE);

t.test('every name in the recording of a control plane is read, and encoded to itself', async (t) => {
  const found = new Set<string>();
  for (const text of texts(live)) {
    for (const pattern of [
      /\ba[0-9a-f]{16}\.[\w.-]+\.(?:ms|mes|mzms)\b/g,
      /\bsni\.(?:extsvc|msvc|mzsvc)\.[a-z0-9.-]*[a-z0-9]/g,
      /\b[\w-]+\{mesh=[\w.,=/-]+\}/g,
    ]) {
      for (const [sni] of text.matchAll(pattern)) found.add(sni);
    }
  }
  for (const sni of found) t.equal(again(sni), sni, sni);
  t.ok(found.size >= 40, `${found.size} names`);
});

const kri: KriSniTarget = { kind: 'msvc', mesh: 'default', zone: '', namespace: '', name: 'backend', section: 'http' };

t.test("the KRI form has Kuma's vectors: five, six or seven segments", async (t) => {
  const vectors: Record<string, Partial<KriSniTarget>> = {
    'sni.msvc.default.backend.http': {},
    'sni.msvc.default.east.backend.http': { zone: 'east' },
    'sni.msvc.default.east.app-ns.backend.http': { zone: 'east', namespace: 'app-ns' },
    'sni.extsvc.default.ext-backend.9000': { kind: 'extsvc', name: 'ext-backend', section: '9000' },
    'sni.extsvc.prod.west.ext-backend.9000': { kind: 'extsvc', mesh: 'prod', zone: 'west', name: 'ext-backend', section: '9000' },
    'sni.extsvc.prod.west.external-ns.ext-backend.9000': {
      kind: 'extsvc',
      mesh: 'prod',
      zone: 'west',
      namespace: 'external-ns',
      name: 'ext-backend',
      section: '9000',
    },
    'sni.mzsvc.default.global-svc.8080': { kind: 'mzsvc', name: 'global-svc', section: '8080' },
    [`sni.msvc.default.${'a'.repeat(63)}.http`]: { name: 'a'.repeat(63) },
    'sni.msvc.default.backend.123456': { section: '123456' },
  };
  for (const [sni, part] of Object.entries(vectors)) {
    const target = { ...kri, ...part };
    t.same(encodeKriSni(target), { kind: 'encoded', sni });
    t.same(decodeKriSni(sni), { kind: 'decoded', value: target });
  }
});

t.test('a namespace without a zone is left out, whatever it says', async (t) => {
  for (const namespace of ['kuma-system', 'Bad_NS']) {
    t.same(encodeKriSni({ ...kri, namespace }), { kind: 'encoded', sni: 'sni.msvc.default.backend.http' });
  }
});

t.test("what does not fit the KRI form is refused in Kuma's words, all of it at once", async (t) => {
  const empty = 'mesh, name and sectionName must be non-empty';
  const regex =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
  const long = 'must be no more than 63 characters';
  const dots = 'must not contain dots';
  const name64 = 'a'.repeat(64);
  const cases: [Partial<KriSniTarget>, string[]][] = [
    [{ mesh: '' }, [empty]],
    [{ name: '' }, [empty]],
    [{ section: '' }, [empty]],
    [{ mesh: 'de.fault' }, [`mesh "de.fault" does not conform to RFC 1123: ${dots}`]],
    [{ name: 'back.end' }, [`name "back.end" does not conform to RFC 1123: ${dots}`]],
    [{ zone: 'east.zone' }, [`zone "east.zone" does not conform to RFC 1123: ${dots}`]],
    [{ zone: 'east', namespace: 'app_ns' }, [`namespace "app_ns" does not conform to RFC 1123: ${regex}`]],
    [{ mesh: 'Default' }, [`mesh "Default" does not conform to RFC 1123: ${regex}`]],
    [{ name: '-backend' }, [`name "-backend" does not conform to RFC 1123: ${regex}`]],
    [{ name: name64 }, [`name "${name64}" does not conform to RFC 1123: ${long}`]],
    [{ section: 'HTTP' }, [regex]],
    [{ section: 'http.port' }, [dots]],
    [{ name: 'foo.bar', section: name64 }, [`name "foo.bar" does not conform to RFC 1123: ${dots}`, long]],
    [
      { mesh: 'a'.repeat(63), zone: 'b'.repeat(63), namespace: 'c'.repeat(63), name: 'd'.repeat(63) },
      ['computed SNI is 269 characters which exceeds the DNS hostname limit (253)'],
    ],
  ];
  for (const [part, problems] of cases) t.same(encodeKriSni({ ...kri, ...part }), { kind: 'invalid', problems });
});

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,12}[a-z0-9])?$/);
const target = fc.record({
  kind: fc.constantFrom('msvc' as const, 'extsvc' as const, 'mzsvc' as const),
  mesh: label,
  zone: fc.oneof(label, fc.constant('')),
  namespace: fc.oneof(label, fc.constant('')),
  name: label,
  section: label,
});

t.test('any name that can be encoded is read back as it was', async (t) => {
  const value = fc.stringMatching(/^[a-zA-Z0-9._/-]{1,20}$/);
  const tags = fc.dictionary(value, value, { maxKeys: 6 });
  fc.assert(
    fc.property(value, tags, (service, extra) => {
      const all = { ...extra, 'kuma.io/service': service };
      const decoded = decodeTagSni(encodeTagSni(all));
      return decoded.kind === 'decoded' && same(decoded.value, all);
    }),
  );
  fc.assert(
    fc.property(label, fc.option(label), label, fc.integer({ min: 1, max: 65_535 }), (first, namespace, mesh, port) => {
      const name = namespace === null ? first : `${first}.${namespace}`;
      const decoded = decodeHashSni(encodeHashSni({ kind: 'ms', name, mesh, port }));
      if (decoded.kind !== 'decoded') return false;
      const { hash, ...rest } = decoded.value;
      return hash.length === 16 && same(rest, { kind: 'ms', name, mesh, port });
    }),
  );
  fc.assert(
    fc.property(target, (given) => {
      const encoded = encodeKriSni(given);
      const decoded = decodeKriSni(encoded.kind === 'encoded' ? encoded.sni : '');
      return decoded.kind === 'decoded' && same(decoded.value, { ...given, namespace: given.zone === '' ? '' : given.namespace });
    }),
  );
  t.pass('three forms');
});

t.test('two different targets never share a KRI name, whatever number of segments they have', async (t) => {
  const few = fc.constantFrom('a', 'b', 'a-b');
  const near = fc.record({
    kind: fc.constantFrom('msvc' as const, 'extsvc' as const),
    mesh: few,
    zone: fc.oneof(few, fc.constant('')),
    namespace: fc.oneof(few, fc.constant('')),
    name: fc.oneof(few, fc.constantFrom('a.b', 'a.a')),
    section: few,
  });
  const effective = (given: KriSniTarget) => ({ ...given, namespace: given.zone === '' ? '' : given.namespace });
  const seen = new Map<string, KriSniTarget>();
  fc.assert(
    fc.property(near, (given) => {
      const encoded = encodeKriSni(given);
      if (encoded.kind === 'invalid') return given.name.includes('.');
      const before = seen.get(encoded.sni);
      seen.set(encoded.sni, effective(given));
      return before === undefined || same(before, effective(given));
    }),
    { numRuns: 2_000 },
  );
  t.ok(seen.size > 100, `${seen.size} names`);
});

t.test('what is not of a form is refused, not guessed', async (t) => {
  const kriLike = [
    'sni',
    'sni.',
    'sni.msvc.default.backend',
    'sni.msvc.a.b.c.d.e.f',
    'sni.svc.a.b.c',
    'sni.msvc.a..b.c',
    'sni.msvc.a.b.c.',
    'a.msvc.a.b.c',
  ];
  for (const sni of kriLike) t.equal(decodeKriSni(sni).kind, 'invalid', sni);
  const hashLike = [
    '',
    'a',
    'a123.x.1.m.ms',
    'be10a8071b8a8eeb8.backend.8080.demo.ms',
    'ae10a8071b8a8eeb8.backend.8080.demo.svc',
    'ae10a8071b8a8eeb8..x.demo.ms',
  ];
  for (const sni of hashLike) t.equal(decodeHashSni(sni).kind, 'invalid', sni);
});

t.test('a name is described by its form, in any case, and a broken one with what is wrong with it', async (t) => {
  t.match(describeSni('Backend{mesh=Default,version=v1}'), {
    form: 'tag',
    service: 'Backend',
    tags: { mesh: 'Default', version: 'v1' },
  });
  t.match(describeSni('AE10A8071B8A8EEB8.backend.8080.Demo.MS'), {
    form: 'hash',
    kind: 'ms',
    name: 'backend',
    mesh: 'demo',
    port: 8080,
  });
  t.match(describeSni('sni.extsvc.prod.west.EXT-backend.9000'), {
    form: 'kri',
    zone: 'west',
    namespace: '',
    name: 'ext-backend',
  });
  t.same(describeSni('backend.example.com'), { form: 'other', problem: '' });
  t.same(describeSni(''), { form: 'other', problem: '' });
  t.match(describeSni('backend{mesh'), { form: 'other', problem: /^invalid format of tags/ });
  t.match(describeSni('sni.msvc.default.b'), { form: 'other', problem: /must be non-empty/ });
});

t.test('no text makes a description throw', async (t) => {
  const forms = ['tag', 'hash', 'kri', 'other'];
  const text = fc.oneof(fc.string(), fc.stringMatching(/^(sni\.(msvc|extsvc))?[.{}=,a0\u00ff-]{0,40}$/));
  fc.assert(fc.property(text, (sni) => forms.includes(describeSni(sni).form)));
  t.pass('any text');
});

/** Encodes the decoded parts of a name again. */
function again(sni: string): string {
  const described = describeSni(sni);
  if (described.form === 'tag') return encodeTagSni({ ...described.tags, 'kuma.io/service': described.service });
  if (described.form === 'hash') return encodeHashSni(described);
  if (described.form === 'other') return described.problem;
  const encoded = encodeKriSni(described);
  return encoded.kind === 'encoded' ? encoded.sni : encoded.problems.join();
}

function* texts(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && /\.(json|jsonl|yaml|md|txt)$/.test(entry.name))
      yield readFileSync(join(entry.parentPath, entry.name), 'latin1');
  }
}

function same(one: object, other: object): boolean {
  const sorted = (value: object) => JSON.stringify(Object.entries(value).sort());
  return sorted(one) === sorted(other);
}
