/** How long the parts of sessions, requests and look-ups took. */
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { Distribution } from './distribution.ts';
import { distributionLines } from './exposition.ts';
import type { ExpositionFormat } from './exposition.ts';

const PHASE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
const SESSION_BUCKETS = [0.01, 0.1, 1, 10, 60, 300, 1_800, 3_600, 21_600, 86_400];
/** Up to the limit of a look-up, which is 5 s. */
const DNS_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export type LatencyFamily =
  | 'zone_egress_phase_seconds'
  | 'zone_egress_handshake_seconds'
  | 'zone_egress_session_seconds'
  | 'zone_egress_request_seconds'
  | 'zone_egress_dns_seconds';

export type LookupResult = 'answered' | 'failed';

export class Latencies {
  readonly #exemplars: boolean;
  readonly #phases = {
    hello: new Distribution(PHASE_BUCKETS),
    handshake: new Distribution(PHASE_BUCKETS),
    connect: new Distribution(PHASE_BUCKETS),
  };
  readonly #handshakes = { full: new Distribution(PHASE_BUCKETS), resumed: new Distribution(PHASE_BUCKETS) };
  readonly #sessions = new Distribution(SESSION_BUCKETS);
  readonly #requests = new Distribution(PHASE_BUCKETS);
  readonly #lookups = { answered: new Distribution(DNS_BUCKETS), failed: new Distribution(DNS_BUCKETS) };

  /** `exemplars`: keeps an example of each bucket. */
  constructor(exemplars: boolean) {
    this.#exemplars = exemplars;
  }

  record({ id, startedAt, helloMs, handshakeMs, connectMs, totalMs, resumed }: SessionRecord): void {
    const example = this.#exemplars ? id : '';
    if (helloMs >= 0) this.#phases.hello.observe(helloMs / 1e3, example, startedAt);
    if (handshakeMs >= 0) {
      this.#phases.handshake.observe(handshakeMs / 1e3, example, startedAt);
      this.#handshakes[resumed === true ? 'resumed' : 'full'].observe(handshakeMs / 1e3, example, startedAt);
    }
    if (connectMs < 0) return;
    this.#phases.connect.observe(connectMs / 1e3, example, startedAt);
    this.#sessions.observe(totalMs / 1e3, example, startedAt);
  }

  recordRequest({ id, startedAt, serviceTimeMs, totalMs }: RequestRecord): void {
    if (serviceTimeMs >= 0) this.#requests.observe(totalMs / 1e3, this.#exemplars ? id : '', startedAt);
  }

  lookup(result: LookupResult, tookMs: number): void {
    this.#lookups[result].observe(tookMs / 1e3);
  }

  /** Returns the lines of each family. */
  lines(): Readonly<Record<LatencyFamily, (format: ExpositionFormat) => string>> {
    const by =
      (name: LatencyFamily, label: string, all: Readonly<Record<string, Distribution>>) =>
      (format: ExpositionFormat): string =>
        Object.entries(all)
          .map(([value, each]) => distributionLines(name, { [label]: value }, each, format))
          .join('');
    return {
      zone_egress_phase_seconds: by('zone_egress_phase_seconds', 'phase', this.#phases),
      zone_egress_handshake_seconds: by('zone_egress_handshake_seconds', 'kind', this.#handshakes),
      zone_egress_session_seconds: (format) => distributionLines('zone_egress_session_seconds', {}, this.#sessions, format),
      zone_egress_request_seconds: (format) => distributionLines('zone_egress_request_seconds', {}, this.#requests, format),
      zone_egress_dns_seconds: by('zone_egress_dns_seconds', 'result', this.#lookups),
    };
  }
}
