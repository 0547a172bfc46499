const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

const two = (number: number): string => String(number).padStart(2, '0');

/**
 * Formats a moment as `%START_TIME(…)%` of Envoy does, in UTC: the letters of strftime, `%f` with a
 * number of digits for the fraction of a second, and `%s` with a number for the time since the Unix
 * epoch in a unit. Without a format it is ISO 8601 with milliseconds.
 */
export function formatTime(wallMs: number, format: string, otherwise = ''): string {
  const date = new Date(wallMs);
  if (Number.isNaN(date.getTime())) return '';
  const pattern = format === '' ? otherwise : format;
  if (pattern === '') return date.toISOString();
  return pattern.replace(/%(E\d?[fSs*z]S?|\d?[A-Za-z%])/g, (whole, letter: string) => written(date, letter) ?? whole);
}

/** The fraction of the second: Envoy knows nanoseconds, this clock milliseconds. */
function fraction(date: Date, digits: number): string {
  return `${String(date.getUTCMilliseconds()).padStart(3, '0')}000000`.slice(0, digits);
}

function written(date: Date, letter: string): string | null {
  const [, digits = '', of = ''] = /^E?(\d?)\*?([A-Za-z%])$/.exec(letter.replace(/^(E[\d*])S$/, '$1S')) ?? [];
  if (letter.startsWith('E')) {
    if (of === 'z') return '+00:00';
    const after = letter === 'E*S' ? 3 : Number(digits || 0);
    return of === 'S' ? `${two(date.getUTCSeconds())}${after === 0 ? '' : `.${fraction(date, after)}`}` : null;
  }
  if (of === 'f') return fraction(date, digits === '' ? 9 : Number(digits));
  if (of === 's') return sinceEpoch(date, Number(digits || 0));
  return digits === '' ? plain(date, of) : null;
}

function sinceEpoch(date: Date, digits: number): string {
  const seconds = String(Math.floor(date.getTime() / 1_000));
  return `${seconds}${fraction(date, digits)}`;
}

function plain(date: Date, letter: string): string | null {
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  const [hour, minute, second] = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
  const dayName = DAYS[date.getUTCDay()] ?? '';
  const monthName = MONTHS[month] ?? '';
  const time = `${two(hour)}:${two(minute)}:${two(second)}`;
  const letters: Readonly<Record<string, string>> = {
    Y: String(year),
    y: two(year % 100),
    C: two(Math.floor(year / 100)),
    m: two(month + 1),
    d: two(day),
    e: String(day).padStart(2, ' '),
    H: two(hour),
    I: two(hour % 12 === 0 ? 12 : hour % 12),
    M: two(minute),
    S: two(second),
    p: hour < 12 ? 'AM' : 'PM',
    a: dayName.slice(0, 3),
    A: dayName,
    b: monthName.slice(0, 3),
    h: monthName.slice(0, 3),
    B: monthName,
    j: String(Math.floor((Date.UTC(year, month, day) - Date.UTC(year, 0, 1)) / 86_400_000) + 1).padStart(3, '0'),
    u: String(date.getUTCDay() === 0 ? 7 : date.getUTCDay()),
    w: String(date.getUTCDay()),
    T: time,
    R: time.slice(0, 5),
    F: `${year}-${two(month + 1)}-${two(day)}`,
    D: `${two(month + 1)}/${two(day)}/${two(year % 100)}`,
    c: `${dayName.slice(0, 3)} ${monthName.slice(0, 3)} ${String(day).padStart(2, ' ')} ${time} ${year}`,
    z: '+0000',
    Z: 'UTC',
    n: '\n',
    t: '\t',
    '%': '%',
  };
  return letters[letter] ?? null;
}
