/** What the connections that need more than their share take together in one turn of the loop. */
const ALL_MS = 8;

const waiting: (() => void)[] = [];
let planned = false;

/**
 * For a connection that has used up its turn: `act` is called in a later turn of the loop, after
 * those that wait already. All of them together get a few milliseconds of each turn, however many
 * they are, so that the others wait for no more than that.
 */
export function nextShare(act: () => void): void {
  waiting.push(act);
  plan();
}

function plan(): void {
  if (planned) return;
  planned = true;
  setImmediate(run);
}

function run(): void {
  planned = false;
  const until = performance.now() + ALL_MS;
  // Those that come back meanwhile wait for the next turn.
  for (let left = waiting.length; left > 0 && performance.now() < until; left--) waiting.shift()?.();
  if (waiting.length > 0) plan();
}
