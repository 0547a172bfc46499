/**
 * Milliseconds of processor that something took. Unlike the time on the wall it is the same on a
 * busy machine.
 */
export function cpuMs(act: () => void): number {
  const start = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1_000;
}
