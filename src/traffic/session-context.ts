import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { AccessLogLine } from '../model/access-log.ts';
import type { Cluster } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { TrafficSettings } from '../model/settings.ts';
import type { AttemptOutcome } from '../model/messages.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Target } from '../routing/choose.ts';
import type { Breakers } from './breakers.ts';
import type { BufferPool } from './buffers.ts';
import type { EndpointUse } from './endpoint-use.ts';
import type { HttpOnDemand } from './http-on-demand.ts';
import type { Limits } from './limits.ts';
import type { NameTable } from './name-table.ts';
import type { Origination } from './originate.ts';
import type { SessionDraft } from './session-draft.ts';
import type { Session } from './session-state.ts';
import type { Terminator } from './terminate.ts';
import type { Unproven } from './unproven.ts';

/** The side of the data side that a session uses. */
export interface SessionContext {
  readonly clock: Clock;
  readonly settings: TrafficSettings;
  readonly limits: Limits;
  readonly breakers: Breakers;
  /**
   * Sessions with an unproven client: one that has not shown its certificate, or has not answered
   * the endpoint that it is passed through to.
   */
  readonly unproven: Unproven;
  /** Unproven sessions in a handshake with the egress. */
  readonly handshaking: Unproven;
  readonly endpoints: EndpointUse;
  readonly pool: BufferPool;
  readonly terminator: Terminator;
  readonly origination: Origination;
  readonly names: NameTable;
  readonly http: HttpOnDemand;
  /**
   * True when the accepted handle may be moved into a socket of our own; otherwise the public API
   * carries the bytes.
   */
  readonly adoptionWorks: boolean;
  /** True when the plain text of TLS may be read into memory of our own. */
  readonly tlsReadsWork: boolean;
  /** Returns the unproven sessions that hold a connection of this cluster. */
  unprovenOf(cluster: Cluster): Unproven;
  snapshot(): Snapshot;
  /** `client` is its address, for balancers that use it. */
  view(cluster: Cluster, client: string): EndpointView;
  attempted(cluster: Cluster, target: Target, outcome: AttemptOutcome): void;
  draft(accepted: Socket): SessionDraft;
  openSession(session: Session): void;
  closeSession(session: Session): void;
  reportRequest(record: RequestRecord): void;
  /** Sends a line to an access log of a route. */
  accessLine(line: AccessLogLine): void;
  fault(error: unknown): void;
}
