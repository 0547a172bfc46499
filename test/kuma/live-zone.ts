import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parseAllDocuments, stringify } from 'yaml';
import type { SourceFile } from '../../src/resources/compile.ts';

export const LIVE: URL = new URL('../../../shared/conformance/kuma-cp-live/', import.meta.url);
export const KUMA: URL = new URL('../../../shared/conformance/kuma-2.14.3/', import.meta.url);

export function skipWithout(folder: URL): { readonly skip: string | false } {
  return { skip: existsSync(folder) ? false : 'skipped: no conformance data' };
}

/** What the zones' ingresses of the recording offered, by the Dataplanes that ran there and the ExternalService of zone-2. */
const OFFERED = {
  'zone-2': [
    ['default', { 'kuma.io/service': 'backend', 'kuma.io/protocol': 'tcp', 'kuma.io/zone': 'zone-2', version: 'v1' }],
    ['default', { 'kuma.io/service': 'backend', 'kuma.io/protocol': 'tcp', 'kuma.io/zone': 'zone-2', version: 'v2' }],
    ['default', { 'kuma.io/service': 'es-zone2', 'kuma.io/protocol': 'tcp', 'kuma.io/zone': 'zone-2' }],
    ['mesh-2', { 'kuma.io/service': 'backend', 'kuma.io/protocol': 'tcp', 'kuma.io/zone': 'zone-2', version: 'v1' }],
    ['mesh-2', { 'kuma.io/service': 'backend', 'kuma.io/protocol': 'tcp', 'kuma.io/zone': 'zone-2', version: 'v2' }],
  ],
  'zone-3': [['default', { 'kuma.io/service': 'backend', 'kuma.io/protocol': 'tcp', 'kuma.io/zone': 'zone-3', version: 'v1' }]],
} as const;

/** The resources of the recorded zone as its control plane had them: those of the global one with the names and labels that they get on the way. */
export function liveZone(): readonly SourceFile[] {
  const folder = new URL('resources/', LIVE);
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((path) => ({ path, text: synced(withPems(readFileSync(new URL(path, folder), 'utf8'))) }));
  const proxy = (file: string, zone: string, more: object): SourceFile => ({
    path: file,
    text: `${readFileSync(new URL(`proxies/${file}`, folder), 'utf8')}${stringify({ zone, ...more })}`,
  });
  const offered = (zone: keyof typeof OFFERED): object => ({
    availableServices: OFFERED[zone].map(([mesh, tags]) => ({ mesh, tags, instances: 1 })),
  });
  return [
    ...files,
    proxy('zoneegress.yaml', 'zone-1', {}),
    proxy('zoneingress-zone2.yaml', 'zone-2', offered('zone-2')),
    proxy('zoneingress-zone3.yaml', 'zone-3', offered('zone-3')),
  ];
}

/** The CA and the pair that the services of the recording used. The key, a throw-away one, is only in what was sent to the egress. */
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

/** Kuma's way from the global control plane to a zone: a hash in the name, and labels that say what it was. */
export function synced(text: string): string {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Readonly<Record<string, string>>)
    .map(({ type = '', mesh, name = '', ...spec }) => {
      if (mesh === undefined) return stringify({ type, name, ...spec });
      const labels = { 'kuma.io/display-name': name, 'kuma.io/mesh': mesh, 'kuma.io/origin': 'global' };
      return stringify({ type, mesh, name: hashedName(mesh, name), labels, ...spec });
    })
    .join('---\n');
}

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** FNV-1a of mesh and name, in hex, with letters that spell no words. */
export function hashedName(mesh: string, name: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(mesh + name)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  const hex = hash.toString(16).padStart(16, '0');
  return `${name}-${[...hex].map((digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length] ?? '').join('')}`;
}
