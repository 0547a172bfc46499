import type { Problem } from '../../base/problem.ts';
import type { ControlPlaneOptions } from '../../xds/bootstrap/control-plane-options.ts';
import { proxyId } from './proxy-sentence.ts';

/** One proxy as which the process has to join a control plane. */
export interface RosterEntry {
  readonly controlPlane: ControlPlaneOptions;
  /** Differs where the token may be another one than before. Absent means that it never differs. */
  readonly tokenMark?: string;
}

/**
 * Lists the proxies as which one process joins. An entry comes and goes while the process runs; its
 * id is that of its ZoneEgress or Dataplane.
 */
export interface ProxyRoster {
  /** For the first line of the log. */
  readonly about: string;
  /** Warnings for the log at the start, about all of them. Absent means none. */
  readonly warnings?: readonly string[];
  /** Reads the list. An error is about one entry, and never ends the others. */
  read(): Promise<{ readonly entries: readonly RosterEntry[]; readonly problems: readonly Problem[] }>;
  /** Calls `changed` when another read may have another result; returns what stops it. */
  watch(changed: () => void): () => void;
}

/** Makes a roster of a list that never changes. */
export function fixedRoster(all: readonly ControlPlaneOptions[]): ProxyRoster {
  return {
    about: `${all.length} proxies`,
    read: () => Promise.resolve({ entries: all.map((controlPlane) => ({ controlPlane })), problems: [] }),
    watch: () => () => {},
  };
}

export function entryId({ controlPlane }: RosterEntry): string {
  return proxyId(controlPlane);
}

/** Changes where the proxy has to join anew. */
export function entryMark({ controlPlane }: RosterEntry): string {
  const { url, caCert = '', resource, readinessPort, delta = false } = controlPlane;
  return JSON.stringify([url, caCert, resource, readinessPort, delta]);
}
