/** The options and the interface of a fake egress. */
import type { EventEmitter } from 'node:events';
import type { Clock } from '../../base/clock.ts';
import type { Question } from '../../explain/question.ts';
import type { TrafficSettings } from '../../model/settings.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { SessionWants } from './session-expectations.ts';
import type { FakeClient, FakeClientOptions } from './fake-client.ts';
import type { FakeExternalService } from './fake-external-service.ts';
import type { FakeRequest, RequestWants } from './fake-request.ts';
import type { Explanation, FakeSession } from './fake-session.ts';
import type { FakeZoneIngress } from './fake-zone-ingress.ts';
import type { FakeZoneOptions } from './fake-zone-options.ts';
import type { History, WaitOptions } from './session-history.ts';
import type { TestMesh } from './test-mesh.ts';
import type { Toxic } from './toxics.ts';

export interface FakeEgressOptions extends FakeZoneOptions {
  /**
   * `true`, or hosts and `host:port` that may be dialled outside of loopback. Absent allows none.
   */
  readonly allowOutside?: boolean | readonly string[];
  /**
   * Addresses of names, instead of the system's resolver; an empty list means that the name does
   * not exist.
   */
  readonly dns?: Readonly<Record<string, readonly string[]>>;
  /** Runs every timer of the egress and of its faults, e.g. a FakeClock. */
  readonly clock?: Clock;
  /** Name of the zone, where the resources have none. Default: `east`. */
  readonly zone?: string;
  /** Port of the egress; absent means a free one. */
  readonly port?: number;
  /**
   * Admin pages on loopback (`/decisions`, `/explain`, …). Default: none. They hold the process
   * open.
   */
  readonly admin?: boolean;
  readonly traffic?: Partial<Omit<TrafficSettings, 'unref'>>;
  /** Returns a number in [0, 1), for jitter and toxicity. Default: Math.random. */
  readonly random?: () => number;
  /** Aborting closes the fake. */
  readonly signal?: AbortSignal;
}

export interface FakeEgressEvents {
  readonly session: [session: FakeSession];
  readonly refusal: [session: FakeSession];
  /** A configuration is live. */
  readonly apply: [about: { readonly version: string }];
  readonly rotate: [about: { readonly mesh: string }];
  readonly fault: [about: { readonly destination: string; readonly toxic: Toxic; readonly on: boolean }];
  readonly close: [];
}

/**
 * Names of `node:diagnostics_channel` channels, one for each event; a message is `{ egress, ... }`
 * with the fields of the event.
 */
export const CHANNELS: Readonly<Record<keyof FakeEgressEvents, string>> = {
  session: 'zone-egress:fake:session',
  refusal: 'zone-egress:fake:refusal',
  apply: 'zone-egress:fake:apply',
  rotate: 'zone-egress:fake:rotate',
  fault: 'zone-egress:fake:fault',
  close: 'zone-egress:fake:close',
};

/** A destination that clients may ask for. */
export interface FakeDestination {
  readonly mesh: string;
  readonly name: string;
  readonly sni: string;
  readonly mode: 'passthrough' | 'terminate';
}

export interface FakeFault extends AsyncDisposable {
  /** Removes it; a second call does nothing. */
  remove(): Promise<void>;
}

/**
 * A zone egress in a test: the same engine, real sockets, real mutual TLS. Declare it with `await
 * using`, or close it.
 */
export interface FakeEgress extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** 0 without admin pages. */
  readonly adminPort: number;
  /** Sessions that ended, including refused ones. */
  readonly sessions: History<FakeSession>;
  /** The sessions that carried no bytes to a service. */
  readonly refusals: History<FakeSession>;
  /** Requests of HTTP services that ended, including refused ones. */
  readonly requests: History<FakeRequest>;
  readonly events: EventEmitter<{ [Name in keyof FakeEgressEvents]: FakeEgressEvents[Name] }>;
  /** Returns what clients may ask for in the present configuration. */
  destinations(): readonly FakeDestination[];
  snapshot(): Snapshot;
  /** Counts open sessions. */
  open(): number;
  mesh(name?: string): TestMesh;
  client(options: FakeClientOptions): FakeClient;
  /** Returns the fake of a declared external service, or of a service of another zone. */
  externalService(name: string): FakeExternalService | undefined;
  zoneIngress(name: string): FakeZoneIngress | undefined;
  /** Explains whether a connection would pass, without making it. */
  explain(question: Question): Explanation;
  expectSession(wants: SessionWants, options?: WaitOptions): Promise<FakeSession>;
  /** Rejects with an AssertionError that shows the nearest sessions and their differences. */
  expectRefused(wants: SessionWants, options?: WaitOptions): Promise<FakeSession>;
  /** Rejects with an AssertionError that shows the nearest requests and their differences. */
  expectRequest(wants: RequestWants, options?: WaitOptions): Promise<FakeRequest>;
  /**
   * Rejects where a refusal was not expected, an expectation was not met, or a socket is open.
   * Waits a moment for sessions that are ending.
   */
  verify(): Promise<void>;
  /**
   * Puts a fault between the egress and a destination until it is removed; it affects open
   * connections too.
   */
  fault(destination: string, toxic: Toxic): Promise<FakeFault>;
  /**
   * Makes a new CA for the mesh. Its clients get new certificates with their next connection; open
   * sessions continue.
   */
  rotate(mesh?: string): Promise<void>;
  /**
   * Changes the declaration: given parts replace the previous ones, the others stay. Resolves when
   * it is live; an invalid one rejects with ConfigError and changes nothing.
   */
  apply(change?: FakeZoneOptions): Promise<void>;
  /** Acts as on SIGTERM. */
  drain(drainTimeMs: number): Promise<void>;
  close(): Promise<void>;
}
