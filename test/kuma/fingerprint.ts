import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';

/**
 * SHA-256 of each certificate of a PEM text, however it is wrapped; of the whole text where it is
 * no PEM, as in Kuma's unit tests.
 */
export function certificateHashes(text: string): readonly string[] {
  const pems = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return pems === null ? [sha256(text)] : pems.map((pem) => sha256(new X509Certificate(pem).raw));
}

/** The same hash for a key in PKCS#1 and in PKCS#8. */
export function keyHash(text: string): string {
  return text.includes('-----BEGIN ') ? sha256(createPrivateKey(text).export({ type: 'pkcs8', format: 'der' })) : sha256(text);
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
