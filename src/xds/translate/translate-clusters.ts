import type { ReadFile } from '../../resources/load.ts';
import { deepFreeze } from '../../resources/deep-freeze.ts';
import type { AdsState, Held } from '../messages/ads-state.ts';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { endpointResourceName, secretNamesOfCluster } from '../messages/resource-names.ts';
import { translateCluster } from './translate-cluster.ts';
import type { TranslatedCluster } from './translate-cluster.ts';

type Translations = ReadonlyMap<string, TranslatedCluster>;

/**
 * Translates clusters. Returns the same object for a cluster whose CDS, EDS and secrets did not
 * change. It runs in steps, so that many clusters do not block the event loop.
 */
export type TranslateClusters = (state: AdsState) => Translations | Generator<void, Translations>;

/** Number of clusters in one step. */
const STEP = 50;

interface Needs {
  readonly endpoint: string | null;
  readonly secrets: readonly string[];
}

interface Kept {
  readonly inputs: readonly unknown[];
  readonly translated: TranslatedCluster;
}

/** `readFile` reads certificates on the proxy's disk; a file that changes is not read again. */
export function createClusterTranslator(readFile?: ReadFile): TranslateClusters {
  const needs = new WeakMap<Held<Cluster>, Needs>();
  let kept: ReadonlyMap<string, Kept> = new Map();
  const needsOf = (held: Held<Cluster>): Needs => {
    const known = needs.get(held) ?? {
      endpoint: endpointResourceName(held.resource),
      secrets: secretNamesOfCluster(held.resource),
    };
    needs.set(held, known);
    return known;
  };
  return function* ({ clusters, endpoints, secrets }) {
    const next = new Map<string, Kept>();
    for (const [name, held] of clusters) {
      if (next.size % STEP === 0) yield;
      const { endpoint, secrets: names } = needsOf(held);
      const assignment = endpoint === null ? undefined : endpoints.get(endpoint);
      const inputs = [held.hash, assignment?.hash, ...names.map((secret) => secrets.get(secret)?.hash)];
      const before = kept.get(name);
      next.set(
        name,
        before !== undefined && same(before.inputs, inputs)
          ? before
          : { inputs, translated: translated(held, assignment?.resource) },
      );
    }
    kept = next;
    return new Map([...next].map(([name, { translated: translation }]) => [name, translation]));

    function translated(
      { resource }: Held<Cluster>,
      assignment: Parameters<typeof translateCluster>[0]['assignment'],
    ): TranslatedCluster {
      const secret = (name: string): ReturnType<Parameters<typeof translateCluster>[0]['secret']> => secrets.get(name)?.resource;
      const result = translateCluster({ cluster: resource, assignment, secret, ...(readFile === undefined ? {} : { readFile }) });
      deepFreeze(result.cluster);
      return result;
    }
  };
}

function same(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((each, i) => each === b[i]);
}
