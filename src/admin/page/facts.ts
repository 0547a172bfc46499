import type { LastHour } from '../../observe/last-hour.ts';
import type { EnvoyFacts } from '../envoy/facts.ts';
import type { AdminState } from '../server.ts';

/** The facts of the page, read anew for each request. */
export interface PageFacts
  extends
    Pick<
      AdminState,
      'ready' | 'proxies' | 'alarms' | 'decisions' | 'requests' | 'sessions' | 'wall' | 'snapshot' | 'problems' | 'explain'
    >,
    Pick<EnvoyFacts, 'version' | 'workers' | 'uptimeMs' | 'use' | 'targets' | 'health' | 'memory'> {
  /** Name of the ZoneEgress; empty before the first configuration. */
  name(): string;
  /** Counts accepted connections that have not ended. */
  open(): number;
  lastLoad(): LastLoad | null;
  credentials(): readonly { readonly mesh: string; readonly cert: string; readonly trust: string }[];
  readonly lastHour: LastHour;
}

export interface LastLoad {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** True where the last load changed nothing because of its errors. */
  readonly rejected: boolean;
  /** When the live configuration went live; null where none is. */
  readonly liveSince: number | null;
  /** The last change while it ran; null before the first one. */
  readonly changes: LastChanges | null;
}

/** The changes of a reload, with the first few names of each kind. */
export interface LastChanges {
  readonly routesAdded: number;
  readonly routesRemoved: number;
  readonly routesChanged: number;
  readonly clustersChanged: number;
  /** SNIs. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  /** `<SNI>: <client>`. */
  readonly newlyAllowed: readonly string[];
  readonly noLongerAllowed: readonly string[];
}
