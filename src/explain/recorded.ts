import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { isFields, isLike, isReason } from './recorded-fields.ts';
import type { RecordedFields } from './recorded-fields.ts';
import { requestIn } from './recorded-request.ts';

/** The sessions of a recording: `run --record`, or the page `/decisions`. */
export interface ReadSessions {
  readonly records: readonly SessionRecord[];
  readonly requests: readonly RequestRecord[];
  /** Number of lines that are neither, e.g. one that a full disk cut. */
  readonly unreadable: number;
  /** Number of lines of an unknown version. */
  readonly unknownVersion: number;
}

const KNOWN_VERSION = 1;

/**
 * Reads lines of JSON, each a session or a request, or one document with the lists `decisions` and
 * `requests`.
 */
export function sessionsIn(text: string): ReadSessions {
  const whole = parsed(text);
  const items = isFields(whole) && Array.isArray(whole.decisions) ? itemsOf(whole) : linesOf(text);
  const records: SessionRecord[] = [];
  const requests: RequestRecord[] = [];
  let unreadable = 0;
  let unknownVersion = 0;
  for (const item of items) {
    if (isFields(item) && item.version !== undefined && item.version !== KNOWN_VERSION) unknownVersion++;
    else if (isFields(item) && item.kind === 'request') {
      const request = requestIn(item);
      if (request === null) unreadable++;
      else requests.push(request);
    } else if (isFields(item) && isSession(item)) records.push({ ...BLANK, ...item });
    else unreadable++;
  }
  return { records, requests, unreadable, unknownVersion };
}

function itemsOf({ decisions, requests = [] }: RecordedFields): readonly unknown[] {
  const listed = Array.isArray(requests) ? (requests as readonly unknown[]) : [requests];
  const marked = listed.map((item) => (isFields(item) ? { kind: 'request', ...item } : item));
  return [...(decisions as readonly unknown[]), ...marked];
}

function* linesOf(text: string): Generator<unknown> {
  for (let start = 0; start < text.length;) {
    const end = text.indexOf('\n', start);
    const line = text.slice(start, end < 0 ? text.length : end);
    start = end < 0 ? text.length : end + 1;
    if (line.trim() !== '') yield parsed(line);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Values of fields that a line lacks. */
const BLANK: SessionRecord = {
  id: '',
  reason: 'closed',
  detail: '',
  startedAt: 0,
  snapshotVersion: '',
  clientAddress: '',
  clientPort: 0,
  sni: '',
  alpn: [],
  tlsOffered: '',
  mode: '',
  mesh: '',
  destination: '',
  cluster: '',
  tlsVersion: '',
  spiffeIds: [],
  uris: [],
  certificateIssuer: '',
  certificateExpiry: '',
  permission: '',
  shadowDenied: false,
  endpoint: '',
  endpointTls: false,
  attempts: 0,
  bytesUp: 0,
  bytesDown: 0,
  helloMs: -1,
  handshakeMs: -1,
  connectMs: -1,
  totalMs: 0,
};

/** Fields without which a session cannot be judged again. */
const NEEDED = ['id', 'reason', 'sni', 'mode', 'uris', 'helloMs', 'connectMs'] as const;

function isSession(fields: RecordedFields): fields is RecordedFields & Pick<SessionRecord, (typeof NEEDED)[number]> {
  if (NEEDED.some((name) => fields[name] === undefined)) return false;
  if (!isLike(fields, BLANK) || !isReason(fields.reason)) return false;
  const { mode, wouldRefuse } = fields;
  if (wouldRefuse !== undefined && typeof wouldRefuse !== 'string') return false;
  return mode === '' || mode === 'passthrough' || mode === 'terminate';
}
