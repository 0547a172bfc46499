import { REFUSALS } from '../base/refusal.ts';
import type { EndReason, Refusal } from '../base/refusal.ts';
import type { HttpRoute } from '../model/http-route.ts';
import { identityOf } from '../model/route.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Target } from '../routing/choose.ts';
import { admitClaims, chooseEndpoints, clusterOf, findRoute } from '../routing/decide.ts';
import type { AdmittedClient, RoutedHello, ViewOf } from '../routing/decide.ts';
import { printable } from '../routing/route.ts';
import { tlsText } from '../routing/table.ts';
import { endpointCandidates } from './endpoint-candidates.ts';
import { endOf } from './facts.ts';
import type { ConnectionFacts } from './facts.ts';
import { lateRefusal, lateStep } from './live.ts';
import type { Live } from './live.ts';
import { nearestClients } from './nearest-clients.ts';
import { nearestRoutes } from './nearest.ts';
import { asList, permissionCandidates } from './permission-candidates.ts';
import { judgeRequest } from './request-step.ts';
import { adviceFor } from './sentences.ts';
import { allowedText, chosenText, helloText } from './step-texts.ts';
import { inFile, filePlaceOf } from './trace.ts';
import type { Candidate, NearMiss, Sources, Trace, TraceStepName, TraceStep } from './trace.ts';

const STEPS: readonly TraceStepName[] = ['hello', 'route', 'identity', 'permission', 'request', 'endpoint', 'tls'];

const NOTHING = { candidates: [], omitted: 0 } as const;

/** The most rejected candidates that a step shows. */
const MAX_REJECTED = 20;

interface Explained extends Sources {
  readonly servesHttp?: boolean;
}

/** Makes the steps in their order, up to the last one that is reached. */
export class ReasonedSteps {
  readonly #steps = new Map<TraceStepName, TraceStep>();
  endsAt: TraceStepName | null = null;
  /** The targets that a session would dial, in order; empty where it does not get so far. */
  targets: readonly Target[] = [];
  nearest: readonly NearMiss[] = [];
  /** The status with which the egress answers the request itself, where a step decides so. */
  status: number | null = null;
  #routed: RoutedHello | null = null;
  #admitted: AdmittedClient | null = null;
  readonly #snapshot: Snapshot;
  readonly #facts: ConnectionFacts;
  readonly #sources: Explained;
  readonly #live: Live | null;
  #candidates: readonly Candidate[] = [];

  constructor(snapshot: Snapshot, facts: ConnectionFacts, to: { readonly sources: Explained; readonly live: Live | null }) {
    this.#snapshot = snapshot;
    this.#facts = facts;
    this.#sources = to.sources;
    this.#live = to.live;
  }

  run(viewOf: ViewOf): Refusal | null {
    return this.#hello() ?? this.#findRoute() ?? this.#admit() ?? this.#request() ?? this.#endpoint(viewOf);
  }

  get route(): Route | null {
    return this.#routed?.route ?? null;
  }

  /** How requests are served; undefined where bytes pass unchanged. */
  get http(): HttpRoute | undefined {
    const { route } = this;
    return route?.kind === 'terminate' && this.#sources.servesHttp !== false ? route.http : undefined;
  }

  get steps(): readonly TraceStep[] {
    const isHttp = this.http !== undefined;
    const all = STEPS.filter((step) => step !== 'request' || isHttp || this.#steps.has(step));
    return all.map((step) => this.#steps.get(step) ?? { ...NOTHING, step, outcome: 'not-reached', text: '' });
  }

  advice(refusal: Refusal | null): Trace['advice'] {
    if (refusal === null) return null;
    const { client, record } = this.#facts;
    const claims = client.kind === 'claims' ? client.claims : null;
    const certificate = client.kind === 'rejected' ? client.certificate : claims;
    return adviceFor({
      code: refusal.code,
      sni: this.#facts.serverName,
      route: this.route,
      client: claims,
      ids: certificate?.spiffeIds ?? [],
      certificateExpiry: certificate?.expiry ?? '',
      at: record?.startedAt ?? 0,
      nearest: this.nearest,
      candidates: this.#candidates,
      snapshot: this.#snapshot,
      sources: this.#sources,
    });
  }

  #hello(): Refusal | null {
    const recorded = this.#recorded('hello');
    if (recorded !== null) return this.#refuse('hello', recorded);
    return this.#pass('hello', helloText(this.#facts));
  }

  #findRoute(): Refusal | null {
    const { serverName } = this.#facts;
    const routed = findRoute(this.#snapshot, serverName);
    if (routed.kind === 'refusal') {
      if (serverName !== null) this.nearest = nearestRoutes(this.#snapshot, serverName, this.#sources);
      return this.#refuse(
        'route',
        routed,
        this.nearest.map((near) => asCandidate(near, serverName ?? '')),
      );
    }
    this.#routed = routed;
    const { route: found } = routed;
    const limited = this.#recorded('route') ?? this.#live?.rate(found) ?? null;
    if (limited !== null) return this.#refuse('route', limited);
    const place = filePlaceOf(this.#sources, `route:${found.serverName}`);
    const how = found.kind === 'passthrough' ? 'passed through to another zone' : 'the mesh mTLS ends here';
    return this.#pass('route', `${found.destination} of mesh ${found.mesh}: ${how}${inFile(place)}`);
  }

  /**
   * Judges identity and permission. A route that refuses every client does so before the identity,
   * as in traffic.
   */
  #admit(): Refusal | null {
    if (this.#routed === null) return null;
    const { route: found } = this.#routed;
    const { client } = this.#facts;
    const isAsked = found.kind === 'terminate' && found.unsupported === undefined;
    const recorded = this.#recorded('identity') ?? this.#live?.identity(identityOf(found)) ?? null;
    if (isAsked && client.kind === 'rejected') return this.#refuse('identity', client.refusal);
    if (isAsked && recorded !== null) return this.#refuse('identity', recorded);
    const claims = client.kind === 'claims' ? client.claims : null;
    const judged = admitClaims(this.#routed, claims);
    if (judged.kind === 'refusal' && REFUSALS[judged.code].step === 'identity') return this.#refuse('identity', judged);
    if (!isAsked)
      this.#skip(
        'identity',
        found.kind === 'passthrough' ? "the client's own TLS goes on as it is" : 'the route serves no client',
      );
    else
      this.#pass(
        'identity',
        claims === null ? '' : `${asList(claims.uris)}${claims.issuer === '' ? '' : `, issued by ${claims.issuer}`}`,
      );
    if (judged.kind === 'admitted') this.#admitted = judged;
    if (found.kind === 'passthrough' && judged.kind === 'admitted') {
      this.#skip('permission', `the other zone decides who may reach ${found.destination}`);
      return null;
    }
    const candidates = found.kind === 'terminate' ? permissionCandidates(found.permission, claims, this.#sources) : [];
    if (judged.kind === 'refusal') {
      if (found.kind === 'terminate' && claims !== null) this.nearest = nearestClients(found.permission, claims, this.#sources);
      return this.#refuse('permission', judged, candidates);
    }
    return this.#pass('permission', allowedText(judged.allowed), candidates);
  }

  /** Judges, for an HTTP service, what happens to a request before an endpoint is chosen. */
  #request(): Refusal | null {
    const recorded = this.#recorded('request');
    if (recorded !== null) {
      this.status = this.#facts.request?.answered ?? null;
      return this.#refuse('request', recorded);
    }
    const http = this.http;
    if (http === undefined) return null;
    const { client } = this.#facts;
    const uris = client.kind === 'claims' ? client.claims.uris : [];
    const { refusal, status, text, candidates } = judgeRequest(http, this.#facts.request ?? null, uris);
    this.status = status;
    return refusal === null ? this.#pass('request', text, candidates) : this.#refuse('request', refusal, candidates);
  }

  #endpoint(viewOf: ViewOf): Refusal | null {
    if (this.#admitted === null) return null;
    const { route: found } = this.#admitted;
    const cluster = clusterOf(this.#admitted);
    if ('kind' in cluster) return this.#refuse('endpoint', cluster);
    const view = viewOf(cluster);
    const chosen = chooseEndpoints(this.#admitted, cluster, view);
    const tried = chosen.kind === 'chosen' ? chosen.targets : [];
    const candidates = endpointCandidates(found, cluster, { view, tried, sources: this.#sources });
    const recorded = this.#recorded('endpoint');
    if (recorded !== null) return this.#refuse('endpoint', recorded, candidates);
    if (chosen.kind === 'refusal') return this.#refuse('endpoint', chosen, candidates);
    this.targets = tried;
    const full = this.#live?.breaker(cluster) ?? null;
    if (full !== null) return this.#refuse('endpoint', full, candidates);
    const late = this.#live === null ? null : lateRefusal(this.#live, found, tried);
    if (late !== null && lateStep(late) === 'endpoint') return this.#refuse('endpoint', late, candidates);
    this.#pass('endpoint', chosenText(chosen), candidates);
    return this.#tls(tried, late);
  }

  #tls([first]: readonly Target[], late: Refusal | null): Refusal | null {
    const refused = this.#recorded('tls') ?? late;
    if (refused !== null) return this.#refuse('tls', refused);
    if (this.route?.kind === 'passthrough') return this.#pass('tls', "none of this egress's own: the client's goes through");
    const tls = first?.endpoint.tls ?? null;
    if (tls === null) return this.#pass('tls', 'plain TCP to the endpoint');
    const versions = tls.minVersion === tls.maxVersion ? tls.minVersion : `${tls.minVersion} to ${tls.maxVersion}`;
    return this.#pass('tls', `${tlsText(tls)}, ${versions}${tls.alpn.length === 0 ? '' : `, ALPN ${tls.alpn.join(', ')}`}`);
  }

  /** Returns the recorded outcome of a step that cannot be judged again. */
  #recorded(step: TraceStepName): Refusal | null {
    const { record } = this.#facts;
    const end = record === null ? null : endOf(record);
    // Endpoints in another configuration say nothing about the present ones.
    const isStale = record?.snapshotVersion !== this.#snapshot.version && (step === 'endpoint' || step === 'tls');
    if (isStale) return null;
    if (end?.kind !== 'refusal' || end.step !== step || JUDGED.has(end.reason)) return null;
    return { kind: 'refusal', code: end.reason, detail: end.detail };
  }

  #pass(step: TraceStepName, text: string, candidates: readonly Candidate[] = []): null {
    this.#steps.set(step, { step, outcome: 'passed', text, ...shown(candidates) });
    return null;
  }

  #skip(step: TraceStepName, text: string): void {
    this.#steps.set(step, { ...NOTHING, step, outcome: 'not-asked', text });
  }

  #refuse(step: TraceStepName, refusal: Refusal, candidates: readonly Candidate[] = []): Refusal {
    this.endsAt = step;
    this.#candidates = candidates;
    this.#steps.set(step, { step, outcome: 'refused', text: refusal.detail, ...shown(candidates) });
    return refusal;
  }
}

/** Codes that are judged again from the facts, never taken from a record. */
const JUDGED: ReadonlySet<EndReason> = new Set(['no-sni', 'no-route', 'denied', 'unsupported-policy', 'misconfigured']);

function shown(candidates: readonly Candidate[]): Pick<TraceStep, 'candidates' | 'omitted'> {
  let rejected = 0;
  const kept = candidates.filter(({ outcome }) => outcome === 'matched' || ++rejected <= MAX_REJECTED);
  return { candidates: kept, omitted: candidates.length - kept.length };
}

function asCandidate({ name, place }: NearMiss, sni: string): Candidate {
  return { name: `route "${name}"`, outcome: 'rejected', field: 'SNI', wanted: name, found: printable(sni), place };
}
