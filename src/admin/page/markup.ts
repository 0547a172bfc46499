import { oneLine } from '../../base/plain-text.ts';

/** Text that may go to a browser as it is. Only `html` makes it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type HtmlPart = Html | string | number | readonly Html[];

/**
 * Joins a template with its values. A value that is no Html is escaped, for text and for attributes
 * in double quotes; a template must not put one anywhere else.
 */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlPart[]): Html {
  const written = compact(strings);
  let text = written[0] ?? '';
  for (const [i, value] of values.entries()) text += partText(value) + (written[i + 1] ?? '');
  return new Html(text);
}

/** Line feeds where a browser ignores space, before a cell, a shape, or the end of a tag. */
const BETWEEN = /\n(?=<\/?(?:t[rdh]|thead|tbody|path|rect|circle|text|svg|dl|dt|dd|li|ul|ol)\b|\/?>)/g;

const compacted = new WeakMap<TemplateStringsArray, readonly string[]>();

/** Takes out the indentation of the sources, and all space between the cells of a table. */
function compact(strings: TemplateStringsArray): readonly string[] {
  const known = compacted.get(strings);
  if (known !== undefined) return known;
  const made = strings.map((text) => text.replace(/\s*\n\s*/g, '\n').replace(BETWEEN, ''));
  compacted.set(strings, made);
  return made;
}

export const NOTHING: Html = new Html('');

/**
 * Clients choose names: characters that end a text, or change the direction of writing, are written
 * as escapes.
 */
export function escaped(text: string): string {
  return oneLine(text).replace(/[&<>"']/g, (char) => ENTITIES[char] ?? '');
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function partText(part: HtmlPart): string {
  if (part instanceof Html) return part.text;
  if (typeof part === 'string') return escaped(part);
  if (typeof part === 'number') return String(part);
  return part.map(({ text }) => text).join('');
}

/** Returns a link target on this origin. */
export function target(path: string, query: Readonly<Record<string, string>>, anchor = ''): string {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `${path}${search === '' ? '' : `?${search}`}${anchor === '' ? '' : `#${anchor}`}`;
}
