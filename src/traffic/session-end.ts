import type { Socket } from 'node:net';
import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import { printable } from '../routing/route.ts';
import { alertFor } from '../wire/alert.ts';
import type { SessionContext } from './session-context.ts';
import type { Session } from './session-state.ts';

/**
 * Sends a refused client a TLS alert before any handshake with the egress, so that it sees more
 * than an end. A client with a refused certificate has had its alert already; after a handshake
 * others see an orderly end of TLS.
 */
export function sayGoodbye({ joined, isSecured }: Session, accepted: Socket, { code }: Refusal): void {
  if (joined || isSecured || accepted.destroyed) return;
  if (code === 'handshake-failed') {
    accepted.destroy();
    return;
  }
  const alert = alertFor(code);
  if (alert !== null) accepted.write(alert);
  accepted.destroySoon();
}

/** Returns why a session that is not set up in time ends: the refusal of its current step. */
export function setupRefusal({ route, client, waitsForNames, from }: Session, timeoutMs: number): Refusal {
  if (route === null) return refuse('hello-timeout', `read hello from ${from}: incomplete after ${timeoutMs} ms`);
  if (route.kind === 'terminate' && client === null) {
    return refuse('handshake-failed', `TLS handshake with ${from}: not done ${timeoutMs} ms after accept`);
  }
  if (waitsForNames)
    return refuse('dns-failed', `resolve the names of ${route.destination}: no answer ${timeoutMs} ms after accept`);
  return refuse('connect-timeout', `connect ${route.destination}: not done ${timeoutMs} ms after accept`);
}

/** Handles a bug of the egress: it logs the stack, and ends only this session. */
export function faultRefusal(error: unknown, context: SessionContext): Refusal {
  context.fault(error);
  return refuse('internal-error', printable(error instanceof Error ? error.message : String(error)));
}
