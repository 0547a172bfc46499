import { createHash } from 'node:crypto';
import { contentHash } from './names.ts';
import type { ContentHash } from './names.ts';

/** Returns the name of a secret: equal content has the same name. */
export function hashOf(text: string): ContentHash {
  return contentHash(createHash('sha256').update(text).digest('hex'));
}
