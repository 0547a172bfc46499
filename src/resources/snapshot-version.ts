import { createHash } from 'node:crypto';

/** First 16 hex digits of a SHA-256 over the content, whatever the order of its maps and properties. */
export function snapshotVersion(content: unknown): string {
  return createHash('sha256').update(canonical(content)).digest('hex').slice(0, 16);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value instanceof Map) return `<${entries([...value] as [string, unknown][])}>`;
  if (typeof value === 'object' && value !== null) return `{${entries(Object.entries(value))}}`;
  return JSON.stringify(value);
}

function entries(pairs: readonly (readonly [string, unknown])[]): string {
  return pairs
    .map(([key, value]) => `${JSON.stringify(key)}:${canonical(value)}`)
    .sort()
    .join(',');
}
