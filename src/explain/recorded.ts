import { NORMAL_ENDS, REFUSALS } from '../base/refusal.ts';
import type { SessionRecord } from '../model/session-record.ts';

/** The sessions of a recording: `run --record`, or the page `/decisions`. */
export interface ReadSessions {
  readonly records: readonly SessionRecord[];
  /** Number of lines that are no session, e.g. one that a full disk cut. */
  readonly unreadable: number;
  /** Number of lines of an unknown version. */
  readonly unknownVersion: number;
}

const KNOWN_VERSION = 1;

/** Reads lines of JSON, each a session, or one document with the list `decisions`. */
export function sessionsIn(text: string): ReadSessions {
  const whole = parsed(text);
  const items = isFields(whole) && Array.isArray(whole.decisions) ? (whole.decisions as readonly unknown[]) : linesOf(text);
  const records: SessionRecord[] = [];
  let unreadable = 0;
  let unknownVersion = 0;
  for (const item of items) {
    if (isFields(item) && item.version !== undefined && item.version !== KNOWN_VERSION) unknownVersion++;
    else if (isFields(item) && isSession(item)) records.push({ ...BLANK, ...item });
    else unreadable++;
  }
  return { records, unreadable, unknownVersion };
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

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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

function isSession(fields: Fields): fields is Fields & Pick<SessionRecord, (typeof NEEDED)[number]> {
  if (NEEDED.some((name) => fields[name] === undefined)) return false;
  for (const [name, blank] of Object.entries(BLANK)) {
    const value = fields[name];
    if (value === undefined) continue;
    if (Array.isArray(blank) ? !isTexts(value) : typeof value !== typeof blank) return false;
  }
  const { reason, mode } = fields as { readonly reason: string; readonly mode: string };
  if (!Object.hasOwn(REFUSALS, reason) && !Object.hasOwn(NORMAL_ENDS, reason)) return false;
  return mode === '' || mode === 'passthrough' || mode === 'terminate';
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
