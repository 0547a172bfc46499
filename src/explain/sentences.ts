/** What to change to make a refused connection pass: one sentence, with the resource and where it is written. */
import { REFUSALS } from '../base/refusal.ts';
import type { RefusalCode } from '../base/refusal.ts';
import type { ClientClaims } from '../model/client.ts';
import type { Permission } from '../model/permission.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { describeSni } from '../wire/sni.ts';
import { absentAdvice } from './absent.ts';
import { inFile, placeOf } from './trace.ts';
import type { Advice, Candidate, NearMiss, Sources } from './trace.ts';

/** What is known where a connection ended. */
export interface Refused {
  readonly code: RefusalCode;
  readonly sni: string | null;
  readonly route: Route | null;
  readonly client: ClientClaims | null;
  readonly nearest: readonly NearMiss[];
  /** Of the step where it ended. */
  readonly candidates: readonly Candidate[];
  readonly snapshot: Snapshot;
  readonly sources: Sources;
}

export function adviceFor(refused: Refused): Advice {
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
      const place = placeOf(sources, `mesh:${route?.mesh ?? ''}`);
      return { text: `${REFUSALS[code].remedy}${inFile(place)}`, resource: `Mesh ${route?.mesh ?? ''}`, place };
    }
    case 'denied':
      return route?.kind === 'terminate' ? permissionAdvice(refused, route.permission) : plain(REFUSALS[code].remedy);
    case 'unsupported-policy':
      return unsupportedAdvice(refused);
    case 'no-endpoint':
    case 'dns-failed':
    case 'forbidden-address':
    case 'connect-timeout':
    case 'connect-refused':
    case 'upstream-tls-failed': {
      if (route === null) return plain(REFUSALS[code].remedy);
      const place = placeOf(sources, `cluster:${route.cluster}`) ?? placeOf(sources, `route:${route.serverName}`);
      return { text: `${REFUSALS[code].remedy}${inFile(place)}`, resource: route.destination, place };
    }
    default:
      return plain(REFUSALS[code].remedy);
  }
}

function plain(text: string): Advice {
  return { text, resource: '', place: null };
}

function routeAdvice({ sni, nearest, sources }: Refused): Advice {
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
  const offer = `have a ZoneIngress of another zone offer kuma.io/service: ${service} in mesh ${mesh === '' ? '<mesh>' : mesh}, or add an ExternalService for it there`;
  return plain(first === undefined ? offer : `${offer}; a client of mesh ${mesh} cannot reach the service of another mesh`);
}

function meshAdvice({ route, client, snapshot, sources }: Refused): Advice {
  const mesh = client?.mesh ?? '';
  const same = [...snapshot.routes.values()].find((other) => other.destination === route?.destination && other.mesh === mesh);
  if (same !== undefined) {
    const place = placeOf(sources, `route:${same.serverName}`);
    return { text: `send the SNI "${same.serverName}", the one of the client's own mesh${inFile(place)}`, resource: '', place };
  }
  const target = mesh === '' ? "the client's own mesh" : `mesh ${mesh}`;
  return plain(
    `offer ${route?.destination ?? 'it'} in ${target}, or call it from mesh ${route?.mesh ?? ''}: a client reaches services of its own mesh only`,
  );
}

function permissionAdvice(refused: Refused, permission: Permission): Advice {
  const { route, client, candidates, sources } = refused;
  const [id = 'the client'] = client?.spiffeIds ?? [];
  const who = serviceOf(id) ?? id;
  const deciding = candidates.find(({ outcome }) => outcome === 'matched');
  const by = deciding === undefined ? permission.by : (ruleOwner(permission, candidates.indexOf(deciding)) ?? permission.by);
  const place =
    deciding?.place ?? placeOf(sources, `permission:${by}`) ?? candidates.find((each) => each.place !== null)?.place ?? null;
  if (deciding !== undefined) return { text: `change the rule of ${by} that denies ${who}${inFile(place)}`, resource: by, place };
  if (permission.kind === 'deny-all') {
    if (place !== null) return { text: `change ${by}${inFile(place)}`, resource: by, place };
    const text = `add a TrafficPermission in mesh ${route?.mesh ?? ''} (a MeshTrafficPermission, where the mesh has one) from ${who} to kuma.io/service: ${route?.destination ?? ''}`;
    return plain(text);
  }
  return { text: `let ${who} in by ${by}${inFile(place)}`, resource: by, place };
}

/** The policy of a rule, by the place of its candidate. */
function ruleOwner(permission: Permission, index: number): string | null {
  if (permission.kind === 'rules') return permission.rules[index]?.by ?? null;
  return null;
}

/** Of Kuma's ids, the service as a policy names it. */
function serviceOf(id: string): string | null {
  const service = /^spiffe:\/\/[^/]+\/([^/]+)$/.exec(id)?.[1];
  return service === undefined ? null : `kuma.io/service: ${service}`;
}

function unsupportedAdvice({ route, candidates, sources }: Refused): Advice {
  if (route === null) return plain(REFUSALS['unsupported-policy'].remedy);
  const by = route.kind === 'terminate' && route.unsupported === undefined ? route.permission.by : '';
  const place =
    placeOf(sources, `permission:${by}`) ??
    candidates.find((each) => each.place !== null)?.place ??
    placeOf(sources, `route:${route.serverName}`);
  const why =
    route.unsupported ?? (route.kind === 'terminate' && route.permission.kind === 'unsupported' ? route.permission.why : '');
  const subject = by === '' ? route.destination : by;
  return { text: `write ${subject} without what this egress cannot evaluate: ${why}${inFile(place)}`, resource: by, place };
}
