import type { Socket } from 'node:net';
import { createServer } from 'node:tls';
import type { Server, TLSSocket, TlsOptions } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { Refused, refuse } from '../base/refusal.ts';
import { authorizationCode } from '../base/tls-words.ts';
import type { CertificateSummary, PeerFacts, Verification, VerifiedClient } from '../model/client.ts';
import type { ContentHash, MeshName } from '../model/names.ts';
import { isValidAt } from '../model/credentials.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { TicketKeySet } from '../model/ticket-keys.ts';
import type { OfferedTicket } from '../wire/client-hello.ts';
import { tellOfCertificate } from './certificate-alert.ts';
import { Leaving } from './leaving.ts';
import { MeshServer } from './mesh-server.ts';
import type { ChosenServer, MeshTls } from './mesh-server.ts';
import type { Renewals } from './renewals.ts';
import { endOnTlsError, tlsErrorOf } from './tls-error.ts';
import { UnderTls } from './under-tls.ts';
import type { SessionSteps } from './session-steps.ts';

export interface Terminated {
  readonly socket: TLSSocket;
  readonly client: VerifiedClient;
  readonly trust: ClientTrust;
}

/** The trust that verified a client. */
export interface ClientTrust {
  readonly generation: ContentHash;
  /** PEM. */
  readonly bundle: string;
  /** The connection that has the certificate of the client. */
  readonly socket: TLSSocket;
}

/** The judgement of a client. A fault is a bug of the egress. */
type Judgement =
  Verification | { readonly kind: 'other-name' | 'other-session' } | { readonly kind: 'fault'; readonly error: unknown };

/** A connection whose handshake has just ended. */
interface Handshaken {
  readonly socket: TLSSocket;
  readonly protocol: string;
  readonly resumed: boolean;
}

/** With the judgement of its client. */
interface Secured extends Handshaken {
  readonly judgement: Judgement;
}

/**
 * Terminates mesh mTLS by `tls.Server`s that never listen and are fed accepted sockets after their
 * hello was read and put back, each for one mesh. Never use `new TLSSocket(socket, { isServer: true
 * })`, which does not verify clients, and never choose trust by SNI within one server. New
 * credentials make a new server; sessions of the old one continue.
 */
export class Terminator {
  readonly #tls: MeshTls;
  readonly #clock: Clock;
  readonly #renewals: Renewals;
  readonly #servers = new Map<MeshName, MeshServer>();
  /**
   * The last TLS error. Node's event does not name its connection, but Node ends that connection
   * before it reads anything else.
   */
  #lastError: Error | null = null;
  readonly #leaving = new Leaving();
  /**
   * For sockets in their handshake: the line of `keylog` with the secret that the server writes
   * under in TLS 1.3. Wiped when the handshake is over.
   */
  readonly #secrets = new WeakMap<TLSSocket, Buffer>();

  constructor(tls: MeshTls, { clock, renewals }: { readonly clock: Clock; readonly renewals: Renewals }) {
    this.#tls = tls;
    this.#clock = clock;
    this.#renewals = renewals;
  }

  /** Throws where OpenSSL refuses the credentials; the old server then stays. */
  set(credentials: MeshCredentials): void {
    const made = new MeshServer(credentials, { clock: this.#clock, tls: this.#tls, make: (...how) => this.#make(...how) });
    made.inherit(this.#servers.get(credentials.mesh));
    this.#servers.set(credentials.mesh, made);
    this.#renewals.renewed(credentials.mesh);
  }

  /** Sets the keys of session tickets; the keys that were in use before are gone. */
  setTicketKeys(keys: TicketKeySet): void {
    this.#servers.get(keys.mesh)?.takeKeys(keys);
  }

  #make(options: TlsOptions, hearsSecrets: boolean): Server {
    const server = createServer(options);
    server.on('secureConnection', (socket) => {
      endOnTlsError(socket);
      const under = UnderTls.current;
      if (under === null || under.onSecure === null) socket.destroy();
      else under.onSecure(socket);
    });
    if (hearsSecrets)
      server.on('keylog', (line: Buffer, socket: TLSSocket) => {
        if (isServerSecret(line)) this.#secrets.set(socket, line);
        else line.fill(0);
      });
    server.on('tlsClientError', (error, socket) => {
      this.#lastError = error;
      this.#wipe(socket);
    });
    return server;
  }

  /** Returns the generation of the current trust; undefined without credentials of this name. */
  generation(identity: MeshName): ContentHash | undefined {
    return this.#servers.get(identity)?.generation;
  }

  remove(mesh: MeshName): void {
    this.#servers.delete(mesh);
  }

  /** Closes connections that are still sending the reason of a refusal. */
  close(): void {
    this.#leaving.close();
  }

  /**
   * Makes the handshake and checks the client. `peeked` are the bytes that were read for the hello;
   * `name` is its SNI.
   */
  async terminate(steps: SessionSteps, raw: Socket, options: TerminateOptions): Promise<Terminated> {
    const { mesh, identity, wallMs, onHandshake, onCertificate } = options;
    let entry = this.#servers.get(identity);
    // The clock may have jumped, or the machine may have slept: a new certificate is made while the
    // session waits.
    if (entry !== undefined && !isValidAt(entry.credentials, wallMs)) {
      await steps.step<void>((done) => this.#renewals.whenRenewed(identity, done));
      entry = this.#servers.get(identity);
    }
    if (entry === undefined) throw new Refused(refuse('identity-unavailable', `there is no certificate for mesh ${mesh}`));
    if (entry.credentials.notAfter <= wallMs) {
      throw new Refused(
        refuse(
          'identity-unavailable',
          `the certificate for mesh ${mesh} expired ${new Date(entry.credentials.notAfter).toISOString()}`,
        ),
      );
    }
    const { credentials } = entry;
    const chosen = entry.choose(options.ticket, { mesh, nowMs: wallMs, tls13: options.tls13 });
    const { socket, protocol, resumed, judgement } = await this.#handshake(steps, raw, {
      server: chosen.server,
      peeked: options.peeked,
      judge: (secured) => this.#judge(secured, options, { credentials, chosen }),
    });
    // Bytes after the handshake may have ended the socket already.
    if (socket.destroyed) {
      throw new Refused(
        refuse('handshake-failed', `TLS handshake with the client: ${tlsErrorOf(socket) ?? 'the connection was closed'}`),
      );
    }
    onHandshake(socket, { protocol, resumed });
    switch (judgement.kind) {
      case 'verified':
        return { socket, client: judgement.client, trust: trustIn(credentials, socket) };
      case 'rejected':
        if (judgement.certificate !== null) onCertificate(judgement.certificate);
        throw new Refused(judgement.refusal);
      case 'other-name':
        throw new Refused(refuse('handshake-failed', `the TLS library read another server name than the hello parser`));
      case 'other-session':
        throw new Refused(refuse('handshake-failed', 'the TLS library resumed another session than the hello offers'));
      case 'fault':
        throw judgement.error;
      default:
        return judgement satisfies never;
    }
  }

  /**
   * Judges the client of an open connection again after the trust of its mesh changed. Returns null
   * where the chain that it was verified by leads to no CA that is still trusted, or where only a
   * new handshake can find out. A rotation keeps the old CA beside the new one for a while, and
   * costs no client its connection.
   */
  verifyAgain({
    mesh,
    identity,
    trust,
    wallMs,
  }: VerifyAgain): { readonly client: VerifiedClient; readonly trust: ClientTrust } | null {
    const credentials = this.#servers.get(identity)?.credentials;
    const { socket } = trust;
    if (credentials === undefined || socket.destroyed) return null;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return null;
    const trusts = { before: trust.bundle, now: credentials.trust, nowMs: wallMs };
    if (!this.#tls.leadsToKeptAnchor(certificate, trusts)) return null;
    const { trustDomains } = credentials;
    const verification = this.#tls.verify(mesh, {
      certificate,
      authorized: true,
      authorizationError: null,
      nowMs: wallMs,
      ...(trustDomains === undefined ? {} : { trustDomains }),
    });
    if (verification.kind !== 'verified') return null;
    return { client: verification.client, trust: trustIn(credentials, socket) };
  }

  /** Never throws: it runs in an event of the TLS library. */
  #judge(secured: Handshaken, { mesh, name, wallMs }: TerminateOptions, of: JudgedBy): Judgement {
    const { socket, protocol, resumed } = secured;
    const { credentials, chosen } = of;
    const { trustDomains } = credentials;
    try {
      // OpenSSL, a second parser, has read the hello too: where the two disagree on the name, the
      // client is refused. Of a resumed session of TLS 1.2 Node gives no name.
      const isNameless = resumed && protocol === 'TLSv1.2' && socket.servername === false;
      if (socket.servername !== name && !isNameless) return { kind: 'other-name' };
      const certificate = socket.getPeerX509Certificate();
      // The session is the one that was judged before the handshake, or the hello that was judged
      // is not the one that counted (a second hello of TLS 1.3).
      if (resumed && !isOf(certificate, chosen.resumes)) return { kind: 'other-session' };
      const verification = this.#tls.verify(mesh, {
        certificate,
        authorized: socket.authorized,
        authorizationError: authorizationCode(socket),
        nowMs: wallMs,
        ...(trustDomains === undefined ? {} : { trustDomains }),
        ...(resumed && certificate !== undefined ? { chain: [certificate] } : {}),
      });
      if (chosen.learns && !resumed && verification.kind === 'verified') this.#tls.resumption.learn(credentials, certificate);
      return verification;
    } catch (error) {
      return { kind: 'fault', error };
    }
  }

  #wipe(socket: TLSSocket): void {
    this.#secrets.get(socket)?.fill(0);
    this.#secrets.delete(socket);
  }

  #handshake(steps: SessionSteps, raw: Socket, to: HandshakeOptions): Promise<Secured> {
    const { server, peeked, judge } = to;
    return steps.step<Secured>((done, fail) => {
      const under = new UnderTls(raw);
      function failed(error: Error & { code?: string }): void {
        fail(new Refused(refuse('handshake-failed', `TLS handshake with the client: ${reasonOf(error)}`), { cause: error }));
      }
      const onSecure = (socket: TLSSocket): void => {
        socket.allowHalfOpen = true;
        // Read here once: getProtocol ends the process after the client has gone
        // (docs/native-calls.md).
        const protocol = socket.getProtocol() ?? '';
        const resumed = socket.isSessionReused();
        const judgement = judge({ socket, protocol, resumed });
        under.secured(socket);
        // The answer to the client's Finished is not written yet: an alert can still replace it.
        if (judgement.kind === 'rejected') {
          const secret = this.#secrets.get(socket) ?? null;
          tellOfCertificate({ alert: judgement.alert, protocol, socket, secret }, (record) =>
            under.sayInstead(record, this.#leaving),
          );
        }
        this.#wipe(socket);
        done({ socket, protocol, resumed, judgement });
      };
      under.onSecure = onSecure;
      this.#lastError = null;
      under.onEnd = (error) => failed(error ?? this.#lastError ?? new Error('the connection was closed'));
      // A client that ends its side during its handshake has gone. As half-closed it would hold its
      // place until the deadline. The TLSSocket takes this setting over.
      raw.allowHalfOpen = false;
      server.emit('connection', under);
      under.start(peeked);
      return () => {
        under.onSecure = null;
        this.#lastError = null;
        under.onEnd = null;
      };
    });
  }
}

interface HandshakeOptions {
  readonly server: Server;
  readonly peeked: Buffer;
  readonly judge: (secured: Handshaken) => Judgement;
}

interface JudgedBy {
  readonly credentials: MeshCredentials;
  readonly chosen: ChosenServer;
}

export interface TerminateOptions {
  /** The mesh that the client must belong to. */
  readonly mesh: MeshName;
  /** The name of the credentials that terminate it. */
  readonly identity: MeshName;
  /** The SNI as sent. */
  readonly name: string | null;
  /** The ticket of an earlier session that the hello offers. */
  readonly ticket: OfferedTicket;
  /** False where the hello offers at most TLS 1.2. */
  readonly tls13: boolean;
  readonly peeked: Buffer;
  readonly wallMs: number;
  /**
   * Called when the handshake is done and nothing is verified yet. The called function owns the
   * socket.
   */
  readonly onHandshake: (socket: TLSSocket, how: { readonly protocol: string; readonly resumed: boolean }) => void;
  /** Called for a rejected client, with what could be read of its certificate. */
  readonly onCertificate: (certificate: CertificateSummary) => void;
}

interface VerifyAgain {
  readonly mesh: MeshName;
  readonly identity: MeshName;
  readonly trust: ClientTrust;
  readonly wallMs: number;
}

/** Without the key of the mesh, which a long session must not keep. */
function trustIn({ generation, trust }: MeshCredentials, socket: TLSSocket): ClientTrust {
  return { generation, bundle: trust, socket };
}

/** Compares the certificate of a session with the one that was judged. */
function isOf(certificate: PeerFacts['certificate'], judged: Buffer | null): boolean {
  return certificate !== undefined && judged !== null && certificate.raw.equals(judged);
}

/** Recognises `SERVER_TRAFFIC_SECRET_0` by two letters: each handshake writes five lines. */
function isServerSecret(line: Buffer): boolean {
  return line[0] === S && line[7] === T;
}

const S = 0x53;
const T = 0x54;

/**
 * Takes OpenSSL's text without its address prefix: `error:0A000102:SSL routines:…:unsupported
 * protocol` -> `unsupported protocol`.
 */
function reasonOf(error: Error & { code?: string; reason?: string }): string {
  return error.reason ?? error.code ?? error.message;
}
