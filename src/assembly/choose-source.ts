import type { Clock } from '../base/clock.ts';
import type { ConfigSource } from '../control/sources/config-source.ts';
import type { Hold } from '../control/sources/control-plane-source.ts';
import { givenSource } from '../control/sources/given-source.ts';
import { folderSource, memorySource } from '../control/sources/folder-source.ts';
import { fixedRoster } from '../control/sources/proxy-roster.ts';
import { threadSource } from '../control/sources/thread-source.ts';
import type { EgressOptions } from './egress-options.ts';
import type { Observation } from './observe.ts';

type SourceOptions = Pick<
  EgressOptions,
  'resources' | 'controlPlane' | 'proxies' | 'source' | 'configThread' | 'name' | 'zone' | 'identities' | 'strict'
>;

/** Throws a TypeError where the options name no source, or more than one. */
export function checkSources(options: SourceOptions): void {
  const { resources, controlPlane, proxies, source } = options;
  if (resources === undefined && controlPlane === undefined && proxies === undefined && source === undefined)
    throw new TypeError('startEgress needs resources, controlPlane or source, or proxies');
  if (proxies !== undefined && (resources ?? controlPlane) !== undefined)
    throw new TypeError('startEgress: proxies cannot be combined with resources or controlPlane');
  if (source === undefined) return;
  for (const key of NOT_OF_A_SOURCE)
    if (options[key] !== undefined)
      throw new TypeError(`startEgress: ${key} cannot be combined with source: the source decides what is loaded, and how`);
}

const NOT_OF_A_SOURCE = ['resources', 'controlPlane', 'proxies', 'name', 'zone', 'identities', 'strict', 'configThread'] as const;

interface SourceParts {
  readonly clock: Clock;
  readonly observation: Observation;
  /** For sources that send clients before they send a configuration. */
  readonly hold: Hold;
}

/** Chooses the source. No other code knows all sources; a new one is a line here. */
export async function chooseSource(options: SourceOptions, parts: SourceParts): Promise<ConfigSource> {
  const { clock, observation } = parts;
  const joining = { clock, sinks: observation.observer, hold: parts.hold };
  const { resources = [], controlPlane, proxies, source, name, zone, identities, strict } = options;
  if (proxies !== undefined) {
    const { severalControlPlanes } = await import('../control/sources/join-control-plane.ts');
    return severalControlPlanes('read' in proxies ? proxies : fixedRoster(proxies), joining);
  }
  if (source !== undefined) return givenSource(source, (error) => observation.fault(error));
  if (controlPlane !== undefined) {
    // An egress without a control plane has no such series: an alert takes 0 for one that is away.
    observation.observer.metrics.controlPlane(false, null);
    // gRPC and Envoy's messages take a second to load, so they are loaded only to join a control
    // plane.
    const { controlPlaneOf } = await import('../control/sources/join-control-plane.ts');
    return controlPlaneOf(controlPlane, joining);
  }
  const given = {
    ...(name === undefined ? {} : { name }),
    ...(zone === undefined ? {} : { zone }),
    ...(identities === undefined ? {} : { identities }),
    ...(strict === undefined ? {} : { strict }),
  };
  if (typeof resources !== 'string') return memorySource(resources, given);
  const folder = { ...given, dir: resources, clock };
  return options.configThread === true ? threadSource(folder) : folderSource(folder);
}
