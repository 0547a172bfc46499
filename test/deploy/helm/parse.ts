/**
 * Parses the part of Go's text/template that the chart uses. Whatever else is written in a template
 * throws: a test must not pass on a chart that Helm reads in another way.
 */
export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'dot' }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'field'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'pipeline'; readonly commands: readonly (readonly Expression[])[] };

export type Block =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | { readonly kind: 'assign'; readonly name: string; readonly value: Expression }
  | {
      readonly kind: 'if' | 'with';
      readonly value: Expression;
      readonly then: readonly Block[];
      readonly otherwise: readonly Block[];
    }
  | { readonly kind: 'range'; readonly names: readonly string[]; readonly value: Expression; readonly each: readonly Block[] }
  | { readonly kind: 'define'; readonly name: string; readonly body: readonly Block[] };

interface Piece {
  readonly text: string | null;
  readonly action: string | null;
}

function pieces(source: string): Piece[] {
  const found: Piece[] = [];
  let rest = source;
  for (;;) {
    const match = /\{\{(-(?=\s))?\s*(\/\*[^]*?\*\/|(?:"(?:[^"\\]|\\.)*"|[^"}]|\}(?!\}))*?)\s*((?<=\s)-)?\}\}/.exec(rest);
    if (match === null) break;
    const [all, left, action = '', right] = match;
    const before = rest.slice(0, match.index);
    found.push({ text: left === undefined ? before : before.trimEnd(), action: null }, { text: null, action });
    rest = rest.slice(match.index + all.length);
    if (right !== undefined) rest = rest.trimStart();
  }
  if (rest.includes('{{')) throw new Error(`an action that cannot be read: ${rest.slice(rest.indexOf('{{'), 80)}`);
  found.push({ text: rest, action: null });
  return found;
}

export function parseTemplate(source: string): readonly Block[] {
  const left = pieces(source);
  const blocks = parseBlocks(left, []);
  if (left.length > 0) throw new Error(`{{ ${left[0]?.action ?? ''} }} without a beginning`);
  return blocks;
}

/** Takes blocks off `left` until one of `ends`, which stays there. */
function parseBlocks(left: Piece[], ends: readonly string[]): readonly Block[] {
  const blocks: Block[] = [];
  for (;;) {
    const piece = left[0];
    if (piece === undefined) {
      if (ends.length > 0) throw new Error(`{{ ${ends.join(' }} or {{ ')} }} is missing`);
      return blocks;
    }
    const { text, action } = piece;
    const word = /^\S*/.exec(action ?? '')?.[0] ?? '';
    if (action !== null && (word === 'end' || word === 'else')) return blocks;
    left.shift();
    if (action === null) blocks.push({ kind: 'text', text: text ?? '' });
    else if (!action.startsWith('/*')) blocks.push(parseAction(action, word, left));
  }
}

function parseAction(action: string, word: string, left: Piece[]): Block {
  const words = action.slice(word.length).trim();
  switch (word) {
    case 'if':
    case 'with':
      return conditional(word, words, left);
    case 'range': {
      const [, names = '', value = ''] = /^(?:(\$\w+(?:\s*,\s*\$\w+)?)\s*:=)?([^]*)$/.exec(words) ?? [];
      const each = parseBlocks(left, ['end']);
      endOf(left);
      return { kind: 'range', names: names.split(/\s*,\s*/).filter((name) => name !== ''), value: parseExpression(value), each };
    }
    case 'define': {
      const body = parseBlocks(left, ['end']);
      endOf(left);
      return { kind: 'define', name: words.replaceAll('"', ''), body };
    }
    case 'template':
    case 'block':
    case 'break':
    case 'continue':
      throw new Error(`{{ ${action} }}: unknown to this renderer`);
    default: {
      const [, name, value] = /^(\$\w+)\s*:=\s*([^]*)$/.exec(action) ?? [];
      if (name !== undefined && value !== undefined) return { kind: 'assign', name, value: parseExpression(value) };
      return { kind: 'print', value: parseExpression(action) };
    }
  }
}

function conditional(kind: 'if' | 'with', condition: string, left: Piece[]): Block {
  const value = parseExpression(condition);
  const then = parseBlocks(left, ['else', 'end']);
  const action = left[0]?.action ?? '';
  if (action === 'end') {
    endOf(left);
    return { kind, value, then, otherwise: [] };
  }
  left.shift();
  const [, elseIf] = /^else if ([^]*)$/.exec(action) ?? [];
  if (elseIf !== undefined) return { kind, value, then, otherwise: [conditional('if', elseIf, left)] };
  if (action !== 'else') throw new Error(`{{ ${action} }}: unknown to this renderer`);
  const otherwise = parseBlocks(left, ['end']);
  endOf(left);
  return { kind, value, then, otherwise };
}

function endOf(left: Piece[]): void {
  if (left.shift()?.action !== 'end') throw new Error('{{ end }} is missing');
}

const TOKEN = /\s*("(?:[^"\\]|\\.)*"|\$\w*|\.\w+|\.|-?\d+|\w+|[()|])/y;

export function parseExpression(text: string): Expression {
  const tokens: { readonly text: string; readonly glued: boolean }[] = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match?.[1] === undefined) throw new Error(`${text}: cannot be read from ${text.slice(at)}`);
    tokens.push({ text: match[1], glued: match[0] === match[1] && at > 0 });
  }
  const expression = parsePipeline(tokens);
  if (tokens.length > 0) throw new Error(`${text}: ${tokens[0]?.text ?? ''} is too much`);
  return expression;
}

type Tokens = { readonly text: string; readonly glued: boolean }[];

function parsePipeline(tokens: Tokens): Expression {
  const commands: Expression[][] = [[]];
  while (tokens.length > 0 && tokens[0]?.text !== ')') {
    if (tokens[0]?.text === '|') {
      tokens.shift();
      commands.push([]);
    } else commands.at(-1)?.push(parseOperand(tokens));
  }
  if (commands.some((command) => command.length === 0)) throw new Error('a pipeline has an empty part');
  return { kind: 'pipeline', commands };
}

function parseOperand(tokens: Tokens): Expression {
  let operand = parsePrimary(tokens);
  while (tokens[0]?.glued === true && /^\.\w/.test(tokens[0].text))
    operand = { kind: 'field', of: operand, name: (tokens.shift()?.text ?? '').slice(1) };
  return operand;
}

function parsePrimary(tokens: Tokens): Expression {
  const token = tokens.shift()?.text ?? '';
  if (token === '(') {
    const inner = parsePipeline(tokens);
    if (tokens.shift()?.text !== ')') throw new Error('a bracket is not closed');
    return inner;
  }
  if (token.startsWith('"')) return { kind: 'literal', value: JSON.parse(token) as string };
  if (token.startsWith('$')) return { kind: 'variable', name: token };
  if (token === '.') return { kind: 'dot' };
  if (token.startsWith('.')) return { kind: 'field', of: { kind: 'dot' }, name: token.slice(1) };
  if (/^-?\d+$/.test(token)) return { kind: 'literal', value: Number(token) };
  if (token === 'true' || token === 'false') return { kind: 'literal', value: token === 'true' };
  if (token === 'nil') return { kind: 'literal', value: null };
  return { kind: 'function', name: token };
}
