import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../base/clock.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { ContentHash, MeshName } from '../model/names.ts';
import { TICKET_KEY_ISSUES_MS, TICKET_KEY_LIFE_MS } from '../model/ticket-keys.ts';
import type { TicketKeySet } from '../model/ticket-keys.ts';
import { TICKET_KEY_BYTES } from './session-ticket.ts';

interface MadeKey {
  readonly bytes: Uint8Array;
  /** On the monotonic clock. */
  readonly madeAt: number;
}

interface OfIdentity {
  readonly generation: ContentHash;
  keys: readonly MadeKey[];
}

/**
 * Makes the keys of session tickets, on the control side. Each identity has its own, which are
 * random, known to this process only, and gone with the generation of its trust. Two are in use at
 * a time: the newer one gives tickets, the older one still resumes.
 */
export class TicketRing {
  readonly #clock: Clock;
  readonly #onKeys: (keys: TicketKeySet) => void;
  readonly #of = new Map<MeshName, OfIdentity>();
  #timer: Timer | null = null;

  constructor(clock: Clock, onKeys: (keys: TicketKeySet) => void) {
    this.#clock = clock;
    this.#onKeys = onKeys;
  }

  start(): void {
    this.#timer ??= this.#clock.every(TICKET_KEY_ISSUES_MS, () => this.#turn());
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#of.clear();
  }

  /** Call it after new credentials were handed out: another trust gets other keys. */
  follow({ mesh, generation }: MeshCredentials): void {
    if (this.#of.get(mesh)?.generation === generation) return;
    this.#of.set(mesh, { generation, keys: [this.#make()] });
    this.#tell(mesh);
  }

  forget(mesh: MeshName): void {
    this.#of.delete(mesh);
  }

  /** The keys in use, for a data side that has none. */
  get all(): readonly TicketKeySet[] {
    return [...this.#of.keys()].flatMap((mesh) => this.#keysOf(mesh));
  }

  #turn(): void {
    for (const [mesh, identity] of this.#of) {
      identity.keys = [this.#make(), ...identity.keys.slice(0, 1)];
      this.#tell(mesh);
    }
  }

  #make(): MadeKey {
    return { bytes: new Uint8Array(randomBytes(TICKET_KEY_BYTES)), madeAt: this.#clock.now() };
  }

  #tell(mesh: MeshName): void {
    for (const keys of this.#keysOf(mesh)) this.#onKeys(keys);
  }

  #keysOf(mesh: MeshName): readonly TicketKeySet[] {
    const identity = this.#of.get(mesh);
    if (identity === undefined) return [];
    const { generation, keys } = identity;
    const now = this.#clock.now();
    return [
      {
        mesh,
        generation,
        keys: keys.map(({ bytes, madeAt }) => ({ bytes, lifeMs: madeAt + TICKET_KEY_LIFE_MS - now })),
      },
    ];
  }
}
