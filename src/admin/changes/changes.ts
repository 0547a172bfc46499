/**
 * The changes that operators make over the admin listeners, and kuma-dp over Envoy's: one table of
 * paths. Each request passes the guard first, and leaves one line in the log.
 */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { hasBody } from '../http.ts';
import type { RequestTarget } from '../http.ts';
import { textView } from '../views.ts';
import type { View } from '../views.ts';
import { ChangeAudit } from './audit.ts';
import type { AuditLog } from './audit.ts';
import { CHANGES } from './change-table.ts';
import type { ChangeSpec, ChangeActions } from './change-table.ts';
import { guardChange } from './guard.ts';
import type { Entrance, GuardOptions } from './guard.ts';
import { TokenTries } from './token-tries.ts';

export interface AdminChangesOptions extends Omit<GuardOptions, 'tries'> {
  readonly clock: Clock;
  readonly actions: ChangeActions;
  readonly audit: AuditLog;
}

export interface AdminChanges {
  /** Makes the change of a path, or refuses it; null for a path that changes nothing. */
  handle(request: IncomingMessage, target: RequestTarget, entrance: Entrance): Promise<View> | null;
  /** Tells what this entrance allows, for the header `x-zone-egress-changes`. */
  allowed(entrance: Entrance['kind']): 'allowed' | 'certificate' | 'token' | 'refused';
}

export const CHANGES_HEADER = 'x-zone-egress-changes';

export function createAdminChanges(options: AdminChangesOptions): AdminChanges {
  const { clock, actions } = options;
  const audit = new ChangeAudit(clock, options.audit);
  const guard = { ...options, tries: new TokenTries(clock) };

  async function answer(
    { make }: ChangeSpec,
    request: IncomingMessage,
    { target: { path, search }, entrance }: { readonly target: RequestTarget; readonly entrance: Entrance },
  ): Promise<View> {
    const { method = 'GET' } = request;
    if (method !== 'POST') return { ...textView(405, `Method ${method} not allowed, POST required.`), allow: 'POST' };
    const guarded = await guardChange(guard, request, entrance);
    const { by } = guarded;
    if (guarded.kind === 'refused') {
      audit.refused(path, by, guarded.why);
      return guarded.view;
    }
    if (hasBody(request)) {
      audit.refused(path, by, 'it has a body');
      return textView(413, 'a change must not have a body: write its parameters into the query');
    }
    const outcome = await make(search, actions, by);
    if (outcome.kind === 'refused') audit.refused(path, by, outcome.why);
    else if (outcome.kind !== 'asked') audit[outcome.kind](path, by, outcome.what);
    return outcome.view;
  }

  return {
    handle(request, target, entrance) {
      const change = Object.hasOwn(CHANGES, target.path) ? CHANGES[target.path] : undefined;
      return change === undefined ? null : answer(change, request, { target, entrance });
    },
    allowed(kind) {
      if (kind === 'tls') return 'certificate';
      if (kind !== 'tcp') return 'allowed';
      return options.tokens === null ? 'refused' : 'token';
    },
  };
}
