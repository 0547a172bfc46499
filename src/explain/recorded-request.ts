import type { RequestRecord } from '../model/request-record.ts';
import { isFields, isLike, isReason, isTexts } from './recorded-fields.ts';
import type { RecordedFields } from './recorded-fields.ts';

/** Values of fields that a line lacks. */
const BLANK: Omit<RequestRecord, 'headers'> = {
  id: '',
  session: '',
  reason: 'closed',
  detail: '',
  startedAt: 0,
  snapshotVersion: '',
  clientAddress: '',
  sni: '',
  mesh: '',
  destination: '',
  cluster: '',
  spiffeIds: [],
  uris: [],
  protocol: '',
  method: '',
  path: '',
  authority: '',
  host: '',
  requestId: '',
  status: 0,
  flags: '',
  details: '',
  endpoint: '',
  endpointTls: false,
  attempts: 0,
  connections: 0,
  connectMs: -1,
  forwarded: false,
  bytesUp: 0,
  bytesDown: 0,
  serviceTimeMs: -1,
  totalMs: 0,
  rateLimit: '',
};

/** Fields without which a request cannot be judged again. */
const NEEDED = ['id', 'reason', 'startedAt', 'sni', 'mesh', 'uris', 'method', 'path', 'headers'] as const;

/** Returns null where the line is no request. */
export function requestIn(fields: RecordedFields): RequestRecord | null {
  if (NEEDED.some((name) => fields[name] === undefined) || !isLike(fields, BLANK) || !isReason(fields.reason)) return null;
  const { headers, wouldRefuse } = fields;
  if (wouldRefuse !== undefined && typeof wouldRefuse !== 'string') return null;
  if (!isFields(headers) || !Object.values(headers).every(isTexts)) return null;
  const its = Object.fromEntries(Object.entries(fields).filter(([name]) => Object.hasOwn(BLANK, name)));
  return { ...BLANK, ...its, headers, ...(wouldRefuse === undefined ? {} : { wouldRefuse }) } as RequestRecord;
}
