// A receiver of OTLP over HTTP, as the collector of OpenTelemetry has one: it takes JSON, and shows
// spans and log records with plain attributes.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';

type Attributes = Readonly<Record<string, unknown>>;

export interface SentSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  /** Microseconds since the Unix epoch. */
  readonly start: number;
  readonly end: number;
  /** 0 unset, 2 error. */
  readonly status: { readonly code: number; readonly message?: string };
  readonly attributes: Attributes;
  readonly resource: Attributes;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

export interface SentLog {
  readonly event: string;
  readonly at: number;
  readonly severity: string;
  readonly body: unknown;
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Attributes;
  readonly resource: Attributes;
}

export interface Collector {
  readonly url: string;
  readonly spans: SentSpan[];
  readonly logs: SentLog[];
  /** Every request that came, also those that were not taken. */
  readonly requests: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  /** Answers instead; null takes what comes. */
  answer: ((response: ServerResponse, path: string) => void) | null;
  close(): Promise<void>;
}

/** With a certificate, for `localhost`, it speaks TLS. */
export async function startCollector(t: Test, tls?: { readonly cert: string; readonly key: string }): Promise<Collector> {
  const collector: Omit<Collector, 'url' | 'close'> = { spans: [], logs: [], requests: [], answer: null };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const path = request.url ?? '';
    void text(request).then(
      (body) => {
        collector.requests.push({ path, headers: request.headers, body });
        if (collector.answer !== null) return collector.answer(response, path);
        if (request.headers['content-type'] !== 'application/json') return response.writeHead(415).end();
        if (path.endsWith('/v1/traces')) collector.spans.push(...spansIn(body));
        else if (path.endsWith('/v1/logs')) collector.logs.push(...logsIn(body));
        else return response.writeHead(404).end();
        return response.writeHead(200, { 'content-type': 'application/json' }).end('{"partialSuccess":{}}');
      },
      () => undefined,
    );
  };
  const server = tls === undefined ? createServer(onRequest) : createTlsServer(tls, onRequest);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  let isClosed = false;
  const close = async (): Promise<void> => {
    if (isClosed) return;
    isClosed = true;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  t.teardown(close);
  return Object.assign(collector, {
    url: `${tls === undefined ? 'http://127.0.0.1' : 'https://localhost'}:${(server.address() as AddressInfo).port}`,
    close,
  });
}

interface Value {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: number;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values: readonly Value[] };
}
type Pairs = readonly { readonly key: string; readonly value: Value }[];

interface Wire {
  readonly resource: { readonly attributes: Pairs };
  readonly scopeSpans?: readonly { readonly spans: readonly WireItem[] }[];
  readonly scopeLogs?: readonly { readonly logRecords: readonly WireItem[] }[];
}

interface WireItem {
  readonly name: string;
  readonly eventName?: string;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly timeUnixNano: string;
  readonly severityText: string;
  readonly status: SentSpan['status'];
  readonly body: Value;
  readonly attributes: Pairs;
  readonly links?: SentSpan['links'];
}

function spansIn(body: string): readonly SentSpan[] {
  const { resourceSpans } = JSON.parse(body) as { resourceSpans: readonly Wire[] };
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        name: span.name,
        traceId: span.traceId ?? '',
        spanId: span.spanId ?? '',
        parentSpanId: span.parentSpanId ?? '',
        kind: span.kind,
        start: micros(span.startTimeUnixNano),
        end: micros(span.endTimeUnixNano),
        status: span.status,
        attributes: plain(span.attributes),
        resource: plain(resource.attributes),
        links: span.links ?? [],
      })),
    ),
  );
}

function logsIn(body: string): readonly SentLog[] {
  const { resourceLogs } = JSON.parse(body) as { resourceLogs: readonly Wire[] };
  return resourceLogs.flatMap(({ resource, scopeLogs = [] }) =>
    scopeLogs.flatMap(({ logRecords }) =>
      logRecords.map((log) => ({
        event: log.eventName ?? '',
        at: micros(log.timeUnixNano),
        severity: log.severityText,
        body: valueOf(log.body),
        traceId: log.traceId ?? '',
        spanId: log.spanId ?? '',
        attributes: plain(log.attributes),
        resource: plain(resource.attributes),
      })),
    ),
  );
}

function micros(nanos: string): number {
  return Number(BigInt(nanos) / 1_000n);
}

function plain(pairs: Pairs): Attributes {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, valueOf(value)]));
}

function valueOf(value: Value): unknown {
  if (value.arrayValue !== undefined) return value.arrayValue.values.map(valueOf);
  return value.stringValue ?? value.boolValue ?? value.intValue ?? value.doubleValue;
}
