/**
 * Writes what to change so that a refused connection passes: one sentence, with the resource and
 * its place.
 */
import { REFUSALS } from '../base/refusal.ts';
import type { RefusalCode } from '../base/refusal.ts';
import type { ClientClaims } from '../model/client.ts';
import type { Permission } from '../model/permission.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { authoriseClaims } from '../routing/authorise.ts';
import { printable } from '../routing/route.ts';
import { describeSni } from '../wire/sni.ts';
import { absentAdvice } from './absent.ts';
import { isTag, permissionCandidates } from './permission-candidates.ts';
import { inFile, filePlaceOf } from './trace.ts';
import type { Advice, Candidate, NearMiss, Sources } from './trace.ts';

/** The facts about the end of a connection. */
export interface RefusedConnection {
  readonly code: RefusalCode;
  readonly sni: string | null;
  readonly route: Route | null;
  readonly client: ClientClaims | null;
  /** SPIFFE ids, also of a rejected client. */
  readonly ids: readonly string[];
  /** ISO 8601; empty where it is not known. */
  readonly certificateExpiry: string;
  /** When it ended, in milliseconds since the Unix epoch; 0 without a record. */
  readonly at: number;
  readonly nearest: readonly NearMiss[];
  /** The candidates of the step where it ended. */
  readonly candidates: readonly Candidate[];
  readonly snapshot: Snapshot;
  readonly sources: Sources;
}

export function adviceFor(refused: RefusedConnection): Advice {
  const { code, route, sources } = refused;
  switch (code) {
    case 'no-route':
      return routeAdvice(refused);
    case 'no-client-certificate':
      return plain(
        `connect through a data plane of mesh ${route?.mesh ?? ''}, or with a certificate spiffe://${route?.mesh ?? '<mesh>'}/<service>`,
      );
    case 'wrong-mesh':
      return meshAdvice(refused);
    case 'identity-unavailable':
    case 'client-not-trusted': {
      const place = filePlaceOf(sources, `mesh:${route?.mesh ?? ''}`);
      const text = isExpired(refused) ? 'give the client a new certificate: this one has expired' : REFUSALS[code].remedy;
      return { text: `${text}${inFile(place)}`, resource: `Mesh ${route?.mesh ?? ''}`, place };
    }
    case 'denied':
      return route?.kind === 'terminate' ? permissionAdvice(refused, route.permission) : plain(REFUSALS[code].remedy);
    case 'unsupported-policy':
      return unsupportedAdvice(refused);
    case 'no-endpoint':
      return endpointAdvice(refused);
    case 'misconfigured':
    case 'dns-failed':
    case 'forbidden-address':
    case 'connect-timeout':
    case 'connect-refused':
    case 'upstream-tls-failed':
      return atCluster(refused, REFUSALS[code].remedy);
    default:
      return plain(REFUSALS[code].remedy);
  }
}

/** Compares the certificate's expiry with the time of the record. */
function isExpired({ code, certificateExpiry, at }: RefusedConnection): boolean {
  return code === 'client-not-trusted' && certificateExpiry !== '' && Date.parse(certificateExpiry) < at;
}

function atCluster({ route, sources }: RefusedConnection, text: string): Advice {
  if (route === null) return plain(text);
  const place = filePlaceOf(sources, `cluster:${route.cluster}`) ?? filePlaceOf(sources, `route:${route.serverName}`);
  return { text: `${text}${inFile(place)}`, resource: route.destination, place };
}

function endpointAdvice(refused: RefusedConnection): Advice {
  const { route, candidates } = refused;
  const subset = route?.kind === 'passthrough' ? route.subset : {};
  const missing = candidates.find(({ field }) => Object.hasOwn(subset, field));
  if (route === null || missing === undefined) return atCluster(refused, REFUSALS['no-endpoint'].remedy);
  const has = missing.found === '' ? 'has no such tag' : `has ${missing.found}`;
  const text = `have a ZoneIngress offer ${route.destination} with ${missing.field}: ${missing.wanted}; ${missing.name} ${has}`;
  return atCluster(refused, text);
}

function plain(text: string): Advice {
  return { text, resource: '', place: null };
}

function routeAdvice({ sni, nearest, sources }: RefusedConnection): Advice {
  const [first] = nearest;
  const absent = first?.kind === 'not-served' ? sources.absent.get(first.name) : undefined;
  if (absent !== undefined) return absentAdvice(absent);
  if (first !== undefined && first.kind !== 'other-mesh') {
    return { text: `send the SNI "${first.name}"${inFile(first.place)}`, resource: '', place: first.place };
  }
  const description = describeSni(sni ?? '');
  const [service, mesh] =
    description.form === 'tag'
      ? [description.service, description.tags.mesh ?? '']
      : description.form === 'other'
        ? ['', '']
        : [description.name, description.mesh];
  if (service === '') return plain('send the SNI of a destination, e.g. "service{mesh=default}": routes lists them');
  const offer = `have a ZoneIngress of another zone offer kuma.io/service: ${printable(service)} in mesh ${mesh === '' ? '<mesh>' : printable(mesh)}, or add an ExternalService for it there`;
  return plain(
    first === undefined ? offer : `${offer}; a client of mesh ${printable(mesh)} cannot reach the service of another mesh`,
  );
}

function meshAdvice({ route, ids, snapshot, sources }: RefusedConnection): Advice {
  const [, , mesh = ''] = ids[0]?.split('/') ?? [];
  const same = [...snapshot.routes.values()].find((other) => other.destination === route?.destination && other.mesh === mesh);
  if (same !== undefined) {
    const place = filePlaceOf(sources, `route:${same.serverName}`);
    return { text: `send the SNI "${same.serverName}", the one of the client's own mesh${inFile(place)}`, resource: '', place };
  }
  const target = mesh === '' ? "the client's own mesh" : `mesh ${mesh}`;
  return plain(
    `offer ${route?.destination ?? 'it'} in ${target}, or call it from mesh ${route?.mesh ?? ''}: a client reaches services of its own mesh only`,
  );
}

function permissionAdvice(refused: RefusedConnection, permission: Permission): Advice {
  const { route, client, ids, sources } = refused;
  if (permission.kind === 'all-of') {
    const part = permission.all.find((each) => !lets(each, refused));
    return permissionAdvice(refused, part ?? { kind: 'deny-all', by: permission.by });
  }
  const candidates = permissionCandidates(permission, client, sources);
  const [id = 'the client'] = ids;
  const who = serviceOf(id) ?? id;
  const deciding = candidates.find(({ outcome }) => outcome === 'matched');
  const rule = permission.kind === 'rules' && deciding !== undefined ? permission.rules[candidates.indexOf(deciding)] : undefined;
  const by = rule?.by ?? permission.by;
  const place =
    deciding?.place ?? filePlaceOf(sources, `permission:${by}`) ?? candidates.find((each) => each.place !== null)?.place ?? null;
  if (deciding !== undefined) return { text: `change the rule of ${by} that denies ${who}${inFile(place)}`, resource: by, place };
  if (permission.kind === 'deny-all') {
    if (place !== null) return { text: `change ${by}${inFile(place)}`, resource: by, place };
    const text = `add a TrafficPermission in mesh ${route?.mesh ?? ''} (a MeshTrafficPermission, where the mesh has one) from ${who} to kuma.io/service: ${route?.destination ?? ''}`;
    return plain(text);
  }
  const [near] = refused.nearest;
  // A rule that matches except for one tag: that tag is the obstacle.
  const byTag = candidates.find(({ outcome, field }) => outcome === 'rejected' && isTag(field));
  const what = byTag === undefined ? '' : ` with ${byTag.field}: ${byTag.found} (it wants ${byTag.wanted})`;
  const instead = near === undefined ? '' : `; it names ${near.name}`;
  return { text: `let ${who} in${what} by ${by}${inFile(place)}${instead}`, resource: by, place };
}

/** A permission may have several parts that must all allow. */
function lets(part: Permission, { route, client }: RefusedConnection): boolean {
  return route?.kind === 'terminate' && authoriseClaims({ ...route, permission: part }, client).kind === 'allowed';
}

/** Returns, from Kuma's ids, the service as a policy names it. */
function serviceOf(id: string): string | null {
  const service = /^spiffe:\/\/[^/]+\/([^/]+)$/.exec(id)?.[1];
  return service === undefined ? null : `kuma.io/service: ${service}`;
}

function unsupportedAdvice({ route, candidates, sources }: RefusedConnection): Advice {
  if (route === null) return plain(REFUSALS['unsupported-policy'].remedy);
  const by = route.kind === 'terminate' && route.unsupported === undefined ? route.permission.by : '';
  const place =
    filePlaceOf(sources, `permission:${by}`) ??
    candidates.find((each) => each.place !== null)?.place ??
    filePlaceOf(sources, `route:${route.serverName}`);
  const why =
    route.unsupported ?? (route.kind === 'terminate' && route.permission.kind === 'unsupported' ? route.permission.why : '');
  const subject = by === '' ? route.destination : by;
  return { text: `write ${subject} without what this egress cannot evaluate: ${why}${inFile(place)}`, resource: by, place };
}
