import type { ContentHash, MeshName } from './names.ts';

/** A key gives tickets for this long; then the next one does. */
export const TICKET_KEY_ISSUES_MS = 1_800_000;
/** A key resumes for this long since it was made; then it is gone. */
export const TICKET_KEY_LIFE_MS = 3_600_000;
/** A ticket of a full handshake lives for this long. */
export const TICKET_LIFE_SECONDS = 1_800;

/** The keys of one identity under one generation of its trust, in every data side the same. */
export interface TicketKeySet {
  /** The name of the credentials. */
  readonly mesh: MeshName;
  readonly generation: ContentHash;
  /** The newest first: it gives tickets, and all resume them. */
  readonly keys: readonly TicketKey[];
}

export interface TicketKey {
  /** As `tls.Server` takes it: 16 bytes of name, which each ticket begins with, and two keys. */
  readonly bytes: Uint8Array;
  /** Counts from the moment when it is sent. */
  readonly lifeMs: number;
}
