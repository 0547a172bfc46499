import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import type { Clock, Timer } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { folderFingerprint, readIdentityFolder } from './identity-folder.ts';
import type { FolderRead } from './identity-folder.ts';
import { issueEgressIdentity } from './issue.ts';
import type { EgressIdentity } from './issue.ts';
import { identityProblem, makeCredentials, meshOrigin } from './mesh-credentials.ts';

/** The certificate of one mesh and what keeps it fresh. Nothing happens by itself before `start` and after `close`. */
export interface MeshIdentity {
  readonly credentials: MeshCredentials;
  start(): void;
  close(): void;
}

/** Where a certificate that changed by itself goes, and why one could not. The last good one stays in use. */
export interface IdentityEvents {
  readonly onCredentials: (credentials: MeshCredentials) => void;
  readonly onProblem: (problem: Problem) => void;
}

const FIRST_RETRY_MS = 5_000;
const LAST_RETRY_MS = 600_000;
/** No sleep is longer: a wall clock that jumps, or a machine that slept, is noticed within this time. */
const LONGEST_SLEEP_MS = 3_600_000;
const POLL_MS = 2_000;

export interface IssueSource {
  readonly mesh: MeshName;
  /** PEM: the CA that the key belongs to, alone. */
  readonly caCert: string;
  readonly caKey: string;
  /** PEM to send behind the leaf; empty where the CA is a root. */
  readonly chain: string;
  readonly lifetimeMs: number;
}

/** A certificate that is issued here, again at 80 % of its life; where that does not work, with growing pauses until it does. */
export class IssuedIdentity implements MeshIdentity {
  readonly #clock: Clock;
  readonly #events: IdentityEvents;
  readonly #source: IssueSource;
  readonly #trust: string;
  #credentials: MeshCredentials;
  /** Wall clock. */
  #renewAt: number;
  #retryMs = FIRST_RETRY_MS;
  #timer: Timer | null = null;
  #started = false;

  constructor(
    source: IssueSource,
    first: { readonly credentials: MeshCredentials; readonly renewAt: number },
    deps: { readonly clock: Clock; readonly events: IdentityEvents },
  ) {
    this.#source = source;
    this.#trust = first.credentials.trust;
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

  readonly #wake = (): void => {
    if (this.#clock.wall() < this.#renewAt) this.#sleep();
    else this.#renew().catch((error: unknown) => this.#events.onProblem(fault(this.#source.mesh, error)));
  };

  #sleep(): void {
    const ms = Math.min(Math.max(this.#renewAt - this.#clock.wall(), 0), LONGEST_SLEEP_MS);
    this.#timer = this.#clock.after(ms, this.#wake);
  }

  async #renew(): Promise<void> {
    const result = await issueCredentials(this.#source, this.#trust, this.#clock.wall());
    // Closed while the key was made: whoever closed has something newer.
    if (!this.#started) return;
    if (result.kind === 'issued' && result.credentials.notAfter > this.#credentials.notAfter) {
      this.#credentials = result.credentials;
      this.#renewAt = result.renewAt;
      this.#retryMs = FIRST_RETRY_MS;
      this.#sleep();
      this.#events.onCredentials(result.credentials);
    } else {
      this.#renewAt = this.#clock.wall() + this.#retryMs;
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

export async function issueCredentials(source: IssueSource, trust: string, nowMs: number): Promise<Issued> {
  const { mesh, chain } = source;
  const file = meshOrigin(mesh);
  let identity: EgressIdentity;
  try {
    identity = await issueEgressIdentity({ ...source, nowMs });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { kind: 'bad', problems: [identityProblem(file, `issue a certificate for mesh ${mesh}: ${why}`)] };
  }
  const { cert, key, notAfter, renewAt } = identity;
  const made = makeCredentials({ mesh, file, trust, cert: cert + chain, key, notAfter });
  return made.kind === 'made' ? { kind: 'issued', credentials: made.credentials, renewAt } : made;
}

/** A certificate that somebody else renews in a folder: read anew whenever the files change, taken only as a good set. */
export class FolderIdentity implements MeshIdentity {
  readonly path: string;
  readonly #mesh: MeshName;
  readonly #clock: Clock;
  readonly #events: IdentityEvents;
  #credentials: MeshCredentials;
  #notBefore: number;
  #fingerprint: string;
  #poll: Timer | null = null;
  #watcher: FSWatcher | null = null;
  #looking = false;
  #lookAgain = false;
  #toldOfAge = false;

  constructor(
    path: string,
    first: Extract<FolderRead, { kind: 'good' }>,
    deps: { readonly clock: Clock; readonly events: IdentityEvents },
  ) {
    this.path = path;
    this.#mesh = first.credentials.mesh;
    this.#credentials = first.credentials;
    this.#notBefore = first.notBefore;
    this.#fingerprint = first.fingerprint;
    this.#clock = deps.clock;
    this.#events = deps.events;
  }

  get credentials(): MeshCredentials {
    return this.#credentials;
  }

  /** The poll is what counts; the system's own word only makes it faster, and does not exist on every file system. */
  start(): void {
    if (this.#poll !== null) return;
    this.#poll = this.#clock.every(POLL_MS, this.#onPoll);
    this.#watcher = watchFolder(this.path, this.#look);
    this.#look();
  }

  close(): void {
    this.#poll?.cancel();
    this.#poll = null;
    this.#watcher?.close();
    this.#watcher = null;
  }

  readonly #onPoll = (): void => {
    // A folder that was replaced as a whole has lost its watch.
    this.#watcher ??= watchFolder(this.path, this.#look);
    this.#tellOfAge();
    this.#look();
  };

  readonly #look = (): void => {
    if (this.#looking) this.#lookAgain = true;
    else this.#lookNow().catch((error: unknown) => this.#events.onProblem(fault(this.#mesh, error)));
  };

  async #lookNow(): Promise<void> {
    this.#looking = true;
    try {
      do {
        this.#lookAgain = false;
        if ((await folderFingerprint(this.path)) !== this.#fingerprint) await this.#read();
      } while (this.#lookAgain && this.#poll !== null);
    } finally {
      this.#looking = false;
    }
  }

  async #read(): Promise<void> {
    const read = await readIdentityFolder(this.#mesh, this.path, this.#clock.wall());
    if (this.#poll === null) return;
    this.#fingerprint = read.fingerprint;
    if (read.kind === 'bad') {
      for (const problem of read.problems) this.#events.onProblem(problem);
      return;
    }
    this.#notBefore = read.notBefore;
    if (sameCredentials(read.credentials, this.#credentials)) return;
    this.#credentials = read.credentials;
    this.#toldOfAge = false;
    this.#events.onCredentials(read.credentials);
  }

  /** Once, when nine tenths of its life are gone and nobody has put a new one. */
  #tellOfAge(): void {
    const { notAfter } = this.#credentials;
    if (this.#toldOfAge || this.#clock.wall() < this.#notBefore + (notAfter - this.#notBefore) * 0.9) return;
    this.#toldOfAge = true;
    const message = `the certificate for mesh ${this.#mesh} ends ${new Date(notAfter).toISOString()} and has not been renewed`;
    this.#events.onProblem(identityProblem(this.path, message, 'warning'));
  }
}

/** A listener of ours threw: told, and the next renewal comes all the same. */
function fault(mesh: MeshName, error: unknown): Problem {
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return identityProblem(meshOrigin(mesh), `hand out the certificate for mesh ${mesh}: ${why}`);
}

export function sameCredentials(a: MeshCredentials, b: MeshCredentials): boolean {
  return a.mesh === b.mesh && a.generation === b.generation && a.cert === b.cert && a.key === b.key;
}

function watchFolder(path: string, onChange: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, { persistent: false }, onChange);
    watcher.on('error', onChange);
    return watcher;
  } catch {
    // No such folder now, or no watches left: the poll goes on.
    return null;
  }
}
