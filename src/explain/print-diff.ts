import type { ClusterDiff, ConfigDiff, RouteDiff } from './diff.ts';
import { plural } from '../base/plural.ts';
import { linesText } from './lines.ts';
import { inFile } from './trace.ts';

const MAX_NAMED = 20;

/**
 * Writes the differences for people: first newly allowed clients and weaker verification. Ends with
 * a line feed.
 */
export function diffText(diff: ConfigDiff): string {
  const { before, after, routes, clusters, meshes } = diff;
  if (diff.isSame) return `the same: configuration ${after.version}\n`;
  const weaker = clusters.flatMap(({ cluster, tls, place }) =>
    tls.filter(({ isWeaker }) => isWeaker).map(({ endpoint, text }) => `${cluster} ${endpoint}: ${text}${inFile(place)}`),
  );
  const sections: readonly (readonly [title: string, lines: readonly string[]])[] = [
    ['NEWLY ALLOWED', routes.flatMap((route) => accessLines(route, route.newlyAllowed))],
    ['TLS WEAKENED', weaker],
    ['no longer allowed', routes.flatMap((route) => accessLines(route, route.noLongerAllowed))],
    ['routes', routes.flatMap(routeLines)],
    ['endpoints', clusters.flatMap(clusterLines)],
    [
      'meshes',
      meshes.map(({ kind, mesh, fields }) => `${SIGNS[kind]} ${mesh}${fields.length === 0 ? '' : `: ${fields.join(', ')}`}`),
    ],
  ];
  const zone = before.zone === after.zone ? [] : [`zone: ${after.zone}, was ${before.zone}`];
  const partial = routes.filter(({ isPartial }) => isPartial).length;
  const notes =
    partial === 0
      ? []
      : [
          '',
          `note: ${plural(partial, 'permission')} with very many rules: clients with several of the tags that they name were not compared`,
        ];
  const told = sections
    .filter(([, lines]) => lines.length > 0)
    .flatMap(([title, lines]) => ['', title, ...lines.map((line) => `  ${line}`)]);
  return linesText([`configuration ${after.version}, was ${before.version}`, ...zone, ...told, ...notes, '']);
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const;

function accessLines({ sni, place, decidedElsewhere }: RouteDiff, who: readonly string[]): readonly string[] {
  if (who.length === 0) return [];
  if (decidedElsewhere) return [`${sni}: the clients that the other zone admits${inFile(place)}`];
  const more = who.length > MAX_NAMED ? `, and ${who.length - MAX_NAMED} more` : '';
  return [`${sni}: ${who.slice(0, MAX_NAMED).join(', ')}${more}${inFile(place)}`];
}

function routeLines({ kind, sni, destination, mesh, mode, fields }: RouteDiff): readonly string[] {
  const what = kind === 'changed' ? fields.join('; ') : `${destination} of mesh ${mesh}, ${mode}`;
  return [`${SIGNS[kind]} ${sni}: ${what}`];
}

function clusterLines({ kind, cluster, added, removed, changed, tls, fields }: ClusterDiff): readonly string[] {
  const other = tls.filter(({ isWeaker }) => !isWeaker).map(({ endpoint, text }) => `${endpoint} TLS: ${text}`);
  const parts = [...removed.map((name) => `- ${name}`), ...added.map((name) => `+ ${name}`), ...changed, ...other, ...fields];
  // Weaker verification is listed above.
  if (parts.length === 0) return [];
  const some = parts.slice(0, MAX_NAMED);
  return [
    `${SIGNS[kind]} ${cluster}: ${some.join(', ')}${parts.length > some.length ? `, and ${parts.length - some.length} more` : ''}`,
  ];
}
