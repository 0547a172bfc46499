import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import t from 'tap';
import { cut, isKeyMaterial, NOT_SHOWN, quote, withoutKeys } from '../../src/base/key-material.ts';
import { fixedEd25519, fixedP256 } from '../fixed-keys.ts';

const KEYS: readonly (readonly [string, KeyObject])[] = [
  ['P-256', fixedP256()],
  ['Ed25519', fixedEd25519()],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey],
];

/** The forms in which people have a key at hand. */
function forms(key: KeyObject): Readonly<Record<string, string>> {
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const jwk = key.export({ format: 'jwk' });
  const base64 = Buffer.from(pem).toString('base64');
  return {
    pem,
    'pem with escaped line ends': JSON.stringify(pem),
    'the lines between': pem.split('\n').slice(1, -2).join('\n'),
    'the lines as one': pem.split('\n').slice(1, -2).join(''),
    base64,
    'base64 in lines': base64.replace(/(.{64})/g, '$1\n'),
    'base64 of a PEM that begins with a blank': Buffer.from(` ${pem}`).toString('base64'),
    'base64 of a PEM that begins with two': Buffer.from(`\r\n${pem}`).toString('base64'),
    'base64 of base64': Buffer.from(base64).toString('base64'),
    base64url: Buffer.from(pem).toString('base64url'),
    'the first half': base64.slice(0, base64.length / 2),
    'the second half': base64.slice(base64.length / 2),
    der: der.toString('base64'),
    'der in base64url': der.toString('base64url'),
    'der in hex': der.toString('hex'),
    'der in hex with colons': der.toString('hex').replace(/(..)(?!$)/g, '$1:'),
    jwk: JSON.stringify(jwk),
    'jwk with escaped quotes': JSON.stringify(JSON.stringify(jwk)),
  };
}

t.test('a key is not printed in whatever form it stands in a sentence', async (t) => {
  for (const [name, key] of KEYS) {
    for (const [form, value] of Object.entries(forms(key))) {
      for (const told of [
        quote(value),
        cut(value),
        withoutKeys(`unknown kind ${value}; not used`),
        withoutKeys(JSON.stringify({ value })),
      ]) {
        // The public names of a JWK may stay.
        const left = [...value.matchAll(/(?=([A-Za-z0-9+/_:]{16}))/g)].filter(([, part = '']) => told.includes(part));
        t.same(left, [], `${name}, ${form}: ${told.slice(0, 60)}`);
      }
      t.ok(isKeyMaterial(value), `${name}, ${form} is no name`);
    }
  }
});

/** Fixed, because a random key looks like a name once in some ten thousand times. */
const PRIVATE_PARTS: readonly (readonly [string, string])[] = [
  ['usual', 'mV7cJ4zXw0pQkTn2RbYd8sLfHgE3uAoI5xKvNqZtW1c'],
  ['without digits', 'uKqkWr-qZbkiHLpTXnkSUsepEeEMhKSBs-_rQgwiAlk'],
  ['without digits or signs', 'pqXCVPlcYqNKSWzCuANrHiZIdrBADDklQOXwhTBSKJw'],
];

t.test('the private part of a JWK is not printed, alone or however often its quotes are escaped', async (t) => {
  for (const [name, d] of PRIVATE_PARTS) {
    t.notMatch(withoutKeys(`key ${d}; not used`), d.slice(8, 20), `alone, ${name}`);
    t.ok(isKeyMaterial(d), `${name} is no name`);
    let text = JSON.stringify({ kty: 'EC', d });
    for (let depth = 0; depth < 6; depth++) {
      t.notMatch(withoutKeys(text), d.slice(8, 20), `escaped ${depth} times, ${name}`);
      t.ok(isKeyMaterial(text), `escaped ${depth} times, ${name}, is no name`);
      text = JSON.stringify(text);
    }
    const short = JSON.stringify(JSON.stringify(JSON.stringify({ k: 'abcdefghijkl' })));
    t.notMatch(withoutKeys(short), 'abcdefgh', 'a short secret of a JWK goes by the name of its member');
  }
});

t.test('a token is not printed, nor its beginning', async (t) => {
  const token = `eyJhbGciOiJSUzI1NiJ9.eyJab25lIjoiZWFzdCJ9.${'c2lnbmF0dXJl'.repeat(4)}`;
  for (const value of [token, `Bearer ${token}`, token.slice(0, 30)]) {
    t.notMatch(withoutKeys(`--zone ${value}: no such zone`), /eyJ|c2ln/);
    t.notMatch(quote(value), /eyJ|c2ln/);
  }
  t.match(withoutKeys(`--zone ${token}: no such zone`), `--zone ${NOT_SHOWN}: no such zone`);
});

t.test('names, paths and addresses stay as they are', async (t) => {
  for (const text of [
    'my-very-long-service-name_default_svc_8080-and-more-and-more',
    '/Users/John1/projects/zone-egress/resources/Foo2/bar.yaml',
    '/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/zone-egress-AbC123',
    '550e8400-e29b-41d4-a716-446655440000',
    'defaultForbidMeshExternalServiceAccess',
    'MeshLoadBalancingStrategy2ForPayments',
    'arn:aws:iam::123456789012:role/KumaZoneEgressRole-EU-West-1',
    'MIGRATION-SERVICE-FOO-BAR-MICROSERVICE-2',
    'spec.tls.verification.subjectAltNames[0].value',
    'PaymentsApiV2GatewayRouteUsEast1Canary',
    'fe80:0000:0000:0000:0202:b3ff:fe1e:8329',
    '0ujtsYcgvSTl8PAuA',
  ]) {
    t.equal(withoutKeys(text), text);
    t.notOk(isKeyMaterial(text), text);
  }
  const digest = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
  t.notOk(isKeyMaterial(digest), 'the digest of an image may be a tag');
});

t.test('a long value is cut and says how long it was', async (t) => {
  t.equal(quote('a b '.repeat(50)), `"${'a b '.repeat(20)}…" (200 characters)`);
  t.equal(quote('short'), '"short"');
});
