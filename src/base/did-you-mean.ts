import { editsWithin } from './edits.ts';

/**
 * The candidate that a slip of the pen would turn into `word`, as `, did you mean "x"?`; empty
 * where none is near.
 */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const lower = word.toLowerCase();
  let best: string | null = null;
  let least = Math.min(3, Math.floor(word.length / 3) + 1);
  for (const candidate of candidates) {
    // The difference in length is a lower bound of the distance, and keeps a megabyte-long key
    // cheap.
    if (Math.abs(candidate.length - word.length) >= least) continue;
    const distance = editsWithin(lower, candidate.toLowerCase(), least);
    if (distance !== null && (distance < least || (distance === 0 && best === null))) {
      best = candidate;
      least = distance;
    }
  }
  return best === null ? '' : `, did you mean "${best}"?`;
}
