import type { OpenSessions } from '../model/messages.ts';
import type { Session } from './session-state.ts';

/** Counts sessions for the log of a drain. They are in the order in which they were accepted. */
export function openSessionsOf(sessions: Iterable<Session>, nowMs: number): OpenSessions {
  const destinations = new Map<string, number>();
  let oldestMs = 0;
  for (const { route, openedAt } of sessions) {
    const name = route === null ? '' : `${route.mesh}/${route.destination}`;
    destinations.set(name, (destinations.get(name) ?? 0) + 1);
    oldestMs = Math.max(oldestMs, nowMs - openedAt);
  }
  return { oldestMs, destinations };
}
