import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { adopt } from './adopt.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { PlainReader } from './plain-reader.ts';
import type { Reader } from './reader.ts';
import { resetBelow } from './reset.ts';
import type { SessionContext } from './session-context.ts';
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

export class SocketLeg implements Leg {
  readonly socket: Socket;
  readonly tls: boolean;
  readonly reader: Reader | null;
  readonly #raw: Socket;
  readonly #below: UnderTls | null;

  /** `below`: the stream between both, where it may move to another connection object. */
  constructor(socket: Socket, raw: Socket, reader: Reader | null, below: UnderTls | null = null) {
    this.socket = socket;
    this.tls = socket !== raw;
    this.reader = reader;
    this.#raw = raw;
    this.#below = below;
  }

  get raw(): Socket {
    return this.#below?.raw ?? this.#raw;
  }

  reset(): void {
    resetBelow(this.socket, this.raw);
  }
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
  { pool, adoptionWorks, tlsReadsWork }: Pick<SessionContext, 'pool' | 'adoptionWorks' | 'tlsReadsWork'>,
): ClientLeg {
  if (tls !== null) {
    return { leg: new SocketLeg(tls, accepted, new TlsReader(pool, tlsReadsWork), UnderTls.below(tls)), late: null };
  }
  if (adoptionWorks && !accepted.destroyed) {
    const reader = new PlainReader(pool);
    const adopted = adopt(accepted, reader);
    if (adopted !== null) {
      const { socket, rest } = adopted;
      socket.on('error', ignoreError);
      return { leg: new SocketLeg(socket, socket, reader), late: rest };
    }
    reader.close();
  }
  return { leg: new SocketLeg(accepted, accepted, null), late: null };
}
