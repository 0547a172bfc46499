import type { Clock } from '../base/clock.ts';
import type { ConfigSource } from '../control/sources/config-source.ts';
import { folderSource, memorySource } from '../control/sources/folder-source.ts';
import { threadSource } from '../control/sources/thread-source.ts';
import type { Observer } from '../observe/observer.ts';
import type { EgressOptions } from './egress-options.ts';

type SourceOptions = Pick<
  EgressOptions,
  'resources' | 'controlPlane' | 'source' | 'configThread' | 'name' | 'zone' | 'identities' | 'strict'
>;

/** Throws a TypeError where the options name no source, or leave open which one counts. */
export function checkSource({ resources, controlPlane, source }: SourceOptions): void {
  if (source !== undefined && (resources !== undefined || controlPlane !== undefined))
    throw new TypeError('startEgress: source goes together neither with resources nor with controlPlane');
  if (resources === undefined && controlPlane === undefined && source === undefined)
    throw new TypeError('startEgress needs resources, controlPlane or source');
}

/** The one place that knows which sources there are. Another source is another line here. */
export async function chooseSource(options: SourceOptions, clock: Clock, observer: Observer): Promise<ConfigSource> {
  const { resources = [], controlPlane, source, name, zone, identities, strict } = options;
  if (source !== undefined) return source;
  if (controlPlane !== undefined) {
    // gRPC and Envoy's messages take a second to load: only what joins a control plane waits.
    const { controlPlaneOf } = await import('../control/sources/join-control-plane.ts');
    return controlPlaneOf(controlPlane, clock, observer);
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
