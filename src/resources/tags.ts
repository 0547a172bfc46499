import type { Findings } from './findings.ts';
import type { Fields, TagField } from './fields.ts';

export type Tags = ReadonlyMap<string, string>;

export const SERVICE_TAG = 'kuma.io/service';
export const PROTOCOL_TAG = 'kuma.io/protocol';
export const ZONE_TAG = 'kuma.io/zone';
export const MATCH_ALL = '*';

/**
 * Tells whether a selector admits these tags: `*` matches any value, but the tag must be present.
 */
export function selects(selector: Tags, tags: Tags): boolean {
  for (const [tag, value] of selector) {
    const actual = tags.get(tag);
    if (actual === undefined || (value !== MATCH_ALL && value !== actual)) return false;
  }
  return true;
}

/**
 * Negative where `a` is less specific: compares the number of tags, then how many of them are
 * exact.
 */
export function compareRank(a: Tags, b: Tags): number {
  return a.size - b.size || exact(a) - exact(b);
}

function exact(tags: Tags): number {
  let count = 0;
  for (const value of tags.values()) if (value !== MATCH_ALL) count++;
  return count;
}

export function emptyTags(): Tags {
  return new Map();
}

export interface TagRules {
  readonly atLeastOne?: boolean;
  readonly service?: boolean;
  /** True allows only the service tag. */
  readonly onlyService?: boolean;
}

/** Checks the tags of a resource: values are literal. */
export function checkTags(field: TagField, rules: TagRules, findings: Findings): void {
  check(field, rules, findings, TAG_VALUE, 'tag value must consist of alphanumeric characters, dots, dashes and underscores');
}

/** Checks the tags of a selector: values may be `*`. */
export function checkSelector(field: TagField, rules: TagRules, findings: Findings): void {
  const message = 'tag value must consist of alphanumeric characters, dots, dashes, slashes and underscores or be "*"';
  check(field, rules, findings, SELECTOR_VALUE, message);
}

const TAG_NAME = /^[a-zA-Z0-9.\-_:/]*$/;
const TAG_VALUE = /^[a-zA-Z0-9.\-_:]*$/;
const SELECTOR_VALUE = /^(?:[a-zA-Z0-9.\-_:/]*|\*)$/;

function check(field: TagField, rules: TagRules, findings: Findings, values: RegExp, message: string): void {
  const { tags, path, at } = field;
  const key = (tag: string): string => `${path}["${tag}"]`;
  if (rules.atLeastOne === true && tags.size === 0) findings.error(at, path, 'must have at least one tag');
  if (rules.onlyService === true && (tags.size !== 1 || !tags.has(SERVICE_TAG))) {
    findings.error(at, path, `must consist of exactly one tag "${SERVICE_TAG}"`);
  }
  for (const [tag, value] of tags) {
    const place = field.place(tag);
    if (tag === '') findings.error(place, path, 'tag name must be non-empty');
    if (!TAG_NAME.test(tag)) {
      findings.error(place, key(tag), 'tag name must consist of alphanumeric characters, dots, dashes, slashes and underscores');
    }
    if (rules.onlyService === true && tag !== SERVICE_TAG) findings.error(place, key(tag), `tag "${tag}" is not allowed`);
    if (value === '') findings.error(place, key(tag), 'tag value must be non-empty');
    if (!values.test(value)) findings.error(place, key(tag), message);
  }
  if (rules.service === true && !tags.has(SERVICE_TAG)) {
    findings.error(at, path, `mandatory tag "${SERVICE_TAG}" is missing`);
  }
}

/** Reads `sources` and `destinations` of the old policies: a list of `match`. */
export function readSelectors(spec: Fields, name: string, rules: TagRules, findings: Findings): readonly Tags[] {
  const items = spec.objects(name, ['match']) ?? [];
  if (items.length === 0) spec.error(name, 'must have at least one element');
  return items.map((item) => {
    const match = item.tags('match');
    if (match !== undefined) {
      checkSelector(match, rules, findings);
      return match.tags;
    }
    if (!item.has('match')) {
      const empty = { path: item.pathOf('match'), at: item.at, tags: emptyTags(), place: () => item.at };
      checkSelector(empty, rules, findings);
    }
    return emptyTags();
  });
}
