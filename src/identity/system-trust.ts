import { readFileSync } from 'node:fs';
import { SYSTEM_BUNDLES } from '../base/system-bundles.ts';

/**
 * Reads the PEM bundle of the operating system, which operators change, and not the list inside
 * Node. Null where the system has none. Reads it again at each call; callers keep the result.
 */
export function systemTrust(paths: readonly string[] = SYSTEM_BUNDLES): string | null {
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
    // This system does not keep its bundle here, or the file is not readable: try the next one.
    return null;
  }
}
