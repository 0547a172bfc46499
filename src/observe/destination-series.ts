/**
 * Series by destination and by endpoint, from the records. The busiest have their own and the rest
 * of a mesh is together under `other`, so a sum over all of them is a sum of everything that had a
 * route. Names are those of the configuration; an endpoint may be an answer of a name server, and
 * is bounded in the same way.
 */
import type { Clock } from '../base/clock.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { EndReason } from '../base/refusal.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { Distribution } from './distribution.ts';
import { distributionLines, valueLine } from './exposition.ts';
import type { ExpositionFormat, SeriesLabels } from './exposition.ts';
import { codeClass } from './tallies.ts';
import { TopKeys } from './top-keys.ts';

/** The name of what has no series of its own. A service of this name is counted there too. */
export const REST = 'other';

const CONNECT_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const REQUEST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Outcome = 'served' | 'refused' | 'failed' | 'left';

class OfDestination {
  readonly labels: SeriesLabels;
  readonly outcomes: Record<Outcome, number> = { served: 0, refused: 0, failed: 0, left: 0 };
  readonly refusals: Map<EndReason, number> = new Map();
  readonly connects: Distribution = new Distribution(CONNECT_BUCKETS);
  /** Counts by class of the answer; a service of bytes has none. */
  readonly requests: Map<string, number> = new Map();
  readonly requestTimes: Distribution = new Distribution(REQUEST_BUCKETS);
  up = 0;
  down = 0;

  constructor(mesh: string, destination: string) {
    this.labels = { mesh, destination };
  }
}

class OfEndpoint {
  readonly labels: SeriesLabels;
  connected = 0;
  failed = 0;

  constructor(mesh: string, destination: string, endpoint: string) {
    this.labels = { mesh, destination, endpoint };
  }
}

type Lines = (format: ExpositionFormat) => string;

/** The families that this file writes. */
export type DestinationFamily =
  | 'zone_egress_destination_sessions_total'
  | 'zone_egress_destination_refusals_total'
  | 'zone_egress_destination_bytes_total'
  | 'zone_egress_destination_connect_seconds'
  | 'zone_egress_destination_requests_total'
  | 'zone_egress_destination_request_seconds'
  | 'zone_egress_endpoint_sessions_total';

export interface DestinationSeriesOptions {
  readonly clock: Clock;
  /** The most destinations, and the most endpoints, with series of their own. 0 gives none any. */
  readonly most: number;
  /** True keeps an example of each bucket. */
  readonly exemplars: boolean;
}

export class DestinationSeries {
  readonly #exemplars: boolean;
  readonly #destinations: TopKeys<OfDestination>;
  readonly #endpoints: TopKeys<OfEndpoint>;
  /** The rest of each mesh, by its name. */
  readonly #otherDestinations = new Map<string, OfDestination>();
  readonly #otherEndpoints = new Map<string, OfEndpoint>();

  constructor({ clock, most, exemplars }: DestinationSeriesOptions) {
    this.#exemplars = exemplars;
    this.#destinations = new TopKeys({
      clock,
      most,
      make: (key) => {
        const [mesh = '', destination = ''] = key.split(SEPARATOR);
        return new OfDestination(mesh, destination);
      },
    });
    this.#endpoints = new TopKeys({
      clock,
      most,
      make: (key) => {
        const [mesh = '', destination = '', endpoint = ''] = key.split(SEPARATOR);
        return new OfEndpoint(mesh, destination, endpoint);
      },
    });
  }

  /** Sets the destinations of the live configuration. */
  keep({ routes }: Pick<Snapshot, 'routes'>): void {
    const all = [...routes.values()].filter(({ destination }) => destination !== REST);
    this.#destinations.keep(new Set(all.map(({ mesh, destination }) => keyOf(mesh, destination))));
  }

  record(record: SessionRecord): void {
    const { mesh, destination, reason, connectMs, requests } = record;
    // Without a route there is no name but the one that the client sent.
    if (record.cluster === '') return;
    const to = this.#destination(mesh, destination);
    to.outcomes[outcomeOf(record)]++;
    if (!Object.hasOwn(NORMAL_ENDS, reason)) add(to.refusals, reason);
    to.up += record.bytesUp;
    to.down += record.bytesDown;
    // The connections of requests are counted with the requests that made them.
    if (requests !== undefined) return;
    if (connectMs >= 0) to.connects.observe(connectMs / 1e3, this.#exampleId(record), record.startedAt);
    if (record.endpoint === '' || record.attempts === 0) return;
    const endpoint = this.#endpoint(record);
    if (connectMs >= 0) endpoint.connected++;
    else endpoint.failed++;
  }

  recordRequest(record: RequestRecord): void {
    const { mesh, destination, status, attempts, connections, serviceTimeMs } = record;
    if (record.cluster === '') return;
    const to = this.#destination(mesh, destination);
    add(to.requests, codeClass(status));
    if (serviceTimeMs >= 0) to.requestTimes.observe(record.totalMs / 1e3, this.#exampleId(record), record.startedAt);
    if (connections > 0) to.connects.observe(record.connectMs / 1e3, this.#exampleId(record), record.startedAt);
    if (record.endpoint === '') return;
    const endpoint = this.#endpoint(record);
    endpoint.connected += connections;
    endpoint.failed += attempts - connections;
  }

  /** Returns the lines of each family. */
  lines(): Readonly<Record<DestinationFamily, Lines>> {
    const destinations = [...this.#destinations.ranked(), ...this.#otherDestinations.values()];
    const endpoints = [...this.#endpoints.ranked(), ...this.#otherEndpoints.values()];
    const each = (line: (of: OfDestination, format: ExpositionFormat) => string): Lines => {
      return (format) => destinations.map((of) => line(of, format)).join('');
    };
    return {
      zone_egress_destination_sessions_total: each(({ labels, outcomes }) =>
        byLabel('zone_egress_destination_sessions_total', labels, 'outcome', Object.entries(outcomes)),
      ),
      zone_egress_destination_refusals_total: each(({ labels, refusals }) =>
        byLabel('zone_egress_destination_refusals_total', labels, 'reason', refusals),
      ),
      zone_egress_destination_bytes_total: each(({ labels, up, down }) =>
        byLabel('zone_egress_destination_bytes_total', labels, 'direction', Object.entries({ up, down })),
      ),
      zone_egress_destination_connect_seconds: each(({ labels, connects }, format) =>
        distributionLines('zone_egress_destination_connect_seconds', labels, connects, format),
      ),
      zone_egress_destination_requests_total: each(({ labels, requests }) =>
        byLabel('zone_egress_destination_requests_total', labels, 'code_class', requests),
      ),
      zone_egress_destination_request_seconds: each(({ labels, requests, requestTimes }, format) =>
        requests.size === 0 ? '' : distributionLines('zone_egress_destination_request_seconds', labels, requestTimes, format),
      ),
      zone_egress_endpoint_sessions_total: () =>
        endpoints
          .map(({ labels, connected, failed }) =>
            byLabel('zone_egress_endpoint_sessions_total', labels, 'result', Object.entries({ connected, failed })),
          )
          .join(''),
    };
  }

  #destination(mesh: string, destination: string): OfDestination {
    const own = destination === REST ? null : this.#destinations.use(keyOf(mesh, destination));
    return own ?? restOf(this.#otherDestinations, mesh, () => new OfDestination(mesh, REST));
  }

  #endpoint({ mesh, destination, endpoint }: SessionRecord | RequestRecord): OfEndpoint {
    const own = destination === REST ? null : this.#endpoints.use(keyOf(mesh, destination, endpoint));
    return own ?? restOf(this.#otherEndpoints, mesh, () => new OfEndpoint(mesh, REST, REST));
  }

  #exampleId({ id }: { readonly id: string }): string {
    return this.#exemplars ? id : '';
  }
}

/** In no name of Kuma. */
const SEPARATOR = '\0';

function keyOf(...parts: readonly string[]): string {
  return parts.join(SEPARATOR);
}

function restOf<Of>(map: Map<string, Of>, mesh: string, make: () => Of): Of {
  const known = map.get(mesh);
  if (known !== undefined) return known;
  const made = make();
  map.set(mesh, made);
  return made;
}

/**
 * `served`: it reached an endpoint. `left`: its client did not wait. `failed`: no endpoint could be
 * reached; the client did nothing wrong. `refused`: the rest, a limit among them.
 */
export function outcomeOf({ reason, connectMs }: SessionRecord): Outcome {
  if (FAILED.has(reason)) return 'failed';
  if (connectMs >= 0 || Object.hasOwn(NORMAL_ENDS, reason)) return 'served';
  return reason === 'client-gone' ? 'left' : 'refused';
}

const FAILED: ReadonlySet<EndReason> = new Set([
  'misconfigured',
  'no-endpoint',
  'dns-failed',
  'forbidden-address',
  'connect-timeout',
  'connect-refused',
  'upstream-tls-failed',
]);

function add<Key>(to: Map<Key, number>, key: Key): void {
  to.set(key, (to.get(key) ?? 0) + 1);
}

function byLabel(name: string, labels: SeriesLabels, label: string, values: Iterable<readonly [string, number]>): string {
  return [...values].map(([value, count]) => valueLine(name, { ...labels, [label]: value }, count)).join('');
}
