/** Writes a time in at most six characters: `0.4s`, `12s`, `5m12s`, `3h05m`, `12d`. */
export function shortDuration(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 10) return `${Math.floor(ms / 100) / 10}s`;
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${padded(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)}h${padded(minutes % 60)}m` : `${Math.floor(minutes / 1_440)}d`;
}

function padded(number: number): string {
  return String(number).padStart(2, '0');
}

const UNITS = ['', 'k', 'M', 'G', 'T', 'P'];

/** Writes a number of bytes in at most five characters, in steps of a thousand: `950`, `1.2M`. */
export function shortAmount(bytes: number): string {
  let [left, unit] = [bytes, 0];
  while (left >= 999.5 && unit < UNITS.length - 1) [left, unit] = [left / 1_000, unit + 1];
  return `${unit > 0 && left < 9.95 ? left.toFixed(1) : Math.round(left)}${UNITS[unit] ?? ''}`;
}
