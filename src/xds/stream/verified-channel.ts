import { isIP } from 'node:net';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { ChannelCredentials, CallCredentials } from '@grpc/grpc-js';
import { connectTls, hostProblem } from '../../base/connect-tls.ts';

export interface Trust {
  /** PEM; null trusts Node's list. */
  readonly ca: string | null;
  /** False accepts any certificate. */
  readonly verify: boolean;
  /** A name or an address that the certificate must have; only a name is sent as SNI. */
  readonly serverName: string;
}

type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * TLS for gRPC that is set up here: the library's own makes Node convert every received certificate
 * into an object.
 */
export class VerifiedChannel extends ChannelCredentials {
  readonly #trust: Trust;
  readonly #context: SecureContext;

  constructor(trust: Trust) {
    super();
    this.#trust = trust;
    this.#context = createSecureContext(trust.ca === null ? {} : { ca: trust.ca });
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): Connector {
    return {
      connect: async (socket) => ({ socket: await this.#secured(socket), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => undefined,
    };
  }

  #secured(below: Socket): Promise<Socket> {
    const { verify, serverName } = this.#trust;
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        socket: below,
        secureContext: this.#context,
        ALPNProtocols: ['h2'],
        rejectUnauthorized: verify,
        ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
        checkServer: (certificate) => (verify ? hostProblem(certificate, serverName) : undefined),
      });
      socket.on('secureConnect', () => resolve(socket));
      // The listener stays: a socket without a listener for errors would end the process.
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('the connection was closed before TLS was up')));
    });
  }
}
