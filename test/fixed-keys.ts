import { createECDH, createHash, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/**
 * Private keys with constant bytes. A search by the look of random text misses one key in some ten
 * thousand: a test with another key in each run would fail as often.
 */
export function fixedP256(): KeyObject {
  const pair = createECDH('prime256v1');
  pair.setPrivateKey(bytesOf('P-256'));
  const point = pair.getPublicKey();
  return createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: pair.getPrivateKey('base64url'),
      x: point.subarray(1, 33).toString('base64url'),
      y: point.subarray(33).toString('base64url'),
    },
  });
}

export function fixedEd25519(): KeyObject {
  const head = Buffer.from('302e020100300506032b657004220420', 'hex');
  return createPrivateKey({ format: 'der', type: 'pkcs8', key: Buffer.concat([head, bytesOf('Ed25519')]) });
}

function bytesOf(name: string): Buffer {
  return createHash('sha256').update(`a key of the tests: ${name}`).digest();
}
