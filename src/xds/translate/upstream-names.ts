import type { NameMatcher } from '../../model/cluster.ts';
import { hostKind } from '../../resources/hosts.ts';
import { SubjectAltNameMatcher_SanType as SanType } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type {
  CertificateValidationContext,
  SubjectAltNameMatcher,
} from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { StringMatcher } from '#envoy/type/matcher/v3/string_pb.js';

export type NamesRead =
  /** Null when names are not checked. */
  | { readonly kind: 'names'; readonly names: readonly NameMatcher[] | null; readonly remarks: readonly string[] }
  | { readonly kind: 'unusable'; readonly why: string };

/**
 * Reads the names of which a server must have one. A matcher that cannot be compared here is left
 * out, which accepts fewer servers; where none is left, no server is accepted.
 */
export function namesOf({
  matchTypedSubjectAltNames: typed,
  matchSubjectAltNames: untyped,
}: CertificateValidationContext): NamesRead {
  // Envoy ignores the old field beside the new one.
  const anyType = typed.length > 0 ? [] : untyped;
  if (typed.length + anyType.length === 0) return { kind: 'names', names: null, remarks: [] };
  const names: NameMatcher[] = [];
  const left: string[] = [];
  const add = (found: NameMatcher | null, otherwise: string): void => {
    if (found === null) left.push(otherwise);
    else if (!names.some(({ kind, value }) => kind === found.kind && value === found.value)) names.push(found);
  };
  for (const matcher of anyType) add(dnsOrIp(matcher, { dns: true, ip: true }), describe('any', matcher));
  for (const [i, item] of typed.entries()) {
    // Kuma sends each name as both types, because it does not distinguish them.
    if (!isPaired(typed, i)) add(found(item), describe(SanType[item.sanType], item.matcher));
  }
  const what = left.join(', ');
  if (names.length === 0)
    return { kind: 'unusable', why: `its TLS accepts certificates by names that are not compared here: ${what}` };
  const remarks = left.length === 0 ? [] : [`no certificate is accepted by these names, which are not compared here: ${what}`];
  return { kind: 'names', names, remarks };
}

function found({ sanType, matcher }: SubjectAltNameMatcher): NameMatcher | null {
  return matcher === undefined ? null : dnsOrIp(matcher, { dns: sanType === SanType.DNS, ip: sanType === SanType.IP_ADDRESS });
}

/** Tells whether a matcher can never match, and the same text is there for the type that can. */
function isPaired(typed: readonly SubjectAltNameMatcher[], at: number): boolean {
  const own = typed[at];
  if (own?.matcher === undefined || found(own) !== null) return false;
  const text = patternText(own.matcher);
  return typed.some((other) => other.matcher !== undefined && patternText(other.matcher) === text && found(other) !== null);
}

/**
 * Compares an exact address with IP names, and an exact name or a prefix with DNS names; null for
 * all else.
 */
function dnsOrIp(
  { matchPattern, ignoreCase }: StringMatcher,
  of: { readonly dns: boolean; readonly ip: boolean },
): NameMatcher | null {
  if (ignoreCase && matchPattern.case !== 'exact') return null;
  if (matchPattern.case === 'prefix')
    return of.dns && matchPattern.value !== '' ? { kind: 'prefix', value: matchPattern.value } : null;
  if (matchPattern.case !== 'exact') return null;
  const kind = hostKind(matchPattern.value);
  if (kind === 'ip') return of.ip ? { kind: 'exact', value: matchPattern.value } : null;
  return of.dns ? { kind: 'exact', value: withoutDot(matchPattern.value) } : null;
}

function patternText({ matchPattern }: StringMatcher): string {
  return `${matchPattern.case ?? 'nothing'} ${typeof matchPattern.value === 'string' ? matchPattern.value : ''}`;
}

function describe(type: string | undefined, matcher: StringMatcher | undefined): string {
  return `${type ?? 'another type'} ${matcher === undefined ? 'nothing' : patternText(matcher)}`;
}

/** A name that ends in a dot is sent and compared without the dot. */
export function withoutDot(name: string): string {
  return name.replace(/\.$/, '');
}
