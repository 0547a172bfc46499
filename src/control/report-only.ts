/** Marks the routes of meshes whose permissions are only reported (`--report-only`). */
import type { Problem } from '../base/problem.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Good } from './sources/config-source.ts';

export interface ReportOnly {
  readonly config: Good;
  /** Meshes that the configuration does not have: an error at the start, a warning later. */
  readonly unknown: readonly string[];
}

/**
 * Sets the mark by the options alone: the mark of a source counts for nothing, so that no resource,
 * no control plane and no kept configuration can switch permissions off.
 */
export function withReportOnly(config: Good, meshes: readonly string[]): ReportOnly {
  const { snapshot } = config;
  const known = meshesIn(snapshot);
  const unknown = meshes.filter((mesh) => !known.has(mesh));
  const wanted = new Set(meshes);
  const isRight = (route: Route): boolean =>
    route.kind === 'passthrough' || (route.reportOnly === true) === wanted.has(route.mesh);
  if ([...snapshot.routes.values()].every(isRight)) return { config, unknown };
  const routes = new Map([...snapshot.routes].map(([name, route]) => [name, isRight(route) ? route : marked(route, wanted)]));
  return { config: { ...config, snapshot: Object.freeze({ ...snapshot, routes }) }, unknown };
}

function marked(route: Route, wanted: ReadonlySet<string>): Route {
  if (route.kind === 'passthrough') return route;
  const { reportOnly: _mark, ...enforced } = route;
  return Object.freeze(wanted.has(route.mesh) ? { ...enforced, reportOnly: true } : enforced);
}

/** The meshes whose permissions this egress judges. */
function meshesIn({ routes }: Snapshot): ReadonlySet<string> {
  return new Set([...routes.values()].flatMap((route) => (route.kind === 'terminate' ? [route.mesh] : [])));
}

const NOWHERE = { file: '--report-only', line: 0, column: 0, field: '' } as const;

export function unknownMeshes({ config: { snapshot }, unknown }: ReportOnly, severity: Problem['severity']): readonly Problem[] {
  const known = [...meshesIn(snapshot)].sort();
  const have = known.length === 0 ? 'there is none' : `it has ${known.join(', ')}`;
  return unknown.map((mesh) => {
    const message = `no mesh ${JSON.stringify(mesh)} with permissions to judge is in the configuration, ${have}${didYouMean(mesh, known)}: the option has no effect on it`;
    return { ...NOWHERE, severity, message };
  });
}

/** The warnings of a configuration whose permissions refuse no client. */
export function reportOnlyWarnings(snapshot: Snapshot): readonly Problem[] {
  return reportOnlyMeshes(snapshot).map((mesh) => {
    const message = `the permissions of mesh ${mesh} refuse no client: what they would refuse passes and is recorded`;
    return { ...NOWHERE, severity: 'warning', message };
  });
}

export function reportOnlyMeshes({ routes }: Snapshot): readonly string[] {
  const marked = [...routes.values()].filter((route) => route.kind === 'terminate' && route.reportOnly === true);
  return [...new Set(marked.map(({ mesh }) => mesh))].sort();
}
