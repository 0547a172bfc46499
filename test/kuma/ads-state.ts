import { readdirSync, readFileSync } from 'node:fs';
import { readResources } from './from-envoy.ts';
import type { EnvoyRouting, Named } from './from-envoy.ts';

interface Recorded {
  readonly '@unchanged'?: string;
  readonly name?: string;
  readonly clusterName?: string;
  readonly serverNames?: readonly string[];
  readonly filterChainMatch?: { readonly serverNames?: readonly string[] };
  readonly filterChains?: readonly Recorded[];
}

/**
 * Returns what an egress has after the message with this number of a recorded state-of-the-world
 * conversation. CDS and LDS repeat everything each time; EDS and SDS add to what is known.
 */
export function readAdsState(folder: URL, until: number): EnvoyRouting {
  return readResources(adsResources(folder, until));
}

export function adsResources(folder: URL, until: number): readonly Named[] {
  const state = new Map<string, Map<string, Recorded>>();
  for (const file of readdirSync(folder).sort()) {
    const [, number = '', type = ''] = /^(\d+)-response-(cds|eds|lds)\.json$/.exec(file) ?? [];
    if (type === '' || Number(number) > until) continue;
    const known = type === 'eds' ? (state.get(type) ?? new Map<string, Recorded>()) : new Map<string, Recorded>();
    for (const resource of resourcesOf(folder, file)) known.set(nameOf(resource), resource);
    state.set(type, known);
  }
  const all = [...state.values()].flatMap((resources) => [...resources]);
  return all.map(([name, resource]) => ({ name, resource }));
}

/** Includes the secrets, which are no part of a routing: SDS adds to what is known. */
export function readSecrets(folder: URL, until: number): readonly Named[] {
  const secrets = new Map<string, Recorded>();
  for (const file of readdirSync(folder).sort()) {
    const number = /^(\d+)-response-sds\.json$/.exec(file)?.[1];
    if (number === undefined || Number(number) > until) continue;
    for (const resource of resourcesOf(folder, file)) secrets.set(nameOf(resource), resource);
  }
  return [...secrets].map(([name, resource]) => ({ name, resource }));
}

function nameOf({ name, clusterName }: Recorded): string {
  return name ?? clusterName ?? '';
}

/**
 * Returns the complete resources of one recorded response: an unchanged resource or chain refers to
 * an earlier file.
 */
export function resourcesOf(folder: URL, file: string): readonly Recorded[] {
  const { href } = new URL(file, folder);
  const known = read.get(href) ?? readResourcesOf(folder, file);
  read.set(href, known);
  return known;
}

/** Recordings do not change, and each refers to earlier ones many times. */
const read = new Map<string, readonly Recorded[]>();

function readResourcesOf(folder: URL, file: string): readonly Recorded[] {
  const { resources = [] } = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as {
    readonly resources?: readonly Recorded[];
  };
  return resources.map((resource) => {
    const earlier = resource['@unchanged'];
    const whole =
      earlier === undefined
        ? resource
        : found(
            resourcesOf(folder, earlier).find((each) => nameOf(each) === nameOf(resource)),
            `${nameOf(resource)} in ${earlier}`,
          );
    if (whole.filterChains === undefined) return whole;
    return { ...whole, filterChains: whole.filterChains.map((chain) => wholeChain(folder, chain)) };
  });
}

function wholeChain(folder: URL, chain: Recorded): Recorded {
  const earlier = chain['@unchanged'];
  if (earlier === undefined) return chain;
  const names = JSON.stringify(chain.serverNames);
  const chains = resourcesOf(folder, earlier).flatMap(({ filterChains = [] }) => filterChains);
  return found(
    chains.find(({ filterChainMatch }) => JSON.stringify(filterChainMatch?.serverNames) === names),
    `${names} in ${earlier}`,
  );
}

function found<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) throw new Error(`no ${what}`);
  return value;
}
