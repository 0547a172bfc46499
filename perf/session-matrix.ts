// Question: is a session of a client resumed only where a full handshake would pass? `node
// perf/session-matrix.ts` plays every pair of states of a zone in which a session was issued and
// offered, prints how many there were of each outcome, and ends with 1 where one is wrong.
import { PAIRS, playMatrix, rightOutcome } from '../test/egress/session-matrix.ts';

const startedAt = performance.now();
const results = await playMatrix(PAIRS);
const counts = new Map<string, number>();
let wrong = 0;
for (const { pair, outcome, agreed } of results) {
  const right = rightOutcome(pair);
  if (!agreed || right.resumed !== outcome.resumed || right.reason !== outcome.reason) {
    wrong++;
    console.log(JSON.stringify({ ...pair, outcome, agreed, right }));
  }
  const kind = `${pair.issued.protocol} to ${pair.offered.protocol}, ${outcome.resumed ? 'resumed' : 'full handshake'}: ${outcome.reason}`;
  counts.set(kind, (counts.get(kind) ?? 0) + 1);
}
console.log(`node perf/session-matrix.ts   (Node ${process.version}, ${Math.round((performance.now() - startedAt) / 1e3)} s)`);
console.log(`${results.length} pairs of (issued, offered), ${wrong} wrong`);
for (const [kind, count] of [...counts].sort()) console.log(`${String(count).padStart(6)}  ${kind}`);
process.exitCode = wrong === 0 ? 0 : 1;
