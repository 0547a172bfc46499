import type { HeaderMatch, SenderRule } from '../model/http-route.ts';
import { valuesOf } from '../wire/flat-headers.ts';
import type { FlatHeaders } from '../wire/flat-headers.ts';
import { matches } from './authorise.ts';

/** Who sends a request. */
export interface Sender {
  readonly headers: FlatHeaders;
  /** Of the certificate that was verified. */
  readonly uris: readonly string[];
}

/** Whether a request of this sender is one that the rules are about. Pure. */
export function holds(rules: readonly SenderRule[] | undefined, sender: Sender): boolean {
  return (rules ?? []).every((rule) => {
    const found = isFound(rule, sender);
    return found !== null && found !== (rule.not ?? false);
  });
}

/** null: there is no header to compare, which is never what a rule asks for, as in Envoy. */
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

/** In it a sidecar says who its client is: `&kuma.io/service=a,b&&version=1&`. */
const TAGS_HEADER = 'x-kuma-tags';

function hasTags(any: readonly Readonly<Record<string, string>>[], values: readonly string[]): boolean {
  // What stands before the first sign and behind the last is no tag, as in Kuma's pattern.
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
