/** The time in one turn of the loop for all connections that need more than their share. */
const ALL_MS = 8;

const waiting: (() => void)[] = [];
let planned = false;

/**
 * Calls `act` in a later turn of the loop, after those that wait already, for a connection that has
 * used up its turn. All such connections together get a few milliseconds of each turn, so that
 * other connections wait no longer than that.
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
  // Connections that come back meanwhile wait for the next turn.
  for (let left = waiting.length; left > 0 && performance.now() < until; left--) waiting.shift()?.();
  if (waiting.length > 0) plan();
}
