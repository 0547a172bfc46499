import type { NormalEnd } from '../base/refusal.ts';
import type { Leg } from './leg.ts';
import { pumpStream } from './stream-pump.ts';
import type { Meter } from './reader.ts';

/** The time that a cut peer has to take the end of TLS. */
const LAST_WORDS_MS = 1_000;

export interface Splice {
  /** Ends both sides now. */
  cut(): void;
  /** Reports that the peer of this side has gone, which Node has not noticed. */
  lost(side: 'client' | 'endpoint'): void;
}

/**
 * Joins two connections until both are closed; then calls `ended`, once. Each must already have a
 * permanent `error` listener.
 * Each direction ends by itself: the end of one side is passed on after everything before it was
 * written, and bytes still flow the other way. A reset or any other error on one side resets the
 * other. Back-pressure is exact: a side is not read while the other has not taken what was read
 * before.
 */
export function splice(
  { client, endpoint }: { readonly client: Leg; readonly endpoint: Leg },
  meters: { readonly up: Meter; readonly down: Meter },
  ended: (reason: NormalEnd) => void,
): Splice {
  let reason: NormalEnd = 'closed';
  let open = 2;
  const stops: (() => void)[] = [];

  function join(from: Leg, to: Leg, meter: Meter, failure: NormalEnd): void {
    const { socket } = from;
    let sawEnd = false;
    function onEnd(): void {
      sawEnd = true;
      from.reader?.flush();
      to.socket.end();
    }
    function onError(): void {
      if (reason === 'closed') reason = failure;
    }
    function onClose(hadError: boolean): void {
      if ((hadError || !sawEnd) && !to.socket.destroyed) {
        if (reason === 'closed') reason = failure;
        to.reset();
      }
      from.reader?.close();
      open--;
      if (open > 0) return;
      for (const stop of stops) stop();
      ended(reason);
    }
    socket.on('end', onEnd);
    socket.on('error', onError);
    socket.on('close', onClose);
    // Node keeps an ended TLS socket until a large collection: it must not hold the session then.
    if (from.tls) stops.push(() => void socket.off('end', onEnd).off('error', onError).off('close', onClose));
    if (socket.destroyed) onClose(false);
    else if (socket.readableEnded) onEnd();
    if (from.reader !== null) from.reader.start(socket, to.socket, { intoTls: to.tls, meter });
    else stops.push(pumpStream(socket, to.socket, meter));
  }

  join(client, endpoint, meters.up, 'client-reset');
  join(endpoint, client, meters.down, 'endpoint-reset');
  return {
    cut: () => {
      for (const leg of [client, endpoint]) cutLeg(leg);
    },
    lost(side) {
      const [gone, other] = side === 'client' ? [client, endpoint] : [endpoint, client];
      if (reason === 'closed') reason = side === 'client' ? 'client-reset' : 'endpoint-reset';
      other.reset();
      gone.raw.destroy();
      gone.socket.destroy();
    },
  };
}

/**
 * Ends TLS with close_notify where there is room for it at once: a bare end looks like an attack
 * that truncates a message.
 */
function cutLeg({ socket, raw, tls, reader }: Leg): void {
  if (!tls || socket.destroyed || socket.writableLength > 0 || raw.writableLength > 0) {
    socket.destroy();
    return;
  }
  // Later bytes of this side are dropped.
  reader?.close();
  raw.setTimeout(LAST_WORDS_MS, () => raw.destroy());
  socket.destroySoon();
}
