import type { EndReason, Refusal, Step } from '../base/refusal.ts';
import type { HttpRoute } from '../model/http-route.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Target } from '../routing/choose.ts';
import type { ViewOf } from '../routing/decide.ts';
import { printable } from '../routing/route.ts';
import { endOf } from './facts.ts';
import type { ConnectionFacts } from './facts.ts';
import { liveNotes, recentOf } from './live.ts';
import type { Live } from './live.ts';
import { NO_SOURCES, filePlaceOf, TRACE_VERSION } from './trace.ts';
import type { ConnectionView, RecordView, RequestView, RouteView, Sources, Trace } from './trace.ts';
import { ReasonedSteps } from './trace-steps.ts';

/**
 * Makes the judgement with its reasons, in the stages of `decide` that a session uses too. Steps
 * that cannot be judged again (the hello, the certificate, the connection) are taken from the
 * record.
 */
export function explain(snapshot: Snapshot, facts: ConnectionFacts, viewOf: ViewOf, to: ExplainedWith = NO_SOURCES): Trace {
  return explainWithTargets(snapshot, facts, viewOf, to).trace;
}

export interface ExplainedWith extends Sources {
  /** Facts of a running egress. */
  readonly live?: Live;
  /** False for an egress with `--http off`, which reads no requests. */
  readonly servesHttp?: boolean;
}

/** Returns the trace, and what a session would dial. */
export function explainWithTargets(
  snapshot: Snapshot,
  facts: ConnectionFacts,
  viewOf: ViewOf,
  sources: ExplainedWith,
): { readonly trace: Trace; readonly targets: readonly Target[] } {
  // The record of a session already has its outcome.
  const live = facts.record === null ? (sources.live ?? null) : null;
  const made = new ReasonedSteps(snapshot, facts, { sources, live });
  const refusal = made.run(viewOf);
  return { trace: traceOf(made, refusal, { snapshot, facts, sources, live }), targets: made.targets };
}

function traceOf(
  made: ReasonedSteps,
  refusal: Refusal | null,
  of: {
    readonly snapshot: Snapshot;
    readonly facts: ConnectionFacts;
    readonly sources: ExplainedWith;
    readonly live: Live | null;
  },
): Trace {
  const { snapshot, facts, sources, live } = of;
  const recent = live === null || made.route === null ? [] : recentOf(live, made.route);
  const probes = live?.probes ?? [];
  const later = refusal === null ? endedLater(facts) : null;
  const code = refusal?.code ?? null;
  return {
    version: TRACE_VERSION,
    outcome: refusal === null ? 'allowed' : 'refused',
    reason: code ?? later?.reason ?? null,
    endsAt: made.endsAt ?? later?.step ?? null,
    detail: refusal?.detail ?? later?.detail ?? '',
    advice: made.advice(refusal),
    nearest: made.nearest,
    connection: connectionView(facts),
    route: made.route === null ? null : routeView(made.route, sources),
    steps: made.steps,
    configuration: { version: snapshot.version, zone: snapshot.zone },
    record: recordView(facts, snapshot),
    ...requestView(made, refusal, facts),
    ...(recent.length === 0 ? {} : { recent }),
    ...(probes.length === 0 ? {} : { probes }),
    notes: [
      ...notesOf(facts, snapshot, made),
      ...(live === null || made.route === null ? [] : liveNotes(live, made.route, made.targets)),
    ],
  };
}

function connectionView({ serverName, alpn, tlsVersion, clientAddress, client }: ConnectionFacts): ConnectionView {
  const known = client.kind === 'claims' ? client.claims : client.kind === 'rejected' ? client.certificate : null;
  return {
    sni: serverName === null ? null : printable(serverName),
    alpn,
    tlsVersion,
    clientAddress,
    from: client.kind === 'claims' ? client.claims.uris : (known?.spiffeIds ?? []),
    certificateIssuer: known?.issuer ?? '',
    certificateExpiry: known?.expiry ?? '',
  };
}

function routeView({ serverName: sni, mesh, destination, kind: mode, cluster }: Route, sources: Sources): RouteView {
  return { sni, mesh, destination, mode, cluster, place: filePlaceOf(sources, `route:${sni}`) };
}

/** Only where the route speaks HTTP. */
function requestView(
  { http, status: answered, targets }: ReasonedSteps,
  refusal: Refusal | null,
  { request }: ConnectionFacts,
): { readonly request?: RequestView } {
  if (http === undefined) return {};
  const { method = '', path = '', authority = '' } = request ?? {};
  const address = targets[0]?.endpoint.address;
  const host = http.autoHostRewrite && address?.kind === 'name' ? address.name : authority;
  const status = refusal === null ? null : (answered ?? statusOf(http, refusal));
  return {
    request: {
      method,
      path: printable(path),
      authority: printable(authority),
      host: refusal === null ? printable(host) : '',
      status,
    },
  };
}

/** The answer that traffic gives (`src/traffic/http/local-reply.ts`). */
export function statusOf(http: HttpRoute, { code }: Refusal): number {
  switch (code) {
    case 'denied':
      return http.answersDenied ? 403 : 0;
    case 'no-endpoint':
    case 'dns-failed':
    case 'forbidden-address':
    case 'over-limit':
    case 'misconfigured':
    case 'connect-timeout':
    case 'connect-refused':
    case 'upstream-tls-failed':
      return 503;
    default:
      return 0;
  }
}

function recordView({ record }: ConnectionFacts, snapshot: Snapshot): RecordView | null {
  if (record === null) return null;
  const { id, reason, detail, snapshotVersion: configuration } = record;
  const startedAt = new Date(record.startedAt).toISOString();
  return { id, startedAt, reason, detail, configuration, changed: configuration !== snapshot.version };
}

/** Returns how a session ended that had reached its endpoint. */
function endedLater({
  record,
}: ConnectionFacts): { readonly reason: EndReason; readonly step: Step | null; readonly detail: string } | null {
  if (record === null) return null;
  const end = endOf(record);
  if (end.kind === 'normal') return { reason: record.reason, step: null, detail: '' };
  // It was refused when it was recorded, and passes now.
  return end.step === 'splice' ? end : null;
}

function notesOf(
  { record, client, request }: ConnectionFacts,
  snapshot: Snapshot,
  { route, http }: ReasonedSteps,
): readonly string[] {
  const notes: string[] = [];
  if (record !== null && record.snapshotVersion !== snapshot.version) {
    notes.push(
      `the configuration has changed since: session ${record.id} was judged by ${record.snapshotVersion} and ended with ${record.reason}; this is what ${snapshot.version} says`,
    );
  }
  if (request !== undefined && route !== null && http === undefined)
    notes.push(`requests of ${route.destination} are not looked at here: its bytes pass as they are`);
  const isUnknown = client.kind === 'none' && (record === null || record.mode !== 'terminate');
  if (route?.kind === 'terminate' && isUnknown) notes.push('the client is not known: ask with --from or --cert');
  return notes;
}
