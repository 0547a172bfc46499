import { REFUSALS } from '../../base/refusal.ts';
import type { RefusalCode } from '../../base/refusal.ts';
import { traceText } from '../../explain/print.ts';
import type { Trace } from '../../explain/trace.ts';
import type { SessionRecord } from '../../model/session-record.ts';

/** A session that ended, possibly refused: its record, with what the fake knows besides. */
export interface FakeSession extends SessionRecord {
  /**
   * True when no bytes passed: it was refused, or could not be connected. False for sessions that
   * were cut later.
   */
  readonly refused: boolean;
  /**
   * Services in the client's certificate; for a passthrough session, the client of the fake that
   * made it.
   */
  readonly from: readonly string[];
  /**
   * The part of the fake in the outcome: an address that it does not let out, a service that did
   * not answer. Empty otherwise.
   */
  readonly note: string;
  /**
   * Explains why it passed or did not, in the present configuration; its `String()` is the text
   * that `zone-egress explain` prints.
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

/** Formats `web -> api{mesh=default}: denied: no rule allows …`. */
export function sessionLine({ from, clientAddress, clientPort, sni, reason, detail, note }: FakeSession): string {
  const who = from.length === 0 ? `${clientAddress}:${clientPort}` : from.join(', ');
  return [`${who} -> ${sni === '' ? '(no SNI)' : sni}: ${reason}`, detail, note].filter((part) => part !== '').join(': ');
}
