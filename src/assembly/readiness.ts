import type { Readiness } from '../admin/views.ts';

/** What decides whether the egress is ready, at the moment of the question. */
export interface ReadinessFacts {
  isEnding(): boolean;
  /** Clients are listened for. */
  isListening(): boolean;
  /** A configuration is live, and it says that there is nothing to listen for. */
  hasNothingToListenFor(): boolean;
}

/**
 * Kuma's words for it. A source may have nothing for an egress to listen for; what it has and is
 * not open yet, or could not be opened, is another thing.
 */
export function readiness(facts: ReadinessFacts): Readiness {
  if (facts.isEnding()) return { ok: false, text: 'TERMINATING' };
  if (facts.isListening() || facts.hasNothingToListenFor()) return { ok: true, text: 'LIVE' };
  return { ok: false, text: 'PRE_INITIALIZING' };
}
