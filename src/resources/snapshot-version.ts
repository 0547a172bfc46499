import { createHash } from 'node:crypto';

/**
 * Returns the first 16 hex digits of a SHA-256 over the content, independent of the order of maps
 * and properties. The values of maps count by their own hashes, which are remembered for frozen
 * values: of ten thousand routes only those that changed are hashed again.
 */
export function snapshotVersion(content: Readonly<Record<string, unknown>>): string {
  return sha256(canonical(content)).slice(0, 16);
}

/**
 * Remembers the hash of a frozen value: the version of a snapshot that contains it is then found
 * without reading it.
 */
export function rememberHash(value: object): void {
  hashOf(value);
}

const hashes = new WeakMap<object, string>();

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value instanceof Map) return `<${entries([...value] as [string, unknown][], hashOf)}>`;
  if (typeof value === 'object' && value !== null) return `{${entries(Object.entries(value), canonical)}}`;
  return JSON.stringify(value);
}

function entries(pairs: readonly (readonly [string, unknown])[], write: (value: unknown) => string): string {
  return pairs
    .map(([key, value]) => `${JSON.stringify(key)}:${write(value)}`)
    .sort()
    .join(',');
}

function hashOf(value: unknown): string {
  if (typeof value !== 'object' || value === null || !Object.isFrozen(value)) return sha256(canonical(value));
  const known = hashes.get(value);
  if (known !== undefined) return known;
  const hash = sha256(canonical(value));
  hashes.set(value, hash);
  return hash;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
