import { oneLine } from '../../base/plain-text.ts';

/** How a piece of a line looks, where the terminal has colours. */
export type Look = 'plain' | 'bold' | 'dim' | 'good' | 'warn' | 'bad' | 'selected';

export interface Piece {
  readonly text: string;
  readonly look: Look;
}

/** A line of the screen; its pieces contain no orders for a terminal. */
export type PaintedLine = readonly Piece[];

const CODES: Readonly<Record<Look, string>> = {
  plain: '',
  bold: '\x1b[1m',
  dim: '\x1b[2m',
  good: '\x1b[32m',
  warn: '\x1b[33m',
  bad: '\x1b[31m',
  selected: '\x1b[7m',
};

/** Takes the whole screen, and gives back what was on it. */
export const SCREEN_IN = '\x1b[?1049h\x1b[?25l';
export const SCREEN_OUT = '\x1b[0m\x1b[?25h\x1b[?1049l';

/** Clients choose names: what a terminal would act on is written out. */
export function piece(text: string, look: Look = 'plain'): Piece {
  return { text: oneLine(text), look };
}

export function plainLine(line: PaintedLine): string {
  return line
    .map(({ text }) => text)
    .join('')
    .trimEnd();
}

/** Draws a frame over the one before it. Without colours a selected line is the one with a `>`. */
export function frame(lines: readonly PaintedLine[], colours: boolean): string {
  const drawn = lines.map((line) => {
    const text = line.map((each) => (colours && each.look !== 'plain' ? `${CODES[each.look]}${each.text}\x1b[0m` : each.text));
    return `${text.join('')}\x1b[K`;
  });
  return `\x1b[H${drawn.join('\r\n')}\x1b[J`;
}

/** Ranges of characters that take two columns. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1faff],
  [0x20000, 0x3fffd],
];

function widthOf(char: string): number {
  if (/\p{M}/u.test(char)) return 0;
  const code = char.codePointAt(0) ?? 0;
  return WIDE.some(([from, to]) => from <= code && code <= to) ? 2 : 1;
}

/** Counts the columns that a text takes. */
export function textWidth(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : [...text].reduce((sum, char) => sum + widthOf(char), 0);
}

/** Cuts a text to so many columns, with a mark where something is missing. */
export function clip(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let [cut, width] = ['', 0];
  for (const char of text) {
    width += widthOf(char);
    if (width > columns - 1) break;
    cut += char;
  }
  return columns < 1 ? '' : `${cut}…`;
}

/** Writes a text in exactly so many columns. */
export function fit(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const cut = clip(text, columns);
  const space = ' '.repeat(Math.max(0, columns - textWidth(cut)));
  return side === 'left' ? `${cut}${space}` : `${space}${cut}`;
}

/** Cuts a line to so many columns. */
export function clipLine(line: PaintedLine, columns: number): PaintedLine {
  const cut: Piece[] = [];
  let left = columns;
  for (const { text, look } of line) {
    const width = textWidth(text);
    if (left <= 0) break;
    cut.push({ text: width <= left ? text : clip(text, left), look });
    left -= width;
  }
  return cut;
}
