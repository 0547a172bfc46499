/**
 * Encodes and decodes the three forms in which Kuma puts a destination into an SNI. Compilers
 * encode. Decoding serves explanations for people. Routing does neither: it compares whole names.
 */
import { Buffer } from 'node:buffer';

export type Decoded<Value> =
  { readonly kind: 'decoded'; readonly value: Value } | { readonly kind: 'invalid'; readonly problem: string };

const SERVICE = 'kuma.io/service';

/**
 * Encodes the tag form: `service`, or `service{k=v,…}` sorted by key. Callers add the tag `mesh`,
 * as Kuma does for its egress. No character is escaped.
 */
export function encodeTagSni(tags: Readonly<Record<string, string>>): string {
  const { [SERVICE]: service = '', ...extra } = tags;
  const pairs = sortedPairs(extra);
  return pairs === '' ? service : `${service}{${pairs}}`;
}

/** Decodes as Kuma does, quirks included: it drops every `}` wherever it stands. */
export function decodeTagSni(sni: string): Decoded<Readonly<Record<string, string>>> {
  const [service = '', list, ...more] = sni.split('{');
  if (more.length > 0) return { kind: 'invalid', problem: `cannot parse tags from sni: ${sni}` };
  const tags: [string, string][] = [];
  for (const pair of list === undefined ? [] : list.replaceAll('}', '').split(',')) {
    const [key, value, ...rest] = pair.split('=');
    if (key === undefined || value === undefined || rest.length > 0) {
      const problem = 'invalid format of tags, pairs should be separated by , and key should be separated from value by =';
      return { kind: 'invalid', problem };
    }
    tags.push([key, value]);
  }
  return { kind: 'decoded', value: Object.fromEntries([...tags, [SERVICE, service]]) };
}

/** MeshService, MeshExternalService, MeshMultiZoneService, as the hash form abbreviates them. */
export type HashSniKind = 'ms' | 'mes' | 'mzms';

export interface HashSniTarget {
  readonly kind: HashSniKind;
  /** The display name; for a MeshService it includes the namespace where Kuma adds one. */
  readonly name: string;
  readonly mesh: string;
  readonly port: number;
  /** Kuma 2.14 passes labels only in its tests. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Encodes the hash form (Kuma's MADR 055). The hash covers the whole names but neither kind nor
 * port; the text after it may be cut.
 */
export function encodeHashSni({ kind, name, mesh, port, labels = {} }: HashSniTarget): string {
  const hash = fnv1a64(Buffer.from(`${name};${mesh};${sortedPairs(labels)}`));
  return `a${hash.toString(16).padStart(16, '0')}.${cutLabel(name)}.${port}.${cutLabel(mesh)}.${kind}`;
}

export interface HashSniParts {
  readonly kind: HashSniKind;
  /**
   * 16 hex digits. The hash cannot be inverted: find the target by encoding all targets that exist.
   */
  readonly hash: string;
  /** Cut to 62 bytes and ended by `x` where the real name is longer. */
  readonly name: string;
  readonly mesh: string;
  readonly port: number;
}

/**
 * Decodes the hash form. Where several segments are numbers, the last one before a mesh is the
 * port.
 */
export function decodeHashSni(sni: string): Decoded<HashSniParts> {
  const match = /^a([0-9a-f]{16})\.(.+)\.([0-9]{1,5})\.(.+)\.(ms|mes|mzms)$/.exec(sni);
  const [, hash = '', name = '', port = '', mesh = '', kind] = match ?? [];
  if (!isHashKind(kind))
    return { kind: 'invalid', problem: 'not of the form a<16 hex digits>.<name>.<port>.<mesh>.<ms|mes|mzms>' };
  return { kind: 'decoded', value: { kind, hash, name, mesh, port: Number(port) } };
}

/** MeshService, MeshExternalService, MeshMultiZoneService, as a KRI abbreviates them. */
export type KriSniKind = 'msvc' | 'extsvc' | 'mzsvc';

export interface KriSniTarget {
  readonly kind: KriSniKind;
  readonly mesh: string;
  /** Empty for a resource made at the global control plane. */
  readonly zone: string;
  /** Empty on Universal. Left out of the name where there is no zone, as Kuma does. */
  readonly namespace: string;
  readonly name: string;
  /** Name of the port, or its number; a MeshExternalService always has the number. */
  readonly section: string;
}

export type KriSni =
  | { readonly kind: 'encoded'; readonly sni: string }
  /** Every reason, in Kuma's wording. */
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

const DNS_LABEL_LIMIT = 63;
const DNS_HOSTNAME_LIMIT = 253;

/**
 * Encodes the KRI form (Kuma's MADR 101):
 * `sni.<kind>.<mesh>[.<zone>[.<namespace>]].<name>.<section>`. No part is escaped, hashed or cut,
 * so each must be a DNS label.
 */
export function encodeKriSni({ kind, mesh, zone, namespace, name, section }: KriSniTarget): KriSni {
  if (mesh === '' || name === '' || section === '') {
    return { kind: 'invalid', problems: ['mesh, name and sectionName must be non-empty'] };
  }
  const inZone: [string, string][] = zone === '' ? [] : [['zone', zone]];
  if (zone !== '' && namespace !== '') inZone.push(['namespace', namespace]);

  const problems: string[] = [];
  for (const [field, value] of [['mesh', mesh], ['name', name], ...inZone] as const) {
    const faults = labelFaults(value);
    if (faults !== '') problems.push(`${field} ${JSON.stringify(value)} does not conform to RFC 1123: ${faults}`);
  }
  const faults = labelFaults(section);
  if (faults !== '') problems.push(faults);

  const sni = ['sni', kind, mesh, ...inZone.map(([, value]) => value), name, section].join('.');
  if (Buffer.byteLength(sni) > DNS_HOSTNAME_LIMIT) {
    const size = Buffer.byteLength(sni);
    problems.push(`computed SNI is ${size} characters which exceeds the DNS hostname limit (${DNS_HOSTNAME_LIMIT})`);
  }
  return problems.length > 0 ? { kind: 'invalid', problems } : { kind: 'encoded', sni };
}

/** Six segments have a zone and no namespace: a namespace needs a zone. */
export function decodeKriSni(sni: string): Decoded<KriSniTarget> {
  const [prefix, kind, mesh = '', ...rest] = sni.split('.');
  const section = rest.pop() ?? '';
  const name = rest.pop() ?? '';
  const [zone = '', namespace = ''] = rest;
  if (prefix !== 'sni' || !isKriKind(kind) || rest.length > 2) {
    return { kind: 'invalid', problem: 'not of the form sni.<msvc|extsvc|mzsvc>.<mesh>[.<zone>[.<namespace>]].<name>.<section>' };
  }
  const target = { kind, mesh, zone, namespace, name, section };
  const again = encodeKriSni(target);
  if (again.kind === 'invalid') return { kind: 'invalid', problem: again.problems.join('; ') };
  if (again.sni !== sni) return { kind: 'invalid', problem: 'an empty segment' };
  return { kind: 'decoded', value: target };
}

/** The form that a name seems to have, for an explanation. Routing does not use it. */
export type SniDescription =
  | { readonly form: 'tag'; readonly service: string; readonly tags: Readonly<Record<string, string>> }
  | ({ readonly form: 'hash' } & HashSniParts)
  | ({ readonly form: 'kri' } & KriSniTarget)
  /**
   * A plain host name, or a malformed name of one of the forms. `problem` then says what is wrong;
   * it is empty for a plain name.
   */
  | { readonly form: 'other'; readonly problem: string };

/**
 * Describes the name as the client sent it; it ignores ASCII case for the two forms that are host
 * names.
 */
export function describeSni(text: string): SniDescription {
  if (text.includes('{')) {
    const decoded = decodeTagSni(text);
    if (decoded.kind === 'invalid') return { form: 'other', problem: decoded.problem };
    const { [SERVICE]: service = '', ...tags } = decoded.value;
    return { form: 'tag', service, tags };
  }
  const folded = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const hash = decodeHashSni(folded);
  if (hash.kind === 'decoded') return { form: 'hash', ...hash.value };
  if (!folded.startsWith('sni.')) return { form: 'other', problem: '' };
  const kri = decodeKriSni(folded);
  return kri.kind === 'decoded' ? { form: 'kri', ...kri.value } : { form: 'other', problem: kri.problem };
}

function isHashKind(text: string | undefined): text is HashSniKind {
  return text === 'ms' || text === 'mes' || text === 'mzms';
}

function isKriKind(text: string | undefined): text is KriSniKind {
  return text === 'msvc' || text === 'extsvc' || text === 'mzsvc';
}

/**
 * Sorts by bytes, as Go does; sorting by code units differs only beyond the BMP, which Kuma's tags
 * cannot have.
 */
function sortedPairs(tags: Readonly<Record<string, string>>): string {
  return Object.entries(tags)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/**
 * Cuts names of 63 bytes too, although a DNS label may have as many: so a cut name, which ends in
 * `x`, never equals a whole one.
 */
function cutLabel(text: string): string {
  const bytes = Buffer.from(text);
  return bytes.length > DNS_LABEL_LIMIT - 1 ? `${bytes.toString('utf8', 0, DNS_LABEL_LIMIT - 1)}x` : text;
}

/** Checks Kubernetes' IsDNS1123Label and returns its messages. */
function labelFaults(value: string): string {
  const faults: string[] = [];
  if (Buffer.byteLength(value) > DNS_LABEL_LIMIT) faults.push(`must be no more than ${DNS_LABEL_LIMIT} characters`);
  const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
  if (new RegExp(`^${label}$`).test(value)) return faults.join('; ');
  if (new RegExp(`^${label}(\\.${label})*$`).test(value)) faults.push('must not contain dots');
  else {
    faults.push(
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character " +
        `(e.g. 'my-name',  or '123-abc', regex used for validation is '${label}')`,
    );
  }
  return faults.join('; ');
}

function fnv1a64(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
