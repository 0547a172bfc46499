/** What a fake egress is asked for and offers. */
import type { EventEmitter } from 'node:events';
import type { Clock } from '../../base/clock.ts';
import type { Question } from '../../explain/question.ts';
import type { TrafficSettings } from '../../model/settings.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { SessionWants } from './session-expectations.ts';
import type { FakeClient, FakeClientOptions } from './fake-client.ts';
import type { FakeExternalService } from './fake-external-service.ts';
import type { Explanation, FakeSession } from './fake-session.ts';
import type { FakeZoneIngress } from './fake-zone-ingress.ts';
import type { FakeZoneOptions } from './fake-zone-options.ts';
import type { History, WaitOptions } from './session-history.ts';
import type { TestMesh } from './test-mesh.ts';
import type { Toxic } from './toxics.ts';

export interface FakeEgressOptions extends FakeZoneOptions {
  /**
   * `true`, or hosts and `host:port`: may be dialled although it is not on loopback. Absent:
   * nothing is.
   */
  readonly allowOutside?: boolean | readonly string[];
  /**
   * Addresses of names, in place of the system's resolver; an empty list: there is no such name.
   */
  readonly dns?: Readonly<Record<string, readonly string[]>>;
  /** Moves every timer of the egress and of its faults: a FakeClock, for one. */
  readonly clock?: Clock;
  /** Of the zone, where the resources have none. Default: `east`. */
  readonly zone?: string;
  /** Port of the egress; absent: a free one. */
  readonly port?: number;
  /**
   * Admin pages on loopback (`/decisions`, `/explain`, …). Default: none. They hold the process
   * open.
   */
  readonly admin?: boolean;
  readonly traffic?: Partial<Omit<TrafficSettings, 'unref'>>;
  /** In [0, 1), for jitter and toxicity. Default: Math.random. */
  readonly random?: () => number;
  /** Closes the fake. */
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
 * with what the event has.
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
  /** Undoes it; again does nothing. */
  remove(): Promise<void>;
}

/**
 * A zone egress in a test: the same engine, real sockets, real mutual TLS. Declare it with `await
 * using`, or close it.
 */
export interface FakeEgress extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** 0 where there are no admin pages. */
  readonly adminPort: number;
  /** Sessions that ended, refused ones too. */
  readonly sessions: History<FakeSession>;
  /** Those of them through which nothing came. */
  readonly refusals: History<FakeSession>;
  readonly events: EventEmitter<{ [Name in keyof FakeEgressEvents]: FakeEgressEvents[Name] }>;
  /** What clients may ask for, by the configuration of now. */
  destinations(): readonly FakeDestination[];
  snapshot(): Snapshot;
  /** Sessions that are open. */
  open(): number;
  mesh(name?: string): TestMesh;
  client(options: FakeClientOptions): FakeClient;
  /** The fake that was made for a declared external service, or for a service of another zone. */
  externalService(name: string): FakeExternalService | undefined;
  zoneIngress(name: string): FakeZoneIngress | undefined;
  /** Why a connection that nobody has made would pass or not. */
  explain(question: Question): Explanation;
  expectSession(wants: SessionWants, options?: WaitOptions): Promise<FakeSession>;
  /** Rejects with an AssertionError that has the nearest ones, and how they differ. */
  expectRefused(wants: SessionWants, options?: WaitOptions): Promise<FakeSession>;
  /**
   * Rejects where something was refused that nobody expected, an expectation was not met, or a
   * socket is open. Waits a moment for sessions that are ending.
   */
  verify(): Promise<void>;
  /**
   * Something goes wrong between the egress and a destination, until it is undone; open connections
   * feel it too.
   */
  fault(destination: string, toxic: Toxic): Promise<FakeFault>;
  /**
   * A new CA for the mesh. Its clients get new certificates with their next connection; open
   * sessions go on.
   */
  rotate(mesh?: string): Promise<void>;
  /**
   * Changes the declaration: what is given takes the place of what was, what is not given stays.
   * Resolves when it is live; a bad one rejects with ConfigError and changes nothing.
   */
  apply(change?: FakeZoneOptions): Promise<void>;
  /** As on SIGTERM. */
  drain(drainTimeMs: number): Promise<void>;
  close(): Promise<void>;
}
