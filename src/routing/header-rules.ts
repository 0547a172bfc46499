import type { HeaderMatch, HeaderRule } from '../model/http-route.ts';
import { valuesOf } from '../wire/flat-headers.ts';
import type { FlatHeaders } from '../wire/flat-headers.ts';

/** Whether a request with these headers is one that the rules are about. Pure. */
export function holds(rules: readonly HeaderRule[] | undefined, headers: FlatHeaders): boolean {
  return (rules ?? []).every((rule) => {
    const found = rule.kind === 'tags' ? hasTags(rule.any, valuesOf(headers, TAGS_HEADER)) : hasHeader(rule, headers);
    return found !== (rule.not ?? false);
  });
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

function hasHeader({ name, match }: { readonly name: string; readonly match: HeaderMatch }, headers: FlatHeaders): boolean {
  const values = valuesOf(headers, name);
  if (match.kind === 'present' || values.length === 0) return values.length > 0;
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
