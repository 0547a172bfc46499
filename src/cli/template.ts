/**
 * Mustache, as kuma-dp renders a resource with `--dataplane-var`: `{{ a.b }}` (HTML-escaped), `{{{
 * a }}}` and `{{& a }}` (unescaped), sections, comments, other delimiters. A variable that is not
 * given is empty. Partials would read files and are refused.
 */
type Context = string | { readonly [key: string]: Context };

/** `a.b=c` is nested. Throws for a template that cannot be read, with its line. */
export function renderTemplate(template: string, vars: readonly (readonly [key: string, value: string])[]): string {
  const reader: Reader = { template, at: 0, open: '{{', close: '}}' };
  return render(reader, [nested(vars)], null, true);
}

function nested(vars: readonly (readonly [key: string, value: string])[]): Context {
  const root: Record<string, Context> = Object.create(null) as Record<string, Context>;
  for (const [key, value] of vars) {
    const path = key.split('.');
    const last = path.pop() ?? '';
    let at = root;
    for (const step of path) {
      const next = at[step];
      const inner =
        typeof next === 'object' ? (next as Record<string, Context>) : (Object.create(null) as Record<string, Context>);
      at[step] = inner;
      at = inner;
    }
    at[last] = value;
  }
  return root;
}

interface Reader {
  readonly template: string;
  at: number;
  open: string;
  close: string;
}

/**
 * Renders up to the end of the section, or of the template. A section that is not shown is still
 * parsed.
 */
function render(reader: Reader, contexts: readonly Context[], section: string | null, isShown: boolean): string {
  let out = '';
  for (;;) {
    const start = reader.template.indexOf(reader.open, reader.at);
    const text = reader.template.slice(reader.at, start < 0 ? undefined : start);
    if (isShown) out += text;
    if (start < 0) {
      if (section !== null) throw wrong(reader, `section ${section} is not closed`);
      return out;
    }
    reader.at = start + reader.open.length;
    const tag = tagAt(reader);
    const name = tag.slice(1).trim();
    switch (tag.charAt(0)) {
      case '!':
        break;
      case '#':
      case '^': {
        skipNewline(reader);
        const found = lookup(contexts, name);
        const isInverted = tag.startsWith('^');
        const inner = found === undefined || isInverted ? contexts : [...contexts, found];
        out += render(reader, inner, name, isShown && (found !== undefined) !== isInverted);
        break;
      }
      case '/':
        if (name !== section) throw wrong(reader, `{{/${name}}} closes nothing`);
        skipNewline(reader);
        return out;
      case '>':
        throw wrong(reader, 'partials ({{>) are not taken');
      case '=': {
        const [open, close, more] = tag.slice(1, -1).trim().split(/\s+/);
        if (!tag.endsWith('=') || open === undefined || close === undefined || more !== undefined)
          throw wrong(reader, 'invalid delimiters');
        reader.open = open;
        reader.close = close;
        break;
      }
      case '{':
        if (isShown) out += valueOf(contexts, tag.slice(1, -1).trim());
        break;
      case '&':
        if (isShown) out += valueOf(contexts, name);
        break;
      default:
        if (isShown) out += escapeHtml(valueOf(contexts, tag));
    }
  }
}

function tagAt(reader: Reader): string {
  const close = reader.template.charAt(reader.at) === '{' ? `}${reader.close}` : reader.close;
  const end = reader.template.indexOf(close, reader.at);
  if (end < 0) throw wrong(reader, 'unmatched open tag');
  const text = reader.template.slice(reader.at, end + close.length - reader.close.length);
  reader.at = end + close.length;
  const tag = text.trim();
  if (tag === '') throw wrong(reader, 'empty tag');
  return tag;
}

function skipNewline(reader: Reader): void {
  const [newline = ''] = /^\r?\n/.exec(reader.template.slice(reader.at, reader.at + 2)) ?? [];
  reader.at += newline.length;
}

function lookup(contexts: readonly Context[], name: string): Context | undefined {
  if (name === '.') return contexts.at(-1);
  const [first = '', ...rest] = name.split('.');
  for (const context of contexts.toReversed()) {
    if (typeof context !== 'object' || context[first] === undefined) continue;
    return rest.reduce<Context | undefined>((at, step) => (typeof at === 'object' ? at[step] : undefined), context[first]);
  }
  return undefined;
}

function valueOf(contexts: readonly Context[], name: string): string {
  const found = lookup(contexts, name);
  return typeof found === 'string' ? found : '';
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };

/** Uses the entities that Go writes. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

function wrong({ template, at }: Reader, what: string): Error {
  return new Error(`line ${template.slice(0, at).split('\n').length}: ${what}`);
}
