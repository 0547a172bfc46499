import type { Socket } from 'node:net';
import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import { printable } from '../routing/route.ts';
import { alertFor } from '../wire/alert.ts';
import type { SessionContext } from './session-context.ts';
import type { Session } from './session-state.ts';

/**
 * Before any handshake of ours a refused client gets a TLS alert, so that it sees more than an end.
 * For its certificate it has got one already; after that it sees an orderly end of TLS.
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

/** Why a session that is not set up in time ends: by the step that it is at. */
export function setupRefusal({ route, client, waitsForNames, from }: Session, timeoutMs: number): Refusal {
  if (route === null) return refuse('hello-timeout', `read hello from ${from}: incomplete after ${timeoutMs} ms`);
  if (route.kind === 'terminate' && client === null) {
    return refuse('handshake-failed', `TLS handshake with ${from}: not done ${timeoutMs} ms after accept`);
  }
  if (waitsForNames)
    return refuse('dns-failed', `resolve the names of ${route.destination}: no answer ${timeoutMs} ms after accept`);
  return refuse('connect-timeout', `connect ${route.destination}: not done ${timeoutMs} ms after accept`);
}

/** A bug of ours: logged with its stack, and the end of this session only. */
export function faultRefusal(error: unknown, context: SessionContext): Refusal {
  context.fault(error);
  return refuse('internal-error', printable(error instanceof Error ? error.message : String(error)));
}
