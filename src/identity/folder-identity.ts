import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import type { Clock, Timer } from '../base/clock.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { folderFingerprint, readIdentityFolder } from './read-identity-folder.ts';
import type { FolderRead } from './read-identity-folder.ts';
import { identityProblem } from './mesh-credentials.ts';
import { fault, sameCredentials } from './mesh-identity.ts';
import type { IdentityEvents, MeshIdentity } from './mesh-identity.ts';

const POLL_MS = 2_000;

/**
 * A certificate in a folder that another program renews. It is read again whenever the files
 * change, and taken only as a consistent set.
 */
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

  /**
   * The poll finds every change. Events of the file system only make it faster; some file systems
   * have none.
   */
  start(): void {
    if (this.#poll !== null) return;
    this.#poll = this.#clock.every(POLL_MS, this.#onPoll);
    this.#watcher = watchFolder(this.path, this.#look);
    this.#look();
  }

  refresh(): void {
    if (this.#poll !== null) this.#look();
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

  /** Reports once when nine tenths of the certificate's life are gone and no new one has come. */
  #tellOfAge(): void {
    const { notAfter } = this.#credentials;
    if (this.#toldOfAge || this.#clock.wall() < this.#notBefore + (notAfter - this.#notBefore) * 0.9) return;
    this.#toldOfAge = true;
    const message = `the certificate for mesh ${this.#mesh} ends ${new Date(notAfter).toISOString()} and has not been renewed`;
    this.#events.onProblem(identityProblem(this.path, message, 'warning'));
  }
}

function watchFolder(path: string, onChange: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, { persistent: false }, onChange);
    watcher.on('error', onChange);
    return watcher;
  } catch {
    // The folder does not exist now, or the system has no watches left: the poll goes on.
    return null;
  }
}
