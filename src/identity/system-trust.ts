import { readFileSync } from 'node:fs';

/** Where systems keep their bundle, in the order in which Go's crypto/x509, and so Kuma, looks for it. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * PEM bundle of the operating system, which is what an operator changes; not the list that Node was built with. null where there is none.
 * Read anew at each call: callers keep what they make of it.
 */
export function systemTrust(paths: readonly string[] = BUNDLES): string | null {
  for (const path of paths) {
    const pem = readOrNull(path);
    if (pem !== null && pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  }
  return null;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Not this system's place for it, or not ours to read: the next one.
    return null;
  }
}
