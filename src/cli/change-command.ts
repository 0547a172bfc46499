import type { AdminAt } from './admin-at.ts';

/** A change of a running egress. */
export interface ChangeCommand {
  readonly at: AdminAt;
  /** The path and query to post. */
  readonly target: string;
  readonly tokenFile: string | null;
  /** Printed when it is made; null prints the answer. */
  readonly says: string | null;
}
