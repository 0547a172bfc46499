import type { HeaderMatch, SenderRule } from '../model/http-route.ts';
import { valuesOf } from '../wire/flat-headers.ts';
import type { FlatHeaders } from '../wire/flat-headers.ts';
import { matches } from './authorise.ts';

/** The sender of a request. */
export interface Sender {
  readonly headers: FlatHeaders;
  /** URI SANs of the verified certificate. */
  readonly uris: readonly string[];
}

/** Tells whether the rules cover a request of this sender. Pure. */
export function holds(rules: readonly SenderRule[] | undefined, sender: Sender): boolean {
  return (rules ?? []).every((rule) => {
    const found = isFound(rule, sender);
    return found !== null && found !== (rule.not ?? false);
  });
}

/** A null value means a missing header, which no rule matches, as in Envoy. */
function isFound(rule: SenderRule, { headers, uris }: Sender): boolean | null {
  switch (rule.kind) {
    case 'tags': {
      const values = valuesOf(headers, TAGS_HEADER);
      return values.length === 0 ? null : hasTags(rule.any, values);
    }
    case 'header':
      return hasHeader(rule, headers);
    case 'client':
      return matches(rule.principal, uris);
    default:
      return rule satisfies never;
  }
}

/**
 * The header in which a sidecar sends the tags of its client: `&kuma.io/service=a,b&&version=1&`.
 */
export const TAGS_HEADER = 'x-kuma-tags';

function hasTags(any: readonly Readonly<Record<string, string>>[], values: readonly string[]): boolean {
  // The text before the first `&` and after the last one is no tag, as in Kuma's pattern.
  const written = values.join(',').split('&').slice(1, -1);
  return any.some((tags) =>
    Object.entries(tags).every(([tag, wanted]) =>
      written.some((each) => {
        if (!each.startsWith(`${tag}=`)) return false;
        return (
          wanted === '*' ||
          each
            .slice(tag.length + 1)
            .split(',')
            .some((value) => value.endsWith(wanted))
        );
      }),
    ),
  );
}

function hasHeader(
  { name, match }: { readonly name: string; readonly match: HeaderMatch },
  headers: FlatHeaders,
): boolean | null {
  const values = valuesOf(headers, name);
  if (match.kind === 'present') return values.length > 0;
  if (values.length === 0) return null;
  const [text, wanted] =
    match.ignoreCase === true ? [values.join(',').toLowerCase(), match.value.toLowerCase()] : [values.join(','), match.value];
  switch (match.kind) {
    case 'exact':
      return text === wanted;
    case 'prefix':
      return text.startsWith(wanted);
    case 'suffix':
      return text.endsWith(wanted);
    case 'contains':
      return text.includes(wanted);
    default:
      return match satisfies never;
  }
}
