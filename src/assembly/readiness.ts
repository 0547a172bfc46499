import type { Readiness } from '../admin/views.ts';

/** Facts that decide whether the egress is ready, at the moment of the question. */
export interface ReadinessFacts {
  isEnding(): boolean;
  /** True while the listener for clients is open. */
  isListening(): boolean;
  /** True when a live configuration has no listener for clients. */
  hasNothingToListenFor(): boolean;
  /**
   * Returns when the live configuration was kept, in milliseconds since the Unix epoch; null for a
   * present one.
   */
  keptSince?(): number | null;
}

/**
 * Returns Kuma's state. An egress without a listener in its configuration is ready; one whose
 * listener is not open yet, or could not be opened, is not.
 */
export function readiness(facts: ReadinessFacts): Readiness {
  if (facts.isEnding()) return { ok: false, text: 'TERMINATING' };
  if (facts.isListening() || facts.hasNothingToListenFor())
    return { ok: true, text: 'LIVE', ...noteOf(facts.keptSince?.() ?? null) };
  return { ok: false, text: 'PRE_INITIALIZING' };
}

function noteOf(keptSince: number | null): Pick<Readiness, 'note'> {
  if (keptSince === null) return {};
  return { note: `the control plane is away: the configuration was kept at ${new Date(keptSince).toISOString()}` };
}
