import { editsWithin } from './edits.ts';

/**
 * Returns `, did you mean "x"?` for the candidate that differs from `word` by a typing error; empty
 * where no candidate is near.
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
