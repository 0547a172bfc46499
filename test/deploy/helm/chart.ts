import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import type { Manifest } from '../../../deploy/kubernetes/types.ts';
import { FUNCTIONS, isMap, isTrue, printed } from './functions.ts';
import type { Value } from './functions.ts';
import { parseTemplate } from './parse.ts';
import type { Block, Expression } from './parse.ts';

/** A release of the chart, as `helm template NAME CHART --namespace … --values …` makes it. */
export interface Release {
  readonly name: string;
  readonly namespace: string;
  readonly values: Readonly<Record<string, unknown>>;
}

export interface Rendered {
  readonly manifests: readonly Manifest[];
  readonly notes: string;
}

/** Values under those of the chart, map by map; null takes a default away, as in Helm. */
export function withDefaults(values: Value, defaults: Value): Value {
  if (values === undefined) return defaults;
  if (!isMap(values) || !isMap(defaults)) return values;
  const names = new Set([...Object.keys(defaults), ...Object.keys(values)]);
  const kept = [...names].filter((name) => values[name] !== null);
  return Object.fromEntries(kept.map((name) => [name, withDefaults(values[name], defaults[name])]));
}

export function valuesOf(dir: string, values: Readonly<Record<string, unknown>>): Value {
  return withDefaults(values as Value, parse(readFileSync(join(dir, 'values.yaml'), 'utf8')) as Value);
}

/** Renders the chart in `dir` without Helm; throws what a template refuses, and what it does not know. */
export function renderChart(dir: string, { name, namespace, values }: Release): Rendered {
  const chart = parse(readFileSync(join(dir, 'Chart.yaml'), 'utf8')) as { name: string; version: string; appVersion: string };
  const root: Value = {
    Values: valuesOf(dir, values),
    Chart: { Name: chart.name, Version: chart.version, AppVersion: chart.appVersion },
    Files: filesOf(join(dir, 'files')),
    Release: { Name: name, Namespace: namespace, Service: 'Helm' },
  };
  const templates = join(dir, 'templates');
  const files = readdirSync(templates, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const sources = new Map(files.map((file) => [file, parseTemplate(readFileSync(file, 'utf8'))]));
  const defined = new Map(
    [...sources.values()].flat().flatMap((block) => (block.kind === 'define' ? [[block.name, block.body] as const] : [])),
  );
  const run = (file: string): string => new Evaluation(defined).blocks(sources.get(file) ?? [], new Map([['$', root]]), root);
  const manifests = files.filter((file) => file.endsWith('.yaml')).flatMap((file) => documents(file, run(file)));
  const notes = run(join(templates, 'NOTES.txt'));
  return { manifests, notes };
}

function documents(file: string, text: string): readonly Manifest[] {
  const found = parseAllDocuments(text);
  return (Array.isArray(found) ? found : []).flatMap((document) => {
    if (document.errors[0] !== undefined) throw new Error(`${file}: ${document.errors[0].message}\n${text}`);
    const manifest = document.toJS() as Manifest | null;
    return manifest === null ? [] : [manifest];
  });
}

/** The texts that `.Files.Get` gives. */
function filesOf(folder: string): Value {
  const names = readdirSync(folder);
  return Object.fromEntries(names.map((name) => [`files/${name}`, readFileSync(join(folder, name), 'utf8')]));
}

type Variables = ReadonlyMap<string, Value>;

class Evaluation {
  readonly #defined: ReadonlyMap<string, readonly Block[]>;

  constructor(defined: ReadonlyMap<string, readonly Block[]>) {
    this.#defined = defined;
  }

  blocks(blocks: readonly Block[], outer: Variables, dot: Value): string {
    const variables = new Map(outer);
    return blocks.map((block) => this.#block(block, variables, dot)).join('');
  }

  #block(block: Block, variables: Map<string, Value>, dot: Value): string {
    switch (block.kind) {
      case 'text':
        return block.text;
      case 'define':
        return '';
      case 'print':
        return printed(this.#value(block.value, variables, dot));
      case 'assign':
        variables.set(block.name, this.#value(block.value, variables, dot));
        return '';
      case 'if':
      case 'with': {
        const value = this.#value(block.value, variables, dot);
        if (!isTrue(value)) return this.blocks(block.otherwise, variables, dot);
        return this.blocks(block.then, variables, block.kind === 'with' ? value : dot);
      }
      case 'range': {
        const value = this.#value(block.value, variables, dot);
        const entries: readonly (readonly [Value, Value])[] = isMap(value)
          ? Object.keys(value)
              .sort()
              .map((name) => [name, value[name]])
          : ((value ?? []) as readonly Value[]).map((each, at) => [at, each]);
        return entries.map(([key, each]) => this.blocks(block.each, inRange(variables, block.names, key, each), each)).join('');
      }
    }
  }

  #value(expression: Expression, variables: Variables, dot: Value): Value {
    switch (expression.kind) {
      case 'literal':
        return expression.value;
      case 'dot':
        return dot;
      case 'variable':
        if (!variables.has(expression.name)) throw new Error(`${expression.name} is not defined`);
        return variables.get(expression.name);
      case 'field': {
        const of = this.#value(expression.of, variables, dot);
        if (!isMap(of)) throw new Error(`.${expression.name} of ${JSON.stringify(of)}`);
        return of[expression.name];
      }
      case 'function':
        return this.#call(expression.name, []);
      case 'pipeline':
        return expression.commands.reduce<{ readonly value: Value } | null>((piped, command) => {
          const [first, ...rest] = command;
          if (first?.kind === 'function') {
            const lazy = rest.map((each) => (): Value => this.#value(each, variables, dot));
            return { value: this.#call(first.name, piped === null ? lazy : [...lazy, () => piped.value]) };
          }
          if (first?.kind === 'field' && first.name === 'Get' && rest.length === 1 && piped === null)
            return { value: this.#file(first.of, rest[0], variables, dot) };
          if (first === undefined || rest.length > 0 || piped !== null) throw new Error('what is no function takes no values');
          return { value: this.#value(first, variables, dot) };
        }, null)?.value;
    }
  }

  /** Helm gives an empty text for a file that is not there. */
  #file(files: Expression, name: Expression | undefined, variables: Variables, dot: Value): Value {
    const [all, path] = [files, name].map((each) => (each === undefined ? undefined : this.#value(each, variables, dot)));
    const text = isMap(all) && typeof path === 'string' ? all[path] : undefined;
    if (typeof text !== 'string') throw new Error(`no file ${JSON.stringify(path)}`);
    return text;
  }

  #call(name: string, args: readonly (() => Value)[]): Value {
    if (name === 'and' || name === 'or') {
      let value: Value;
      for (const each of args) {
        value = each();
        if (isTrue(value) === (name === 'or')) break;
      }
      return value;
    }
    if (name === 'include') {
      const [template, data] = args.map((each) => each());
      const body = typeof template === 'string' ? this.#defined.get(template) : undefined;
      if (body === undefined) throw new Error(`no template ${JSON.stringify(template)}`);
      return this.blocks(body, new Map([['$', data]]), data);
    }
    const call = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (call === undefined) throw new Error(`${name}: this renderer has no such function`);
    return call(...args.map((each) => each()));
  }
}

function inRange(outer: Variables, names: readonly string[], key: Value, each: Value): Variables {
  const [first, second] = names;
  const inner = new Map(outer);
  if (second !== undefined) inner.set(second, each);
  if (first !== undefined) inner.set(first, second === undefined ? each : key);
  return inner;
}
