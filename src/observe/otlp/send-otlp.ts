import { randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { RequestRecord } from '../../model/request-record.ts';
import type { SessionRecord } from '../../model/session-record.ts';
import { Delivery } from './delivery.ts';
import type { DeliveryOptions, Failure } from './delivery.ts';
import { readHeadersFile } from './headers-file.ts';
import { isTold, requestLog, sessionLog } from './log-facts.ts';
import { DEFAULT_SHARE, signalUrl } from './otlp-options.ts';
import type { OtlpOptions } from './otlp-options.ts';
import { loadSdk } from './sdk.ts';
import type { ReadableLogRecord, ReadableSpan, SignalMaker } from './sdk.ts';
import { requestSpan, sessionSpans } from './span-facts.ts';
import { SessionTraces, newSpanId, remoteSpan } from './trace-ids.ts';
import type { SpanPlace } from './trace-ids.ts';

export type OtlpKind = 'spans' | 'logs';

export interface OtlpParts {
  readonly clock: Clock;
  /** Version of this package. */
  readonly version: string;
  /** Returns the zone of the live configuration; empty while none is known. */
  readonly zone: () => string;
  readonly onItems: (kind: OtlpKind, result: 'sent' | 'dropped', count: number) => void;
  readonly onFailure: (kind: OtlpKind, failure: Failure) => void;
  readonly onRecovered: (kind: OtlpKind) => void;
}

export interface OtlpSender {
  /** Returns at once. */
  record(record: SessionRecord): void;
  recordRequest(record: RequestRecord): void;
  /** Ends after a last delivery of at most two seconds. */
  close(): Promise<void>;
}

/**
 * Loads the SDK, and sends spans and log records of what ends from now on. Rejects where the SDK is
 * not installed, or the file of headers cannot be read; nothing that comes later ends anything.
 */
export async function sendOtlp(options: OtlpOptions, parts: OtlpParts): Promise<OtlpSender> {
  const { endpoint, headersFile } = options;
  const headers = async (): Promise<Readonly<Record<string, string>>> =>
    headersFile === undefined ? {} : readHeadersFile(headersFile);
  await headers();
  const sdk = await loadSdk();
  const common = <Item>(kind: OtlpKind): Omit<DeliveryOptions<Item>, 'url' | 'serialize'> => ({
    clock: parts.clock,
    // For each batch, so that a token that is replaced in the file counts at once.
    headers,
    onItems: (result, count) => parts.onItems(kind, result, count),
    onFailure: (failure) => parts.onFailure(kind, failure),
    onRecovered: () => parts.onRecovered(kind),
  });
  const spans = new Delivery<ReadableSpan>({
    ...common('spans'),
    url: signalUrl(endpoint, 'traces'),
    serialize: sdk.spansAsJson,
  });
  const logs = new Delivery<ReadableLogRecord>({
    ...common('logs'),
    url: signalUrl(endpoint, 'logs'),
    serialize: sdk.logsAsJson,
  });
  let signals: SignalMaker | null = null;
  // The first record comes when a configuration, and with it the zone, is known.
  const made = (): SignalMaker =>
    (signals ??= sdk.create({
      version: parts.version,
      resource: resourceOf(options, parts),
      onSpan: (span) => spans.add(span),
      onLog: (record) => logs.add(record),
    }));
  return {
    ...recorder(made, new SessionTraces(options.sample ?? DEFAULT_SHARE)),
    close: async () => void (await Promise.all([spans.close(), logs.close()])),
  };
}

function recorder(signals: () => SignalMaker, traces: SessionTraces): Omit<OtlpSender, 'close'> {
  return {
    record(record) {
      const place = traces.sampled(record.id);
      if (place !== null) {
        const { traceId, spanId } = place;
        const { session, steps } = sessionSpans(record);
        signals().span(session, { traceId, spanId });
        for (const step of steps) signals().span(step, { traceId, parent: { spanId, isRemote: false } });
      }
      if (place !== null || isTold(record)) signals().log(sessionLog(record), place);
    },
    recordRequest(record) {
      const place = requestPlace(record, traces);
      if (place !== null) signals().span(requestSpan(record), place);
      if (place !== null || isTold(record)) signals().log(requestLog(record), place);
    },
  };
}

/**
 * A request that carries a trace belongs to it, and follows the decision of its client. Others
 * belong to the trace of their session. Null where its span is not sent.
 */
function requestPlace(
  { session, traceparent }: RequestRecord,
  traces: SessionTraces,
): (SpanPlace & { readonly parent: { readonly spanId: string; readonly isRemote: boolean }; readonly link?: SpanPlace }) | null {
  const own = traces.sampled(session);
  const remote = traceparent === undefined ? null : remoteSpan(traceparent);
  if (remote === null) {
    return own === null ? null : { traceId: own.traceId, spanId: newSpanId(), parent: { spanId: own.spanId, isRemote: false } };
  }
  if (!remote.isSampled) return null;
  const { traceId, spanId } = remote;
  const link = own === null ? {} : { link: own };
  return { traceId, spanId: newSpanId(), parent: { spanId, isRemote: true }, ...link };
}

function resourceOf({ attributes }: OtlpOptions, { version, zone }: OtlpParts): Readonly<Record<string, string>> {
  const name = zone();
  return {
    'service.name': 'zone-egress',
    'service.version': version,
    'service.instance.id': randomUUID(),
    ...(name === '' ? {} : { 'zone_egress.zone': name }),
    ...attributes,
  };
}
