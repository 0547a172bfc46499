/**
 * JSON whose parts are made only when they are written. The resources of ten thousand services take
 * longer than one turn of the loop, and would be in memory twice.
 */
export type LazyJson =
  null | boolean | number | string | readonly LazyJson[] | { readonly [key: string]: LazyJson | undefined } | (() => LazyJson);

/**
 * Writes the text in pieces, indented by one space a level as Envoy does. Leaves out fields that
 * are undefined.
 */
export function* jsonText(value: LazyJson, depth = 0): Generator<string> {
  const made = typeof value === 'function' ? value() : value;
  if (typeof made === 'function') {
    yield* jsonText(made, depth);
  } else if (!holdsLazy(made)) {
    yield indented(JSON.stringify(made, null, 1), depth);
  } else if (isList(made)) {
    yield* block(
      '[',
      ']',
      depth,
      made.map((item) => ['', item] as const),
    );
  } else {
    yield* block(
      '{',
      '}',
      depth,
      Object.entries(made).flatMap(([key, item]) => (item === undefined ? [] : [[`${JSON.stringify(key)}: `, item] as const])),
    );
  }
}

function* block(open: string, close: string, depth: number, items: readonly (readonly [string, LazyJson])[]): Generator<string> {
  const inner = `\n${' '.repeat(depth + 1)}`;
  yield open;
  for (const [i, [label, item]] of items.entries()) {
    yield `${i === 0 ? '' : ','}${inner}${label}`;
    yield* jsonText(item, depth + 1);
  }
  yield `\n${' '.repeat(depth)}${close}`;
}

type Composite = readonly LazyJson[] | { readonly [key: string]: LazyJson | undefined };

function holdsLazy(value: Exclude<LazyJson, () => LazyJson>): value is Composite {
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some((item) => typeof item === 'function' || (item !== undefined && holdsLazy(item)));
}

function isList(value: Composite): value is readonly LazyJson[] {
  return Array.isArray(value);
}

function indented(text: string, depth: number): string {
  return depth === 0 ? text : text.replaceAll('\n', `\n${' '.repeat(depth)}`);
}
