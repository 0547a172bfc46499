/**
 * Reads the resources of a control plane from its REST API, by GET alone. Does not ask for Secrets.
 */
import { request as requestHttp } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Clock } from '../base/clock.ts';
import { whenUnanswered } from '../base/unanswered.ts';
import type { ReadKind } from '../resources/known-kinds.ts';
import type { SourceFile } from '../resources/yaml.ts';

export interface ApiAccess {
  /** The address, with the path before `/meshes` where there is one. */
  readonly url: URL;
  /** PEM; null trusts the authorities of the system. */
  readonly caCert: string | null;
  readonly client: { readonly cert: string; readonly key: string } | null;
  readonly skipVerify: boolean;
  /** Token of a user; null sends none. */
  readonly token: string | null;
}

export interface ApiResources {
  /** A page of a list each, under its address. */
  readonly files: readonly SourceFile[];
  /** The zone of a zone control plane; null for another one, and where it does not say. */
  readonly zone: string | null;
}

/** The path of each kind; null is not asked for. */
const PATHS: Readonly<Record<ReadKind, string | null>> = {
  Mesh: 'meshes',
  ZoneEgress: 'zoneegresses',
  ZoneIngress: 'zoneingresses',
  Dataplane: 'dataplanes',
  MeshIdentity: 'meshidentities',
  MeshTrust: 'meshtrusts',
  ExternalService: 'external-services',
  MeshExternalService: 'meshexternalservices',
  TrafficPermission: 'traffic-permissions',
  MeshTrafficPermission: 'meshtrafficpermissions',
  TrafficRoute: 'traffic-routes',
  MeshHTTPRoute: 'meshhttproutes',
  MeshTCPRoute: 'meshtcproutes',
  MeshGateway: 'meshgateways',
  MeshGatewayRoute: 'meshgatewayroutes',
  VirtualOutbound: 'virtual-outbounds',
  MeshCircuitBreaker: 'meshcircuitbreakers',
  MeshHealthCheck: 'meshhealthchecks',
  MeshLoadBalancingStrategy: 'meshloadbalancingstrategies',
  MeshRateLimit: 'meshratelimits',
  MeshFaultInjection: 'meshfaultinjections',
  MeshTimeout: 'meshtimeouts',
  MeshAccessLog: 'meshaccesslogs',
  MeshService: 'meshservices',
  MeshMultiZoneService: 'meshmultizoneservices',
  RateLimit: 'rate-limits',
  FaultInjection: 'fault-injections',
  Secret: null,
  GlobalSecret: null,
};

const PAGE_SIZE = 500;
const MAX_PAGES = 1_000;
const TIMEOUT_MS = 30_000;
const MAX_BYTES = 64 * 1024 * 1024;
/** A page may be followed by any number of others. */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;

/** Rejects, with a sentence, where a list cannot be read. A kind that it does not know is empty. */
export async function readControlPlaneApi(
  access: ApiAccess,
  clock: Clock,
  maxBytes: number = MAX_TOTAL_BYTES,
): Promise<ApiResources> {
  const files: SourceFile[] = [];
  let bytes = 0;
  for (const path of Object.values(PATHS)) {
    if (path === null) continue;
    for await (const file of pagesOf(path, access, clock)) {
      files.push(file);
      bytes += file.text.length;
      if (bytes > maxBytes) throw new Error(`GET ${path}: all resources together are larger than ${maxBytes} bytes`);
    }
  }
  return { files, zone: await zoneOf(access, clock) };
}

async function* pagesOf(path: string, access: ApiAccess, clock: Clock): AsyncGenerator<SourceFile> {
  let query: string | null = `?size=${PAGE_SIZE}`;
  for (let pages = 0; query !== null; pages++) {
    if (pages === MAX_PAGES) throw new Error(`GET ${path}: it has more than ${MAX_PAGES} pages`);
    const { status, body, url } = await get(`${path}${query}`, access, clock);
    // A version does not have every kind: 3.0 has no ZoneEgress, 2.9 no MeshIdentity.
    if (status === 404) return;
    if (status !== 200) throw new Error(refusalOf(url, status, access));
    const { items, next } = listIn(body, url);
    if (items) yield { path: url, text: body };
    // Only the query counts: its host is the one that the control plane believes to have.
    query = next === null ? null : (URL.parse(next, 'http://localhost')?.search ?? null);
  }
}

function listIn(body: string, url: string): { readonly items: boolean; readonly next: string | null } {
  const value = jsonIn(body);
  const items = fieldOf(value, 'items');
  if (items !== null && !Array.isArray(items))
    throw new Error(`GET ${url}: the answer is no list of resources, so this is not the API of a control plane`);
  const next = fieldOf(value, 'next');
  return { items: Array.isArray(items) && items.length > 0, next: typeof next === 'string' && next !== '' ? next : null };
}

/** Returns the zone that a zone control plane shows in its configuration, or null. */
async function zoneOf(access: ApiAccess, clock: Clock): Promise<string | null> {
  const { status, body } = await get('config', access, clock);
  if (status !== 200) return null;
  const value = jsonIn(body);
  const name = fieldOf(fieldOf(fieldOf(value, 'multizone'), 'zone'), 'name');
  return fieldOf(value, 'mode') !== 'global' && typeof name === 'string' && name !== '' ? name : null;
}

function refusalOf(url: string, status: number, { token }: ApiAccess): string {
  if (status !== 401 && status !== 403) return `GET ${url}: the control plane answers with status ${status}`;
  const remedy =
    token === null
      ? 'give the token of a user by --token-file, as `kumactl generate user-token` makes it'
      : 'this token may not read it';
  return `GET ${url}: the control plane refuses (${status}): ${remedy}`;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly url: string;
}

function get(path: string, access: ApiAccess, clock: Clock): Promise<Answer> {
  const url = new URL(path, access.url);
  const { caCert, client, skipVerify, token } = access;
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    agent: false,
    headers: { accept: 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
    rejectUnauthorized: !skipVerify,
    ...(caCert === null ? {} : { ca: caCert }),
    ...(client === null ? {} : client),
  });
  const deadline = clock.after(TIMEOUT_MS, () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)));
  request.on('close', () => deadline.cancel());
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(new Error(`GET ${url.href}: ${error.message}`));
    request.on('error', failed);
    whenUnanswered(request, failed);
    request.on('response', (response: IncomingMessage) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('error', failed);
      response.on('data', (text: string) => {
        body += text;
        if (body.length > MAX_BYTES) request.destroy(new Error(`the answer is larger than ${MAX_BYTES} bytes`));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, url: url.href }));
    });
    request.end();
  });
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Undefined where there is no such field. */
function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Object.entries(value).find(([key]) => key === name)?.[1] : undefined;
}
