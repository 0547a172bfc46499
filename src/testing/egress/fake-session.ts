import { REFUSALS } from '../../base/refusal.ts';
import type { RefusalCode } from '../../base/refusal.ts';
import { traceText } from '../../explain/print.ts';
import type { Trace } from '../../explain/trace.ts';
import type { SessionRecord } from '../../model/session-record.ts';

/** A session that ended, refused ones too: its record, and what the fake knows beside it. */
export interface FakeSession extends SessionRecord {
  /**
   * Nothing came through: it was refused, or could not be connected. Sessions that were cut later
   * are not.
   */
  readonly refused: boolean;
  /**
   * Services that the client's certificate names; of a session that is passed through, the client
   * of the fake that made it.
   */
  readonly from: readonly string[];
  /**
   * What the fake has to do with the outcome: an address that it does not let out, a service that
   * did not answer; empty otherwise.
   */
  readonly note: string;
  /**
   * Why it passed or did not, judged on the configuration of now; `String()` of it is the text that
   * `zone-egress explain` prints.
   */
  explain(): Explanation;
}

export type Explanation = Trace & { toString(): string };

export function fakeSession(
  record: SessionRecord,
  of: { readonly note: string; readonly client: string | null; readonly explain: () => Trace },
): FakeSession {
  const { note, client } = of;
  const named = record.spiffeIds.map((id) => id.split('/').slice(3).join('/'));
  return Object.freeze({
    ...record,
    refused: isRefused(record.reason),
    from: named.length === 0 && client !== null ? [client] : named,
    note,
    explain: () => traced(of.explain(), note),
  });
}

export function traced(trace: Trace, note: string): Explanation {
  const text = traceText(trace) + (note === '' ? '' : `fake: ${note}\n`);
  return Object.defineProperty({ ...trace }, 'toString', { value: () => text, enumerable: false });
}

export function isRefused(reason: string): boolean {
  return Object.hasOwn(REFUSALS, reason) && (REFUSALS[reason as RefusalCode].step !== 'splice' || reason === 'internal-error');
}

/** `web -> api{mesh=default}: denied: no rule allows …`. */
export function sessionLine({ from, clientAddress, clientPort, sni, reason, detail, note }: FakeSession): string {
  const who = from.length === 0 ? `${clientAddress}:${clientPort}` : from.join(', ');
  return [`${who} -> ${sni === '' ? '(no SNI)' : sni}: ${reason}`, detail, note].filter((part) => part !== '').join(': ');
}
