import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { descriptorRefusal } from './descriptors.ts';
import type { Limits } from './limits.ts';
import type { Unproven } from './unproven.ts';

/** Decides whether a connection gets a place for a session. */
export class Admission {
  readonly #clock: Clock;
  readonly #settings: TrafficSettings;
  readonly #limits: Limits;
  readonly #unproven: Unproven;

  constructor(options: {
    readonly clock: Clock;
    readonly settings: TrafficSettings;
    readonly limits: Limits;
    readonly unproven: Unproven;
  }) {
    this.#clock = options.clock;
    this.#settings = options.settings;
    this.#limits = options.limits;
    this.#unproven = options.unproven;
  }

  /**
   * Takes a place for a session. Where none is left, ends an unproven session to free its place;
   * returns a sentence where there is none of those either.
   */
  admit(socket: Socket, source: string): string | null {
    const lack = descriptorRefusal(socket, this.#settings.maxDescriptors, 'client');
    if (lack !== null) return lack;
    const full = this.#limits.enterSession(source);
    if (full === null) return null;
    const now = this.#clock.now();
    const { shareOfSessions: share, surplusSessions: surplus } = this.#limits;
    if (full.of === 'process' && this.#unproven.size < share && surplus < 2 * share) {
      this.#limits.forceSession(source);
      return null;
    }
    // Frees the place that another data side has used above the limit. Without a share none does:
    // such a surplus is a session that makes room and has not left its place yet.
    if (share > 0 && surplus > 0 && this.#unproven.size > share) this.#unproven.makeRoom(now);
    const isRoom = full.of === 'source' ? this.#unproven.makeRoomIn(source, now) : this.#unproven.makeRoom(now);
    if (!isRoom) return full.detail;
    this.#limits.forceSession(source);
    return null;
  }

  /** Returns places above the limit that data sides below their share have used. */
  giveBack(): void {
    const { surplusSessions, shareOfSessions } = this.#limits;
    if (shareOfSessions === 0) return;
    const number = Math.min(surplusSessions, this.#unproven.size - shareOfSessions);
    for (let i = 0; i < number; i++) this.#unproven.makeRoom(this.#clock.now());
  }
}
