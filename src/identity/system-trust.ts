import { readFileSync } from 'node:fs';
import { SYSTEM_BUNDLES } from '../base/system-bundles.ts';

/**
 * PEM bundle of the operating system, which is what an operator changes; not the list that Node was
 * built with. null where there is none. Read anew at each call: callers keep what they make of it.
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
    // Not this system's place for it, or not ours to read: the next one.
    return null;
  }
}
