// What the egress posts is what the official exporters post for the same spans and log records.
import t from 'tap';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { readFileSync } from 'node:fs';
import { PACKAGES, loadSdk } from '../../../src/observe/otlp/sdk.ts';
import type { ReadableLogRecord, ReadableSpan } from '../../../src/observe/otlp/sdk.ts';
import { sessionLog } from '../../../src/observe/otlp/log-facts.ts';
import { sessionSpans } from '../../../src/observe/otlp/span-facts.ts';
import { startCollector } from '../../egress/otlp-collector.ts';
import { sessionRecord, unmatched } from '../record.ts';

t.test('the official exporters send the same bytes, to the same receiver', async (t) => {
  const collector = await startCollector(t);
  const sdk = await loadSdk();
  const spans: ReadableSpan[] = [];
  const logs: ReadableLogRecord[] = [];
  const maker = sdk.create({
    version: '1.2.3',
    resource: { 'service.name': 'zone-egress' },
    onSpan: (span) => spans.push(span),
    onLog: (record) => logs.push(record),
  });
  const place = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
  for (const record of [sessionRecord(), unmatched()]) {
    const { session, steps } = sessionSpans(record);
    maker.span(session, place);
    for (const step of steps) maker.span(step, { ...place, parent: { spanId: place.spanId, isRemote: false } });
    maker.log(sessionLog(record), place);
  }
  const traces = new OTLPTraceExporter({ url: `${collector.url}/v1/traces`, keepAlive: false });
  const records = new OTLPLogExporter({ url: `${collector.url}/v1/logs`, keepAlive: false });
  t.strictSame(await new Promise((resolve) => traces.export(spans, resolve)), { code: 0 });
  t.strictSame(await new Promise((resolve) => records.export(logs, resolve)), { code: 0 });
  t.strictSame(
    collector.requests.map(({ path, headers, body }) => [path, headers['content-type'], body]),
    [
      ['/v1/traces', 'application/json', Buffer.from(sdk.spansAsJson(spans)).toString()],
      ['/v1/logs', 'application/json', Buffer.from(sdk.logsAsJson(logs)).toString()],
    ],
  );
  t.equal(collector.spans.length, 6);
  t.equal(collector.logs.length, 2);
});

t.test('the packages that an error names are those that are tested', async (t) => {
  const { devDependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  ) as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  const peers = Object.keys(peerDependencies ?? {});
  t.strictSame(
    PACKAGES,
    peers.map((name) => `${name}@${String(devDependencies?.[name])}`),
  );
  for (const name of peers) t.strictSame(peerDependenciesMeta?.[name], { optional: true }, name);
});
