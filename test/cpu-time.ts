/**
 * Returns the milliseconds of CPU time that something took. Unlike wall time it is the same on a
 * busy machine.
 */
export function cpuMs(act: () => void): number {
  const start = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1_000;
}
