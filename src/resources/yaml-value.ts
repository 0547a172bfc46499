import type { Origin } from '../model/compiled.ts';

/** The content of a document; every value keeps its place in the file, 1-based. */
export type Value = ScalarValue | ListValue | MapValue;

export interface ScalarValue {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  readonly at: Origin;
}

export interface ListValue {
  readonly kind: 'list';
  readonly items: readonly Value[];
  readonly at: Origin;
}

export interface MapValue {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly at: Origin;
}

export interface MapEntry {
  readonly key: Origin;
  readonly value: Value;
}
