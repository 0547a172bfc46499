import { createHash } from 'node:crypto';
import { contentHash } from './names.ts';
import type { ContentHash } from './names.ts';

/** By which a secret is named: what has the same content has the same name. */
export function hashOf(text: string): ContentHash {
  return contentHash(createHash('sha256').update(text).digest('hex'));
}
