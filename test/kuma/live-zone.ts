import { readdirSync, readFileSync } from 'node:fs';
import { parseAllDocuments, stringify } from 'yaml';
import type { SourceFile } from '../../src/resources/compile.ts';
import { LIVE } from '../data.ts';

interface Offered {
  readonly zone: 'zone-2' | 'zone-3';
  readonly mesh: string;
  readonly service: string;
  readonly version?: string;
  readonly instances: number;
}

/** What the ingresses offered, by the Dataplanes behind them and the ExternalService of zone-2. */
const OFFERED: readonly Offered[] = [
  { zone: 'zone-2', mesh: 'default', service: 'backend', version: 'v1', instances: 1 },
  { zone: 'zone-2', mesh: 'default', service: 'backend', version: 'v2', instances: 1 },
  { zone: 'zone-2', mesh: 'default', service: 'es-zone2', instances: 1 },
  { zone: 'zone-2', mesh: 'mesh-2', service: 'backend', version: 'v1', instances: 1 },
  { zone: 'zone-2', mesh: 'mesh-2', service: 'backend', version: 'v2', instances: 1 },
  { zone: 'zone-3', mesh: 'default', service: 'backend', version: 'v1', instances: 1 },
];

/** A change of the zone during the recording. */
export interface Change {
  /** A file that did not exist. */
  readonly without?: string;
  /** Files of `scenarios/`, which replace resources of the same name. */
  readonly scenarios?: readonly string[];
  /** Replaces what is offered of that name and version. */
  readonly offered?: readonly Offered[];
}

/**
 * Returns the resources of the recorded zone as its control plane had them: those of the global one
 * with the names and labels that they get on the way.
 */
export function liveZone({ without, scenarios = [], offered = [] }: Change): readonly SourceFile[] {
  const folder = new URL('resources/', LIVE);
  const read = (path: string): string => readFileSync(new URL(path, folder), 'utf8');
  const documents = new Map<string, Readonly<Record<string, string>>>();
  for (const path of [...readdirSync(folder).filter((file) => file.endsWith('.yaml') && file !== without), ...scenarios]) {
    for (const document of parseAllDocuments(withPems(read(path)))) {
      const resource = document.toJS() as Readonly<Record<string, string>>;
      documents.set(JSON.stringify([resource['type'], resource['mesh'], resource['name']]), resource);
    }
  }
  const offers = OFFERED.map((offer) => offered.find((other) => isSame(offer, other)) ?? offer);
  offers.push(...offered.filter((other) => !OFFERED.some((offer) => isSame(offer, other))));
  const proxy = (file: string, zone: string): SourceFile => {
    const availableServices = offers.filter((offer) => offer.zone === zone).map(available);
    const more = availableServices.length === 0 ? {} : { availableServices };
    return { path: file, text: read(`proxies/${file}`) + stringify({ zone, ...more }) };
  };
  return [
    { path: 'resources.yaml', text: [...documents.values()].map(synced).join('---\n') },
    proxy('zoneegress.yaml', 'zone-1'),
    proxy('zoneingress-zone2.yaml', 'zone-2'),
    proxy('zoneingress-zone3.yaml', 'zone-3'),
  ];
}

function isSame(a: Offered, b: Offered): boolean {
  return a.zone === b.zone && a.mesh === b.mesh && a.service === b.service && a.version === b.version;
}

function available({ zone, mesh, service, version, instances }: Offered): object {
  const tags = { 'kuma.io/service': service, 'kuma.io/protocol': 'tcp', 'kuma.io/zone': zone };
  return { mesh, tags: version === undefined ? tags : { ...tags, version }, instances };
}

/**
 * The CA and the pair of the recording's services. The key, a throw-away one, is only in what was
 * sent to the egress.
 */
function withPems(text: string): string {
  const pki = (file: string): string => readFileSync(new URL(`resources/pki/${file}`, LIVE), 'utf8');
  return text
    .replaceAll('__EXT_CA_STR__', JSON.stringify(pki('ext-ca.crt')))
    .replaceAll('__EXT_CLIENT_CRT_STR__', JSON.stringify(pki('ext-client.crt')))
    .replaceAll('__EXT_CLIENT_KEY_STR__', () => JSON.stringify(recordedKey()));
}

function recordedKey(): string {
  const sent = readFileSync(new URL('ads/sotw/002-response-cds.json', LIVE), 'utf8');
  const bytes = /"privateKey": \{\s*"inlineBytes": "([^"]+)"/.exec(sent)?.[1] ?? '';
  return Buffer.from(bytes, 'base64').toString();
}

/**
 * Changes resources as Kuma does from the global control plane to a zone: a hash in the name, and
 * labels with the origin.
 */
function synced({ type = '', mesh, name = '', ...spec }: Readonly<Record<string, string>>): string {
  if (mesh === undefined) return stringify({ type, name, ...spec });
  const labels = { 'kuma.io/display-name': name, 'kuma.io/mesh': mesh, 'kuma.io/origin': 'global' };
  return stringify({ type, mesh, name: hashedName(mesh, name), labels, ...spec });
}

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** FNV-1a of mesh and name, in hex, with letters that form no words. */
function hashedName(mesh: string, name: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(mesh + name)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  const hex = hash.toString(16).padStart(16, '0');
  return `${name}-${[...hex].map((digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length] ?? '').join('')}`;
}
