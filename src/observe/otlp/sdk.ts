/**
 * The SDK of OpenTelemetry, loaded when an egress sends to a collector. Nothing is registered
 * globally: each egress has providers of its own, and an embedding program keeps those it has.
 */
import type { Context, HrTime } from '@opentelemetry/api';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { errorCode } from '../../base/error-code.ts';
import { OtlpError } from './otlp-options.ts';
import type { LogFacts, Severity } from './log-facts.ts';
import type { SpanFacts } from './span-facts.ts';
import { newSpanId } from './trace-ids.ts';
import type { SpanPlace } from './trace-ids.ts';

export type { ReadableLogRecord, ReadableSpan };

/** Packages that users of the npm package install themselves; the image has them. */
export const PACKAGES: readonly string[] = [
  '@opentelemetry/api@1.10.0',
  '@opentelemetry/otlp-transformer@0.301.0',
  '@opentelemetry/resources@3.1.0',
  '@opentelemetry/sdk-logs@3.1.0',
  '@opentelemetry/sdk-trace@3.1.0',
];

function missing(what: 'is not installed' | 'is installed in another version', options?: { cause: unknown }): OtlpError {
  return new OtlpError(
    `sending to a collector of OpenTelemetry needs its SDK, which ${what}: npm install ${PACKAGES.join(' ')}`,
    options,
  );
}

export interface Sdk {
  /** Makes the providers of one egress. */
  create(options: SdkOptions): SignalMaker;
  readonly spansAsJson: (spans: readonly ReadableSpan[]) => Uint8Array;
  readonly logsAsJson: (records: readonly ReadableLogRecord[]) => Uint8Array;
}

export interface SdkOptions {
  readonly version: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly onSpan: (span: ReadableSpan) => void;
  readonly onLog: (record: ReadableLogRecord) => void;
}

/** Makes finished spans and log records of facts. */
export interface SignalMaker {
  /**
   * `spanId` is absent where nothing else names it. `link` is a span of another trace that belongs
   * to it.
   */
  span(facts: SpanFacts, place: PlaceInTrace): void;
  /** `of` is the span that it is about, where that is sent. */
  log(facts: LogFacts, of: SpanPlace | null): void;
}

export interface PlaceInTrace {
  readonly traceId: string;
  readonly spanId?: string;
  /** `isRemote`: it is the span of another process. */
  readonly parent?: { readonly spanId: string; readonly isRemote: boolean };
  readonly link?: SpanPlace;
}

const SCOPE = 'zone-egress';
const MAX_TEXT = 1_024;

/** Over 60 lines: one object over the modules that it loads; each of its methods is short. */
export async function loadSdk(): Promise<Sdk> {
  const [api, resources, trace, logs, otlp] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/sdk-logs'),
    import('@opentelemetry/otlp-transformer'),
  ]).catch((error: unknown) => {
    throw errorCode(error) === 'ERR_MODULE_NOT_FOUND' ? missing('is not installed', { cause: error }) : error;
  });
  if (!isKnown([api.trace, trace.TracerProvider, logs.LoggerProvider, otlp.JsonTraceSerializer, otlp.JsonLogsSerializer]))
    throw missing('is installed in another version');
  const { ROOT_CONTEXT, SeverityNumber, SpanKind, SpanStatusCode, TraceFlags } = api;
  const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };
  const severities: Readonly<Record<Severity, number>> = {
    INFO: SeverityNumber.INFO,
    WARN: SeverityNumber.WARN,
    ERROR: SeverityNumber.ERROR,
  };
  const nothing = (): Promise<void> => Promise.resolve();
  const inContext = ({ traceId, spanId }: SpanPlace, isRemote = false): Context =>
    api.trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote });
  return {
    spansAsJson: (spans) => otlp.JsonTraceSerializer.serializeRequest([...spans]) ?? new Uint8Array(),
    logsAsJson: (records) => otlp.JsonLogsSerializer.serializeRequest([...records]) ?? new Uint8Array(),
    create({ version, resource: attributes, onSpan, onLog }) {
      const resource = resources.resourceFromAttributes(attributes);
      let next = { traceId: '', spanId: '' };
      const tracer = new trace.TracerProvider({
        resource,
        // A session that is not sampled makes no span at all.
        sampler: new trace.AlwaysOnSampler(),
        spanLimits: { attributeValueLengthLimit: MAX_TEXT },
        idGenerator: { generateTraceId: () => next.traceId, generateSpanId: () => next.spanId },
        spanProcessors: [{ onStart: () => undefined, onEnd: onSpan, forceFlush: nothing, shutdown: nothing }],
      }).getTracer(SCOPE, version);
      const logger = new logs.LoggerProvider({
        resource,
        logRecordLimits: { attributeValueLengthLimit: MAX_TEXT },
        processors: [{ onEmit: onLog, forceFlush: nothing, shutdown: nothing }],
      }).getLogger(SCOPE, version);
      return {
        span({ name, kind, startMs, endMs, attributes, error }, { traceId, spanId = newSpanId(), parent, link }) {
          next = { traceId, spanId };
          const context = parent === undefined ? ROOT_CONTEXT : inContext({ traceId, spanId: parent.spanId }, parent.isRemote);
          const span = tracer.startSpan(
            name,
            {
              kind: kinds[kind],
              startTime: hrTime(startMs),
              attributes: copied(attributes),
              ...(link === undefined ? {} : { links: [{ context: { ...link, traceFlags: TraceFlags.SAMPLED } }] }),
            },
            context,
          );
          if (error !== null) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
          span.end(hrTime(endMs));
        },
        log({ event, atMs, severity, body, attributes }, of) {
          logger.emit({
            eventName: event,
            timestamp: hrTime(atMs),
            observedTimestamp: hrTime(atMs),
            severityNumber: severities[severity],
            severityText: severity,
            body,
            attributes: copied(attributes),
            context: of === null ? ROOT_CONTEXT : inContext(of),
          });
        },
      };
    },
  };
}

/** An embedding program may have another version of the SDK for itself. */
function isKnown(parts: readonly unknown[]): boolean {
  return parts.every((part) => part !== undefined);
}

/**
 * Returns seconds and nanoseconds: the SDK takes small numbers for times since the start of the
 * process.
 */
function hrTime(ms: number): HrTime {
  const micros = Math.round(ms * 1_000);
  return [Math.floor(micros / 1e6), (micros % 1e6) * 1_000];
}

/** The SDK wants lists that it could change. */
function copied(attributes: SpanFacts['attributes']): Record<string, string | number | boolean | string[]> {
  const found: Record<string, string | number | boolean | string[]> = {};
  for (const [name, value] of Object.entries(attributes)) found[name] = typeof value === 'object' ? [...value] : value;
  return found;
}
