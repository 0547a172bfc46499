import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { adopt } from './adopt.ts';
import type { BufferPool } from './buffers.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { PlainReader } from './plain-reader.ts';
import type { Reader } from './reader.ts';
import { resetBelow, resetTcp } from './reset.ts';
import { TlsReader } from './tls-reader.ts';
import { UnderTls } from './under-tls.ts';

/** One of the two connections of a session: to its client, or to its endpoint. */
export interface Leg {
  readonly socket: Socket;
  /**
   * The TCP connection; the same object as `socket` without TLS. Under TLS it may become another
   * object.
   */
  readonly raw: Socket;
  readonly tls: boolean;
  /** Moves its bytes; null where the adopted handle does not work. */
  readonly reader: Reader | null;
  /** Ends the connection with a reset. */
  reset(): void;
}

export interface ClientLeg {
  readonly leg: Leg;
  /** Bytes that arrived after the hello while the endpoint was being connected. */
  readonly late: Buffer | null;
}

/**
 * Makes the leg of a client whose endpoint is connected. On the passthrough path the accepted
 * handle moves into a socket that reads into reused buffers.
 */
export function clientLeg(
  accepted: Socket,
  tls: TLSSocket | null,
  { pool, adoptionWorks }: { readonly pool: BufferPool; readonly adoptionWorks: boolean },
): ClientLeg {
  if (tls !== null) {
    return { leg: tlsLeg(tls, accepted, pool), late: null };
  }
  if (adoptionWorks && !accepted.destroyed) {
    const reader = new PlainReader(pool);
    const adopted = adopt(accepted, reader);
    if (adopted !== null) {
      const { socket, rest } = adopted;
      socket.on('error', ignoreError);
      return { leg: { socket, raw: socket, tls: false, reader, reset: () => resetTcp(socket) }, late: rest };
    }
    reader.close();
  }
  const leg = { socket: accepted, raw: accepted, tls: false, reader: null, reset: () => resetTcp(accepted) };
  return { leg, late: null };
}

function tlsLeg(tls: TLSSocket, accepted: Socket, pool: BufferPool): Leg {
  const below = UnderTls.below(tls);
  const raw = (): Socket => below?.raw ?? accepted;
  return {
    socket: tls,
    get raw() {
      return raw();
    },
    tls: true,
    reader: new TlsReader(pool),
    reset: () => resetBelow(tls, raw()),
  };
}
