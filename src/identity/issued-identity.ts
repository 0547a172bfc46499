import type { Clock, Timer } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { issueEgressIdentity } from './issue.ts';
import type { EgressIdentity } from './issue.ts';
import { identityProblem, makeCredentials, meshOrigin } from './mesh-credentials.ts';
import { fault } from './mesh-identity.ts';
import type { IdentityEvents, MeshIdentity } from './mesh-identity.ts';

const FIRST_RETRY_MS = 5_000;
const LAST_RETRY_MS = 600_000;
/**
 * The longest sleep. It bounds how late a jump of the wall clock, or a sleep of the machine, is
 * noticed; a session notices it at once.
 */
const LONGEST_SLEEP_MS = 60_000;

export interface IssueSource {
  readonly mesh: MeshName;
  /** PEM of the CA that the key belongs to, without other certificates. */
  readonly caCert: string;
  readonly caKey: string;
  /** PEM to send after the leaf; empty where the CA is a root. */
  readonly chain: string;
  readonly lifetimeMs: number;
  /** Absent means the id of a zone egress of the mesh. */
  readonly id?: string;
}

/**
 * A certificate that the egress issues itself. It issues again at 80 % of its life, and where the
 * wall clock is before its beginning; after a failure it tries again with growing pauses. Pauses
 * use the monotonic clock, so that a jump of the wall clock does not lengthen them.
 */
export class IssuedIdentity implements MeshIdentity {
  readonly #clock: Clock;
  readonly #events: IdentityEvents;
  readonly #source: IssueSource;
  readonly #trust: IssuedTrust;
  #credentials: MeshCredentials;
  /** On the wall clock. */
  #renewAt: number;
  #retryMs = FIRST_RETRY_MS;
  /** The earliest next try, on the monotonic clock. */
  #restUntil = -Infinity;
  #renewing = false;
  #timer: Timer | null = null;
  #started = false;

  constructor(
    source: IssueSource,
    first: { readonly credentials: MeshCredentials; readonly renewAt: number },
    deps: { readonly clock: Clock; readonly events: IdentityEvents },
  ) {
    this.#source = source;
    const { trust, trustDomains } = first.credentials;
    this.#trust = { trust, ...(trustDomains === undefined ? {} : { trustDomains }) };
    this.#credentials = first.credentials;
    this.#renewAt = first.renewAt;
    this.#clock = deps.clock;
    this.#events = deps.events;
  }

  get credentials(): MeshCredentials {
    return this.#credentials;
  }

  get renewAt(): number {
    return this.#renewAt;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#sleep();
  }

  close(): void {
    this.#started = false;
    this.#timer?.cancel();
    this.#timer = null;
  }

  refresh(): void {
    if (this.#started && this.#isDue()) this.#wake();
  }

  readonly #wake = (): void => {
    if (this.#renewing) return;
    if (!this.#isDue()) return this.#sleep();
    this.#renewing = true;
    this.#renew()
      .catch((error: unknown) => this.#events.onProblem(fault(this.#source.mesh, error)))
      .finally(() => (this.#renewing = false));
  };

  #isDue(): boolean {
    const wall = this.#clock.wall();
    return this.#clock.now() >= this.#restUntil && (wall >= this.#renewAt || this.#isEarly(wall));
  }

  #isEarly(wall: number): boolean {
    return wall < this.#credentials.notBefore;
  }

  #sleep(): void {
    const left = Math.max(this.#renewAt - this.#clock.wall(), this.#restUntil - this.#clock.now(), 0);
    this.#timer?.cancel();
    this.#timer = this.#clock.after(Math.min(left, LONGEST_SLEEP_MS), this.#wake);
  }

  async #renew(): Promise<void> {
    const result = await issueCredentials(this.#source, this.#trust, this.#clock.wall());
    // The identity was closed while the key was made: its owner has a newer one.
    if (!this.#started) return;
    const { notAfter } = this.#credentials;
    if (result.kind === 'issued' && (result.credentials.notAfter > notAfter || this.#isEarly(this.#clock.wall()))) {
      this.#credentials = result.credentials;
      this.#renewAt = result.renewAt;
      this.#retryMs = FIRST_RETRY_MS;
      this.#sleep();
      this.#events.onCredentials(result.credentials);
    } else {
      this.#restUntil = this.#clock.now() + this.#retryMs;
      this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
      this.#sleep();
      const problems = result.kind === 'bad' ? result.problems : [this.#caEnds()];
      for (const problem of problems) this.#events.onProblem(problem);
    }
  }

  #caEnds(): Problem {
    const { mesh } = this.#source;
    const end = new Date(this.#credentials.notAfter).toISOString();
    return identityProblem(
      meshOrigin(mesh),
      `renew the certificate for mesh ${mesh}: its CA ends ${end}, no certificate can outlive it`,
    );
  }
}

export type Issued =
  | { readonly kind: 'issued'; readonly credentials: MeshCredentials; readonly renewAt: number }
  | { readonly kind: 'bad'; readonly problems: readonly Problem[] };

/** The trust that verifies clients. */
export type IssuedTrust = Pick<MeshCredentials, 'trust' | 'trustDomains'>;

export async function issueCredentials(source: IssueSource, trusted: IssuedTrust, nowMs: number): Promise<Issued> {
  const { mesh, chain } = source;
  const file = meshOrigin(mesh);
  let identity: EgressIdentity;
  try {
    identity = await issueEgressIdentity({ ...source, nowMs });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { kind: 'bad', problems: [identityProblem(file, `issue a certificate for mesh ${mesh}: ${why}`)] };
  }
  const { cert, key, notBefore, notAfter, renewAt } = identity;
  const made = makeCredentials({ mesh, file, ...trusted, cert: cert + chain, key, notBefore, notAfter });
  return made.kind === 'made' ? { kind: 'issued', credentials: made.credentials, renewAt } : made;
}
