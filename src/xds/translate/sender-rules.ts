import type { HeaderMatch, SenderRule } from '../../model/http-route.ts';
import type { HeaderMatcher } from '#envoy/config/route/v3/route_components_pb.js';
import type { Notes } from './read-http-policies.ts';

/**
 * Reads matchers of headers; among regular expressions, those that Kuma makes of tags. A matcher
 * that is not understood refuses every client.
 */
export function senderRules(matchers: readonly HeaderMatcher[], notes: Notes): readonly SenderRule[] {
  return matchers.flatMap((matcher) => {
    const rule = ruleOf(matcher);
    if (rule === null || (matcher.$unknown ?? []).length > 0 || matcher.treatMissingHeaderAsEmpty) {
      notes.unsupported.push(`it treats requests by the header ${matcher.name} in a way that is not evaluated`);
      return [];
    }
    return [matcher.invertMatch ? inverted(rule) : rule];
  });
}

function inverted(rule: SenderRule): SenderRule {
  const { not = false, ...asked } = rule;
  return not ? asked : { ...asked, not: true };
}

function ruleOf({ name, headerMatchSpecifier: by }: HeaderMatcher): SenderRule | null {
  const header = (match: HeaderMatch): SenderRule => ({ kind: 'header', name: name.toLowerCase(), match });
  switch (by.case) {
    case undefined:
      return header({ kind: 'present' });
    case 'presentMatch':
      return by.value ? header({ kind: 'present' }) : { ...header({ kind: 'present' }), not: true };
    case 'exactMatch':
      return header({ kind: 'exact', value: by.value });
    case 'prefixMatch':
      return header({ kind: 'prefix', value: by.value });
    case 'suffixMatch':
      return header({ kind: 'suffix', value: by.value });
    case 'containsMatch':
      return header({ kind: 'contains', value: by.value });
    case 'safeRegexMatch':
      return tagsRule(name, by.value.regex);
    case 'stringMatch': {
      const { matchPattern: pattern, ignoreCase } = by.value;
      if (pattern.case === 'safeRegex') return ignoreCase ? null : tagsRule(name, pattern.value.regex);
      if (pattern.case === undefined || pattern.case === 'custom') return null;
      return header({ kind: pattern.case, value: pattern.value, ...(ignoreCase ? { ignoreCase } : {}) });
    }
    case 'rangeMatch':
      return null;
    default:
      return by satisfies never;
  }
}

/**
 * `.*&kuma.io/service=[^&]*frontend[,&].*`: one such piece for each tag, alternatives in brackets.
 */
function tagsRule(name: string, regex: string): SenderRule | null {
  if (name.toLowerCase() !== 'x-kuma-tags') return null;
  const alternatives = regex.replace(/^\((.*)\)$/, '$1').split('|');
  const any = alternatives.map((each) => {
    const whole = /^\.\*(?:&[^&=]+=\[\^&\]\*[^&[\]|]*\[,&\]\.\*)+$/.test(each);
    if (!whole) return null;
    const pieces = [...each.matchAll(/&([^&=]+)=\[\^&\]\*([^&[\]|]*)\[,&\]/g)];
    return Object.fromEntries(pieces.map(([, tag = '', value = '']) => [tag, value === '' ? '*' : value]));
  });
  const known = any.filter((tags) => tags !== null);
  return known.length === any.length ? { kind: 'tags', any: known } : null;
}
