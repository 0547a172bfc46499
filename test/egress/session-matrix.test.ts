// Sessions of clients are offered in another state of the zone than they were issued in: only what
// a full handshake would admit is resumed, and everything else makes a full handshake. This plays
// the pairs that differ in at most one fact; `node perf/session-matrix.ts` plays all of them.
import t from 'tap';
import { PAIRS, distance, playMatrix, rightOutcome } from './session-matrix.ts';

t.test(
  'a session is resumed only where nothing has changed, on any worker, and each client is judged as it is now',
  async (t) => {
    const pairs = PAIRS.filter((pair) => pair.issued.mesh === 'default' && distance(pair) <= 1);
    const results = await playMatrix(pairs);
    t.equal(results.length, pairs.length, `${pairs.length} pairs of (issued, offered)`);
    const wrong = results.filter(
      ({ pair, outcome, agreed }) => !agreed || JSON.stringify(outcome) !== JSON.stringify(rightOutcome(pair)),
    );
    t.same(wrong.slice(0, 5), [], `${wrong.length} wrong outcomes`);
    t.equal(results.filter(({ outcome }) => outcome.resumed).length, 64, 'sessions that were resumed');
  },
);
