/**
 * Tries the endpoints of a destination one by one with the TLS settings of the egress. The command
 * does it for a folder, and a running egress for its live configuration.
 */
import type { Clock } from '../base/clock.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import { Refused } from '../base/refusal.ts';
import { within } from '../base/within.ts';
import { systemTrust } from '../identity/system-trust.ts';
import { checkServerName } from '../identity/upstream-name.ts';
import type { Cluster, Endpoint } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import { serverName } from '../model/names.ts';
import type { ContentHash } from '../model/names.ts';
import type { EndpointFinding, ProbedDestination, ProbedEndpoint } from '../model/probed-destination.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { forbidden } from '../routing/candidates.ts';
import type { DialFacts } from '../routing/candidates.ts';
import { Origination } from '../traffic/originate.ts';
import { describeSni } from '../wire/sni.ts';
import { EXTERNAL_SERVICE_FIELDS, MESH_EXTERNAL_SERVICE_FIELDS, connectFinding, findingOf, speaksTls } from './tls-finding.ts';
import type { TlsFields } from './tls-finding.ts';
import { attempt, looseTls } from './tls-probe.ts';
import type { Attempt } from './tls-probe.ts';

/** The most addresses that one probe dials, and the most endpoints whose names it looks up. */
export const MAX_ADDRESSES = 32;

export interface Probing {
  readonly clock: Clock;
  readonly secret: (hash: ContentHash) => string | undefined;
  /** Resolves with the addresses of a name; rejects with an error whose `code` tells why. */
  readonly find: (name: string, family: 'v4' | 'any') => Promise<readonly string[]>;
  /** The facts that decide which addresses must not be dialled. */
  readonly mayDial: Omit<DialFacts, 'names'>;
  /** Bounds one look-up, and one connection with its TLS. */
  readonly timeoutMs: number;
  /** The time after a handshake in which a server may refuse the certificate of its client. */
  readonly waitMs: number;
  /** Ends what is under way. */
  readonly signal?: AbortSignal;
}

export interface FoundDestination {
  readonly route: Route;
  readonly cluster: Cluster;
}

/** Finds a destination by its SNI or its name; returns a sentence where that is not possible. */
export function findDestination({ routes, clusters }: Snapshot, target: string): FoundDestination | string {
  const route = routeOf(routes, target);
  if (typeof route === 'string') return route;
  const cluster = clusters.get(route.cluster);
  if (cluster === undefined) return `${route.destination} has no endpoints`;
  return cluster.broken === undefined ? { route, cluster } : `${route.destination} cannot be used: ${cluster.broken}`;
}

function routeOf(routes: Snapshot['routes'], target: string): Route | string {
  const bySni = routes.get(serverName(target));
  if (bySni !== undefined) return bySni;
  const named = [...routes.values()].filter(({ destination }) => destination === target);
  const [first] = named;
  const meshes = new Set(named.map(({ mesh }) => mesh));
  if (meshes.size > 1)
    return `${target} is in the meshes ${[...meshes].join(' and ')}: name the SNI, e.g. ${first?.serverName ?? ''}`;
  if (first !== undefined) return first;
  const known = [...routes.values()].flatMap((route) => [route.destination, route.serverName]);
  return `no destination and no SNI is ${JSON.stringify(target)}${didYouMean(target, known)}`;
}

export async function probeDestination({ route, cluster }: FoundDestination, probing: Probing): Promise<ProbedDestination> {
  // Each gives an address or a finding at least: none after the bound could be dialled.
  const looked = cluster.endpoints.slice(0, MAX_ADDRESSES);
  const resolved = await Promise.all(looked.map((endpoint) => addressesOf(endpoint, fieldsOf(route), probing)));
  const all = resolved.flat();
  const one = dialling(route, probing);
  const endpoints = await Promise.all(all.slice(0, MAX_ADDRESSES).map(async (each) => ('ip' in each ? one(each) : each)));
  const { serverName: sni, mesh, destination, kind } = route;
  const leftOut = Math.max(0, all.length - MAX_ADDRESSES) + cluster.endpoints.length - looked.length;
  return { version: 1, sni, mesh, destination, kind, endpoints, leftOut };
}

/** An endpoint that can be used, or one that nothing verifies, is good. */
export function isUsable({ endpoints }: Pick<ProbedDestination, 'endpoints'>): boolean {
  return endpoints.length > 0 && endpoints.every(({ finding }) => finding === null || finding.kind === 'unverified');
}

interface ToDial {
  readonly endpoint: Endpoint;
  readonly ip: string;
  readonly resolveMs: number;
}

const NOTHING = { address: '', resolveMs: -1, connectMs: -1, tlsMs: -1, tls: '', validTo: '' } as const;

function fieldsOf({ serverName: name }: Route): TlsFields {
  return describeSni(name).form === 'tag' ? EXTERNAL_SERVICE_FIELDS : MESH_EXTERNAL_SERVICE_FIELDS;
}

/** Returns what to dial for an endpoint, and what was found without dialling. */
async function addressesOf(
  endpoint: Endpoint,
  fields: TlsFields,
  probing: Probing,
): Promise<readonly (ToDial | ProbedEndpoint)[]> {
  const { address } = endpoint;
  if (address.kind === 'ip') return [checked({ endpoint, ip: address.ip, resolveMs: -1 }, fields, probing)];
  const startedAt = probing.clock.now();
  const found = await resolved(address, probing);
  const resolveMs = Math.round(probing.clock.now() - startedAt);
  if (typeof found !== 'string') return found.map((ip) => checked({ endpoint, ip, resolveMs }, fields, probing));
  const finding: EndpointFinding = {
    kind: 'name-not-resolved',
    says: `${address.name} does not resolve: ${found}`,
    write: `${fields.address}: a name that resolves from here`,
  };
  return [{ ...NOTHING, endpoint: labelOf(endpoint), finding }];
}

/** Resolves with the addresses of a name, or why it has none. */
async function resolved(
  { name, family }: Extract<Endpoint['address'], { kind: 'name' }>,
  { find, timeoutMs }: Probing,
): Promise<readonly string[] | string> {
  let found: readonly string[] | string = `no answer after ${timeoutMs} ms`;
  const asked = find(name, family).then(
    (addresses) => (found = addresses.length === 0 ? 'it has no address' : addresses),
    (error: unknown) => (found = error instanceof Error && 'code' in error ? String(error.code) : String(error)),
  );
  await within(timeoutMs, asked);
  return found;
}

function checked(to: ToDial, fields: TlsFields, { mayDial }: Probing): ToDial | ProbedEndpoint {
  const { endpoint, ip, resolveMs } = to;
  const refusal = forbidden(endpoint, ip, mayDial);
  if (refusal === null) return to;
  const isItself = forbidden(endpoint, ip, { ...mayDial, ownListeners: [] }) === null;
  const finding: EndpointFinding = isItself
    ? { kind: 'forbidden-address', says: refusal.detail, write: `${fields.address}: the address and port of the service` }
    : {
        kind: 'forbidden-address',
        says: `it resolves to ${ip}, an address of this machine or its link: the egress does not follow a name there`,
        write: `${fields.address}: the address itself, if it is meant, or run with --allow-resolved`,
      };
  return { ...NOTHING, endpoint: labelOf(endpoint), address: addressKey(ip, endpoint.port), resolveMs, finding };
}

/** Over 60 lines: the steps of one address share what they found. */
function dialling(route: Route, probing: Probing): (to: ToDial) => Promise<ProbedEndpoint> {
  const { clock, secret, timeoutMs, waitMs, signal } = probing;
  const origination = new Origination({ secret, systemTrust, checkServerName });
  const fields = fieldsOf(route);
  const how = { clock, timeoutMs, waitMs, ...(signal === undefined ? {} : { signal }) };

  async function findingsOf(endpoint: Endpoint, ip: string): Promise<readonly [Attempt, EndpointFinding | null]> {
    const to = { host: ip, port: endpoint.port };
    const { tls } = endpoint;
    if (tls === null) {
      const first = await attempt(to, null, how);
      if (first.error !== null) return [first, connectFinding(first.error, fields)];
      if (route.kind === 'passthrough') return [first, null];
      const asTls = await attempt(to, looseTls(null), { ...how, waitMs: 0 });
      return [first, asTls.tls === null ? null : speaksTls(fields)];
    }
    const first = await attempt(to, origination.connectionOptions(tls, endpoint), how);
    const isTls = first.error !== null && first.at !== 'connect';
    const loose = isTls ? await attempt(to, looseTls(tls.serverName), { ...how, waitMs: 0 }) : null;
    return [first, findingOf({ first, loose, tls, fields, nowMs: clock.wall() })];
  }

  return async ({ endpoint, ip, resolveMs }) => {
    const about = { endpoint: labelOf(endpoint), address: addressKey(ip, endpoint.port), resolveMs };
    try {
      const [{ connectMs, tlsMs, tls: spoken }, finding] = await findingsOf(endpoint, ip);
      const alpn = spoken === null || spoken.alpn === '' ? '' : `, ALPN ${spoken.alpn}`;
      const tls = spoken === null ? '' : `${spoken.protocol}, ${spoken.cipher}${alpn}`;
      return { ...about, connectMs, tlsMs, tls, validTo: dateText(spoken?.chain[0]?.validToDate), finding };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { ...NOTHING, ...about, finding: { kind: 'tls-failed', says: error.refusal.detail, write: '' } };
    }
  };
}

/** Writes nothing for a date that cannot be read. */
function dateText(date: Date | undefined): string {
  return date === undefined || Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

function labelOf({ address, port }: Endpoint): string {
  return address.kind === 'ip' ? addressKey(address.ip, port) : `${address.name}:${port}`;
}
