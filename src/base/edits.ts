/**
 * Counts the edits between two texts; null for more than `most`. An edit inserts, drops or replaces
 * a character, or swaps two neighbours. Costs at most the length times `most`, and a few
 * comparisons where the texts have little in common.
 */
export function editsWithin(a: string, b: string, most: number): number | null {
  if (Math.abs(a.length - b.length) > most) return null;
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--;
    endB--;
  }
  const edits = banded(a.slice(start, endA), b.slice(start, endB), most);
  return edits > most ? null : edits;
}

/** Fills only the cells that at most `most` edits can reach, and stops at a row that has none. */
function banded(a: string, b: string, most: number): number {
  const beyond = most + 1;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => Math.min(j, beyond));
  for (let i = 1; i <= a.length; i++) {
    const row = new Array<number>(b.length + 1).fill(beyond);
    if (i <= most) row[0] = i;
    let least = row[0] ?? beyond;
    for (let j = Math.max(1, i - most); j <= Math.min(b.length, i + most); j++) {
      const replaced = (above[j - 1] ?? beyond) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min((above[j] ?? beyond) + 1, (row[j - 1] ?? beyond) + 1, replaced, beyond);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, (before[j - 2] ?? beyond) + 1);
      row[j] = cost;
      least = Math.min(least, cost);
    }
    if (least >= beyond && !above.some((cost) => cost < most)) return beyond;
    before = above;
    above = row;
  }
  return above[b.length] ?? beyond;
}
