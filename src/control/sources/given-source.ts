import { forbids, hasErrors } from '../../base/problem.ts';
import type { Problem } from '../../base/problem.ts';
import type { Compiled } from '../../model/compiled.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { deepFreeze } from '../../resources/deep-freeze.ts';
import { checkCompiled } from './check-source.ts';
import type { ConfigSource } from './config-source.ts';

/** Called for a fault of an embedder's source outside of any call of the egress. */
export type OnSourceFault = (error: Error) => void;

/**
 * Wraps an embedder's source so that the promises of the interface hold: its configurations are
 * checked and copied, its calls after a stop are ignored, and its errors are reported and never end
 * the process.
 */
export function givenSource(source: ConfigSource, onFault: OnSourceFault): ConfigSource {
  let closing: Promise<void> | null = null;
  let closed = false;

  function fault(what: string): (cause: unknown) => void {
    return (cause) => onFault(new Error(`${what} the source of the configuration: ${textOf(cause)}`, { cause }));
  }

  return {
    about: source.about ?? { mode: 'own source', source: '' },
    ...(source.warnings === undefined ? {} : { warnings: source.warnings }),
    ...(source.behaviour === undefined ? {} : { behaviour: source.behaviour }),
    ...(source.adminListener === undefined ? {} : { adminListener: () => source.adminListener?.() ?? null }),
    ...(source.controlFacts === undefined ? {} : { controlFacts: () => source.controlFacts?.() ?? null }),
    ...(source.wentLive === undefined ? {} : { wentLive: () => void caught(() => source.wentLive?.()).catch(fault('tell')) }),
    ...(source.keptSince === undefined ? {} : { keptSince: () => source.keptSince?.() ?? null }),
    ...(source.proxies === undefined ? {} : { proxies: () => source.proxies?.() ?? [] }),
    ...(source.leave === undefined ? {} : { leave: () => void caught(() => source.leave?.()).catch(fault('leave')) }),
    async start(signal) {
      await source.start?.(signal);
    },
    load: async () => takeOver(await source.load()),
    watch(changed) {
      let stopped = false;
      const stop: unknown = source.watch(() => {
        if (!stopped && !closed) changed();
      });
      if (typeof stop !== 'function') {
        stopped = true;
        // The result of an async function may reject, which must not end the process.
        Promise.resolve(stop).catch(fault('watch'));
        throw new TypeError('startEgress: source.watch() returned no function that stops it');
      }
      return () => {
        if (stopped) return;
        stopped = true;
        caught(stop as () => unknown).catch(fault('stop to watch'));
      };
    },
    close() {
      closed = true;
      closing ??= caught(() => source.close?.()).catch(fault('close'));
      return closing;
    },
  };
}

/** Turns a synchronous throw into a rejection. */
async function caught(action: () => unknown): Promise<void> {
  await action();
}

/**
 * Copies the value: changes are found by comparing two values, and a value that the embedder
 * changed in place would equal itself.
 */
function takeOver(given: Compiled): Compiled {
  try {
    checkCompiled(given, 'load()');
  } catch (error) {
    return refused(`the source of the configuration returned a value that is no configuration: ${textOf(error)}`);
  }
  if (given.kind === 'invalid')
    return hasErrors(given.problems) ? given : refused('the source reports an invalid configuration without any error', given);
  if (forbids(given.problems)) return { kind: 'invalid', problems: given.problems };
  const { version, zone, routes, clusters, meshes } = given.snapshot;
  const snapshot: Snapshot = deepFreeze({
    version,
    zone,
    routes: new Map(routes),
    clusters: new Map(clusters),
    meshes: new Map(meshes),
  });
  return { ...given, snapshot, secrets: new Map(given.secrets), origins: new Map(given.origins) };
}

function refused(message: string, given?: Compiled): Compiled {
  const problem: Problem = { severity: 'error', file: 'configuration', line: 0, column: 0, field: '', message };
  return { kind: 'invalid', problems: [problem, ...(given?.problems ?? [])] };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
