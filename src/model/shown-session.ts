/**
 * One session that is open, as it is at this moment. For people: nothing else in the egress reads
 * it.
 */
export interface ShownSession {
  /** The id that its record will have. */
  readonly id: string;
  readonly worker: number;
  readonly state: ShownState;
  /** When the connection was accepted, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly ageMs: number;
  /** Since its last byte; as exact as the checks of sessions, some seconds. */
  readonly idleMs: number;
  readonly clientAddress: string;
  readonly clientPort: number;
  /** Empty before the client is verified, and where TLS passes through. */
  readonly spiffeIds: readonly string[];
  readonly sni: string;
  /** These four are empty before the route is found. */
  readonly mode: 'passthrough' | 'terminate' | '';
  readonly mesh: string;
  readonly destination: string;
  readonly cluster: string;
  /** `address:port`; empty before the first attempt. */
  readonly endpoint: string;
  readonly endpointTls: boolean;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Bytes per second between the last two checks of the session, some seconds. */
  readonly rateUp: number;
  readonly rateDown: number;
  /** Requests so far; absent where bytes pass unchanged. */
  readonly requests?: number;
  /** As in the record. */
  readonly wouldRefuse?: string;
}

/**
 * Its step: the hello is read, TLS is made with the client, the endpoint is looked up and
 * connected, bytes pass, requests are served.
 */
export type ShownState = 'hello' | 'handshake' | 'connect' | 'relay' | 'requests';

export interface ShownQuery extends FindBy {
  /** The largest come first. */
  readonly sort: ShownSort;
  readonly most: number;
}

export interface ShownAnswer {
  /** The sessions that the query finds, of all data sides. */
  readonly found: number;
  readonly sessions: readonly ShownSession[];
  /** Data sides that did not answer in time: their sessions are missing. */
  readonly silent: readonly number[];
}

export type ShownSort = 'age' | 'idle' | 'bytes' | 'rate';

export const SHOWN_SORTS: readonly ShownSort[] = ['age', 'idle', 'bytes', 'rate'];

/** Returns as many sessions as the query asks for, the largest first; sorts the given list. */
export function largestFirst(sessions: ShownSession[], { sort, most }: ShownQuery): readonly ShownSession[] {
  return sessions.sort((a, b) => sortKey(sort, b) - sortKey(sort, a)).slice(0, most);
}

function sortKey(by: ShownSort, session: ShownSession): number {
  switch (by) {
    case 'age':
      return session.ageMs;
    case 'idle':
      return session.idleMs;
    case 'bytes':
      return session.bytesUp + session.bytesDown;
    case 'rate':
      return session.rateUp + session.rateDown;
    default:
      return by satisfies never;
  }
}

/** Facts of a session, open or ended, by which people look for it. */
interface Findable {
  readonly id: string;
  readonly mesh: string;
  readonly destination: string;
  readonly clientAddress: string;
  readonly spiffeIds: readonly string[];
}

/** Where to look: absent fields admit everything. */
export interface FindBy {
  /** The one session with this id. */
  readonly id?: string;
  readonly mesh?: string;
  readonly destination?: string;
  /** A SPIFFE id or an address of a client; with `*` at its end, the beginning of one. */
  readonly client?: string;
}

export function isFoundBy({ id, mesh, destination, client }: FindBy, session: Findable): boolean {
  if (id !== undefined && session.id !== id) return false;
  if (mesh !== undefined && session.mesh !== mesh) return false;
  if (destination !== undefined && session.destination !== destination) return false;
  return client === undefined || isText(client, session.clientAddress) || session.spiffeIds.some((id) => isText(client, id));
}

function isText(wanted: string, text: string): boolean {
  return wanted.endsWith('*') ? text.startsWith(wanted.slice(0, -1)) : text === wanted;
}
