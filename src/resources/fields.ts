import { isKeyMaterial } from '../base/key-material.ts';
import type { Origin } from '../model/compiled.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import type { Findings } from './findings.ts';
import type { MapValue, Value } from './yaml-value.ts';

/**
 * The fields of one map, read by name. A field of the wrong type is reported at its place and reads
 * as absent; null is absent, as in Kuma's JSON. Opening the map reports the unknown fields.
 */
export interface Fields {
  /** Kuma's path of this map; empty at the root. */
  readonly path: string;
  readonly at: Origin;
  has(name: string): boolean;
  /** Lists the names in the map under this name, as written; none where it is no map. */
  namesIn(name: string): readonly string[];
  /** Tells whether the field is an empty text, map or list. */
  isEmpty(name: string): boolean;
  /**
   * Returns the place of the field, also of a null; the place of this map where the field is
   * absent.
   */
  place(name: string): Origin;
  pathOf(name: string): string;
  /**
   * Reads a name, an address or a word. A value that looks like a key is an error, because the
   * values read here may be shown.
   */
  text(name: string): string | undefined;
  /** Reads a text, or a number as text: the name or the number of an enum value. */
  word(name: string): string | undefined;
  /** Reads a text that may be a key, and is never shown. */
  opaque(name: string): string | undefined;
  /** Reads a whole number from 0 to `max`; the default maximum is that of a uint32, as in Kuma. */
  count(name: string, max?: number): number | undefined;
  flag(name: string): boolean | undefined;
  /** Reads a number, or the text of one: Kuma also accepts decimals as text. */
  decimal(name: string): number | undefined;
  texts(name: string): readonly string[] | undefined;
  counts(name: string): readonly number[] | undefined;
  /** Opens a map that may have only these fields. */
  object(name: string, known: readonly string[]): Fields | undefined;
  /** Opens each map of a list. An absent list is undefined, not empty. */
  objects(name: string, known: readonly string[]): readonly Fields[] | undefined;
  tags(name: string): TagField | undefined;
  error(name: string, message: string): void;
  /** Reports an error in one of the few fields whose path in Kuma's messages is not their place. */
  errorAt(at: Origin, path: string, message: string): void;
  warn(name: string, message: string): void;
}

/** A map of strings to strings, in the order of the file. */
export interface TagField {
  readonly path: string;
  readonly at: Origin;
  readonly tags: ReadonlyMap<string, string>;
  /** Returns the place of a tag's value; the place of the map where the tag is absent. */
  place(tag: string): Origin;
}

/**
 * Opens a map. `aliases` are other names of fields: protobuf's JSON accepts `ca_cert` for `caCert`.
 */
export function openFields(
  map: MapValue,
  path: string,
  known: readonly string[],
  findings: Findings,
  aliases: Readonly<Record<string, string>> = {},
): Fields {
  const byName = new Map<string, { name: string; value: Value }>();
  for (const [name, entry] of map.entries) {
    const plain = Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name;
    if (!known.includes(plain)) {
      findings.unknown(entry.key, join(path, name), `unknown field${didYouMean(name, known)}`);
    } else if (!isNull(entry.value)) {
      if (byName.has(plain)) findings.error(entry.key, join(path, name), `the same field as ${plain}: write one of them`);
      byName.set(plain, { name, value: entry.value });
    }
  }
  return new MapFields({ map, path, byName, findings, aliases });
}

interface OpenedMap {
  readonly map: MapValue;
  readonly path: string;
  /** Keyed by the known name, with the name that was written. Fields that are null are left out. */
  readonly byName: ReadonlyMap<string, { readonly name: string; readonly value: Value }>;
  readonly findings: Findings;
  readonly aliases: Readonly<Record<string, string>>;
}

class MapFields implements Fields {
  readonly path: string;
  readonly at: Origin;
  readonly #opened: OpenedMap;

  constructor(opened: OpenedMap) {
    this.path = opened.path;
    this.at = opened.map.at;
    this.#opened = opened;
  }

  has(name: string): boolean {
    return this.#opened.byName.has(name);
  }

  namesIn(name: string): readonly string[] {
    const value = this.#value(name);
    return value?.kind === 'map' ? [...value.entries.keys()] : [];
  }

  isEmpty(name: string): boolean {
    const value = this.#value(name);
    if (value?.kind === 'map') return value.entries.size === 0;
    return value?.kind === 'list' ? value.items.length === 0 : value?.value === '';
  }

  place(name: string): Origin {
    const { map } = this.#opened;
    return (this.#value(name) ?? map.entries.get(name)?.value ?? map).at;
  }

  pathOf(name: string): string {
    return join(this.path, this.#opened.byName.get(name)?.name ?? name);
  }

  error(name: string, message: string): void {
    this.#opened.findings.error(this.place(name), this.pathOf(name), message);
  }

  errorAt(at: Origin, field: string, message: string): void {
    this.#opened.findings.error(at, field, message);
  }

  warn(name: string, message: string): void {
    this.#opened.findings.warn(this.place(name), this.pathOf(name), message);
  }

  text(name: string): string | undefined {
    const value = this.opaque(name);
    if (value === undefined || !isKeyMaterial(value)) return value;
    this.error(name, KEY_MESSAGE);
    return undefined;
  }

  word(name: string): string | undefined {
    const value = this.#scalar(name);
    return typeof value === 'number' ? String(value) : this.opaque(name);
  }

  opaque(name: string): string | undefined {
    const value = this.#scalar(name);
    if (value === undefined || typeof value === 'string') return value;
    this.error(name, value === null ? 'must be a string' : 'must be a string: put it in quotes');
    return undefined;
  }

  count(name: string, max = MAX_UINT32): number | undefined {
    const value = this.#scalar(name);
    if (value === undefined) return undefined;
    // Protobuf's JSON accepts "10002" for 10002.
    const number = typeof value === 'string' && /^\d{1,20}$/.test(value) ? Number(value) : value;
    const isWhole = typeof number === 'number' && Number.isInteger(number) && number >= 0;
    if (isWhole && number <= max) return number;
    this.error(name, isWhole ? `must be a whole number of at most ${max}` : 'must be a whole number, 0 or more');
    return undefined;
  }

  flag(name: string): boolean | undefined {
    const value = this.#scalar(name);
    if (value === undefined || typeof value === 'boolean') return value;
    this.error(name, 'must be true or false');
    return undefined;
  }

  decimal(name: string): number | undefined {
    const value = this.#scalar(name);
    if (value === undefined) return undefined;
    const number = typeof value === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isFinite(number)) return number;
    this.error(name, typeof value === 'string' ? 'string must be a valid number' : 'must be a number');
    return undefined;
  }

  texts(name: string): readonly string[] | undefined {
    const wrong = 'must be a string: put it in quotes';
    return this.#scalars(name, wrong, (value) => (typeof value === 'string' ? value : undefined));
  }

  counts(name: string): readonly number[] | undefined {
    return this.#scalars(name, 'must be a whole number, 0 or more', (value) =>
      typeof value === 'number' && Number.isInteger(value) && Math.abs(value) <= MAX_INT32 ? value : undefined,
    );
  }

  object(name: string, known: readonly string[]): Fields | undefined {
    const value = this.#value(name);
    return value === undefined ? undefined : this.#open(value, this.pathOf(name), known);
  }

  objects(name: string, known: readonly string[]): readonly Fields[] | undefined {
    return this.#items(name)?.flatMap((item, i) => this.#open(item, `${this.pathOf(name)}[${i}]`, known) ?? []);
  }

  tags(name: string): TagField | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (value.kind === 'map') return openTags(value, this.pathOf(name), this.#opened.findings);
    this.error(name, 'must be a map');
    return undefined;
  }

  #value(name: string): Value | undefined {
    return this.#opened.byName.get(name)?.value;
  }

  /** Returns null where the field is a map or a list. */
  #scalar(name: string): string | number | boolean | undefined | null {
    const value = this.#value(name);
    return value === undefined ? undefined : value.kind === 'scalar' ? value.value : null;
  }

  #items(name: string): readonly Value[] | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (value.kind === 'list') return value.items;
    this.error(name, 'must be a list');
    return [];
  }

  #scalars<Item>(name: string, wrong: string, pick: (value: unknown) => Item | undefined): readonly Item[] | undefined {
    return this.#items(name)?.flatMap((item, i) => {
      const picked = item.kind === 'scalar' ? pick(item.value) : undefined;
      if (picked === undefined) this.errorAt(item.at, `${this.pathOf(name)}[${i}]`, wrong);
      return picked === undefined ? [] : [picked];
    });
  }

  #open(value: Value, at: string, known: readonly string[]): Fields | undefined {
    const { findings, aliases } = this.#opened;
    if (value.kind === 'map') return openFields(value, at, known, findings, aliases);
    findings.error(value.at, at, 'must be a map');
    return undefined;
  }
}

const MAX_UINT32 = 0xffff_ffff;
export const MAX_INT32 = 0x7fff_ffff;

/** The message quotes no part of the value. */
const KEY_MESSAGE =
  'looks like a key, a certificate or a token, which this field would show to every reader of the configuration: keys go under inline (base64), inlineString, or into a Secret';

function openTags(map: MapValue, path: string, findings: Findings): TagField {
  const tags = new Map<string, string>();
  for (const [tag, { key, value }] of map.entries) {
    if (isKeyMaterial(tag)) findings.error(key, path, KEY_MESSAGE);
    else if (value.kind === 'scalar' && typeof value.value === 'string') {
      if (isKeyMaterial(value.value)) findings.error(value.at, `${path}["${tag}"]`, KEY_MESSAGE);
      else tags.set(tag, value.value);
    } else if (!isNull(value)) findings.error(value.at, `${path}["${tag}"]`, 'must be a string: put it in quotes');
    else tags.set(tag, '');
  }
  return { path, at: map.at, tags, place: (tag) => map.entries.get(tag)?.value.at ?? map.at };
}

function isNull(value: Value): boolean {
  return value.kind === 'scalar' && value.value === null;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
