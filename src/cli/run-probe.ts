import { systemClock } from '../base/clock.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import { Refused } from '../base/refusal.ts';
import {
  EXTERNAL_SERVICE_FIELDS,
  MESH_EXTERNAL_SERVICE_FIELDS,
  connectFinding,
  findingOf,
  speaksTls,
} from '../control/tls-finding.ts';
import type { EndpointFinding, TlsFields } from '../control/tls-finding.ts';
import { attempt, looseTls } from '../control/tls-probe.ts';
import type { Attempt } from '../control/tls-probe.ts';
import { createSystemNames } from '../endpoints/system-names.ts';
import { plural } from '../base/plural.ts';
import { linesText } from '../explain/lines.ts';
import { systemTrust } from '../identity/system-trust.ts';
import { checkServerName } from '../identity/upstream-name.ts';
import type { Endpoint } from '../model/cluster.ts';
import type { GoodConfig } from '../model/compiled.ts';
import { addressKey } from '../model/endpoint-view.ts';
import { serverName } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import { isForbiddenWhenResolved } from '../routing/addresses.ts';
import { Origination } from '../traffic/originate.ts';
import { describeSni } from '../wire/sni.ts';
import type { ProbeCommand } from './commands/probe.ts';
import { EXIT_NO_INPUT } from './exit-codes.ts';
import { Stopped, loadFolder, untilStopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';

const EXIT_WRONG = 3;
/** The most addresses of a destination; more are named. */
const MAX_ADDRESSES = 32;

/** The result of one address of an endpoint. Times in milliseconds, -1 where not reached. */
interface ProbedEndpoint {
  readonly endpoint: string;
  /** `address:port`; empty where the name did not resolve. */
  readonly address: string;
  readonly resolveMs: number;
  readonly connectMs: number;
  readonly tlsMs: number;
  /** `TLSv1.3, TLS_AES_256_GCM_SHA384`; empty without TLS. */
  readonly tls: string;
  /** Until when the certificate of the server is valid; empty without TLS. */
  readonly validTo: string;
  readonly finding: EndpointFinding | null;
}

/**
 * Exits with 0 where each endpoint can be used, with 3 where not, and with 64, 66 or 78 where that
 * cannot be asked.
 */
export function probeCommand(command: ProbeCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const config = await loadFolder(command.folder, terminal);
    const route = routeIn(config, command.target);
    const cluster = config.snapshot.clusters.get(route.cluster);
    if (cluster === undefined) throw new Stopped(EXIT_NO_INPUT, `${route.destination} has no endpoints`);
    if (cluster.broken !== undefined) throw new Stopped(EXIT_NO_INPUT, `${route.destination} cannot be used: ${cluster.broken}`);
    const probing = probingOf(config, route, command);
    const all = await Promise.all(cluster.endpoints.map((endpoint) => probing(endpoint)));
    const endpoints = all.flat();
    const { serverName: sni, mesh, destination } = route;
    if (command.output === 'json')
      terminal.out(`${JSON.stringify({ version: 1, sni, mesh, destination, endpoints }, null, 2)}\n`);
    else terminal.out(textOf(route, endpoints));
    const isGood = ({ finding }: ProbedEndpoint): boolean => finding === null || finding.kind === 'unverified';
    return endpoints.length > 0 && endpoints.every(isGood) ? 0 : EXIT_WRONG;
  });
}

function routeIn({ snapshot: { routes } }: GoodConfig, target: string): Route {
  const bySni = routes.get(serverName(target));
  if (bySni !== undefined) return bySni;
  const [first, ...more] = [...routes.values()].filter(({ destination }) => destination === target);
  const meshes = new Set([first, ...more].flatMap((route) => (route === undefined ? [] : [route.mesh])));
  if (meshes.size > 1)
    throw new Stopped(
      EXIT_NO_INPUT,
      `${target} is in the meshes ${[...meshes].join(' and ')}: name the SNI, e.g. ${first?.serverName ?? ''}`,
    );
  if (first !== undefined) return first;
  const known = [...routes.values()].flatMap((route) => [route.destination, route.serverName]);
  throw new Stopped(
    EXIT_NO_INPUT,
    `no destination and no SNI is ${JSON.stringify(target)}${didYouMean(target, known)}; zone-egress routes lists them`,
  );
}

/** Over 60 lines: the steps of one address share what they found. */
function probingOf(
  { secrets }: GoodConfig,
  route: Route,
  { timeoutMs, waitMs, allowedResolved }: ProbeCommand,
): (endpoint: Endpoint) => Promise<readonly ProbedEndpoint[]> {
  const clock = systemClock();
  const origination = new Origination({ secret: (hash) => secrets.get(hash), systemTrust, checkServerName });
  const fields = describeSni(route.serverName).form === 'tag' ? EXTERNAL_SERVICE_FIELDS : MESH_EXTERNAL_SERVICE_FIELDS;
  const how = { clock, timeoutMs, waitMs };
  async function one(endpoint: Endpoint, ip: string, resolveMs: number): Promise<ProbedEndpoint> {
    const to = { host: ip, port: endpoint.port };
    const { tls } = endpoint;
    const done = (first: Attempt, finding: EndpointFinding | null): ProbedEndpoint => {
      const { connectMs, tlsMs, tls: spoken } = first;
      return {
        endpoint: labelOf(endpoint),
        address: addressKey(ip, endpoint.port),
        resolveMs,
        connectMs,
        tlsMs,
        tls: spoken === null ? '' : `${spoken.protocol}, ${spoken.cipher}${spoken.alpn === '' ? '' : `, ALPN ${spoken.alpn}`}`,
        validTo: dateText(spoken?.chain[0]?.validToDate),
        finding,
      };
    };
    if (tls === null) {
      const first = await attempt(to, null, how);
      if (first.error !== null) return done(first, connectFinding(first.error, fields));
      if (route.kind === 'passthrough') return done(first, null);
      const asTls = await attempt(to, looseTls(null), { ...how, waitMs: 0 });
      return done(first, asTls.tls === null ? null : speaksTls(fields));
    }
    const first = await attempt(to, origination.connectionOptions(tls, endpoint), how);
    const loose =
      first.error === null || first.at === 'connect' ? null : await attempt(to, looseTls(tls.serverName), { ...how, waitMs: 0 });
    return done(first, findingOf({ first, loose, tls, fields, nowMs: clock.wall() }));
  }
  return async (endpoint) => {
    const { address } = endpoint;
    const nothing = { endpoint: labelOf(endpoint), address: '', resolveMs: -1, connectMs: -1, tlsMs: -1, tls: '', validTo: '' };
    try {
      if (address.kind === 'ip') return [await one(endpoint, address.ip, -1)];
      const found = await resolved(address, { clock, timeoutMs });
      if (typeof found === 'string')
        return [
          {
            ...nothing,
            finding: {
              kind: 'name-not-resolved',
              says: `${address.name} does not resolve: ${found}`,
              write: `${fields.address}: a name that resolves from here`,
            },
          },
        ];
      return await Promise.all(
        found.addresses
          .slice(0, MAX_ADDRESSES)
          .map(async (ip) =>
            isForbiddenWhenResolved(ip, allowedResolved)
              ? { ...nothing, address: addressKey(ip, endpoint.port), resolveMs: found.ms, finding: forbidden(ip, fields) }
              : one(endpoint, ip, found.ms),
          ),
      );
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return [{ ...nothing, finding: { kind: 'tls-failed', says: error.refusal.detail, write: '' } }];
    }
  };
}

function forbidden(ip: string, { address }: TlsFields): EndpointFinding {
  return {
    kind: 'forbidden-address',
    says: `it resolves to ${ip}, an address of this machine or its link: the egress does not follow a name there`,
    write: `${address}: the address itself, if it is meant, or run with --allow-resolved`,
  };
}

async function resolved(
  { name, family }: Extract<Endpoint['address'], { kind: 'name' }>,
  { clock, timeoutMs }: { readonly clock: ReturnType<typeof systemClock>; readonly timeoutMs: number },
): Promise<{ readonly addresses: readonly string[]; readonly ms: number } | string> {
  const names = createSystemNames({ clock });
  const startedAt = clock.now();
  const late = Promise.withResolvers<string>();
  const timer = clock.after(timeoutMs, () => late.resolve(`no answer after ${timeoutMs} ms`));
  const found = names.find(name, family).then(
    ({ addresses }) => ({ addresses, ms: Math.round(clock.now() - startedAt) }),
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
  );
  return Promise.race([found, late.promise]).finally(() => {
    timer.cancel();
    names.close();
  });
}

/** Writes nothing for a date that cannot be read. */
function dateText(date: Date | undefined): string {
  return date === undefined || Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

function labelOf({ address, port }: Endpoint): string {
  return address.kind === 'ip' ? addressKey(address.ip, port) : `${address.name}:${port}`;
}

function textOf({ destination, mesh, kind }: Route, endpoints: readonly ProbedEndpoint[]): string {
  const lines = endpoints.flatMap((each) => {
    const { finding, endpoint, address, tls, validTo } = each;
    const at = address === '' || address === endpoint ? endpoint : `${endpoint} (${address})`;
    const times = [
      ['resolved in', each.resolveMs],
      ['connected in', each.connectMs],
      ['TLS in', each.tlsMs],
    ] as const;
    const took = times.flatMap(([what, ms]) => (ms < 0 ? [] : [`${what} ${ms} ms`])).join(', ');
    const state = finding === null ? 'good' : finding.kind;
    return [
      `${at}: ${state}${took === '' ? '' : `; ${took}`}`,
      ...(tls === '' ? [] : [`  ${tls}; certificate valid to ${validTo}`]),
      ...(finding === null ? [] : [`  ${finding.says}`]),
      ...(finding === null || finding.write === '' ? [] : [`  write ${finding.write}`]),
    ];
  });
  const note =
    kind === 'passthrough' ? ['note: the TLS of clients goes through to the other zone, so only the connection is tried'] : [];
  return linesText([
    `${destination} of mesh ${mesh}: ${plural(endpoints.length, 'address', 'addresses')}`,
    ...lines,
    ...note,
    '',
  ]);
}
