import { constants } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import type { PeerFacts, Verification } from '../model/client.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { TICKET_LIFE_SECONDS } from '../model/ticket-keys.ts';
import { ClientChains } from './client-chains.ts';
import { OpenedTickets } from './opened-tickets.ts';

type Gate = (mesh: MeshName, peer: PeerFacts) => Verification;

export interface TicketOf {
  readonly key: Uint8Array;
  readonly credentials: MeshCredentials;
  /** The mesh that the client must belong to. */
  readonly mesh: MeshName;
  readonly nowMs: number;
}

/** Judges, before a handshake, the tickets that clients offer (docs/decisions/resumption.md). */
export class Resumption {
  readonly #gate: Gate;
  readonly #chains = new ClientChains();
  readonly #tickets = new OpenedTickets();

  constructor(gate: Gate) {
    this.#gate = gate;
  }

  /**
   * Makes the options of a server that gives tickets and resumes them of those that
   * `meshServerOptions` returns.
   */
  serverOptions(options: TlsOptions, key: Uint8Array): TlsOptions {
    return {
      ...options,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      ticketKeys: Buffer.from(key),
      sessionTimeout: TICKET_LIFE_SECONDS,
    };
  }

  /**
   * Returns the client certificate of the session in a ticket where a full handshake with it would
   * pass at this moment. Null means that a full handshake has to find out.
   */
  certificateIn(ticket: Uint8Array, of: TicketOf): Buffer | null {
    try {
      const session = this.#tickets.open(ticket, of.key);
      return session !== null && this.#passes(session.leaf, of) ? session.leaf : null;
    } catch {
      // Only a ticket that was made with a stolen key holds what is no session, or no certificate.
      return null;
    }
  }

  #passes(leaf: Buffer, { credentials, mesh, nowMs }: TicketOf): boolean {
    const certificate = this.#chains.validAt(credentials, leaf, nowMs);
    if (certificate === null) return false;
    const { trustDomains } = credentials;
    const { kind } = this.#gate(mesh, {
      certificate,
      // The ticket has OpenSSL's verdict of the full handshake, under the same trust.
      authorized: true,
      authorizationError: null,
      nowMs,
      chain: [certificate],
      ...(trustDomains === undefined ? {} : { trustDomains }),
    });
    return kind === 'verified';
  }

  /** Learns the chain of a client that a full handshake has verified. */
  learn(credentials: MeshCredentials, certificate: PeerFacts['certificate']): void {
    if (certificate !== undefined) this.#chains.learn(credentials, certificate);
  }
}
