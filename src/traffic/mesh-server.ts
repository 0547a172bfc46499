import type { Server, TlsOptions } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import type { PeerFacts, Verification } from '../model/client.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { ContentHash, MeshName } from '../model/names.ts';
import type { TicketKeySet } from '../model/ticket-keys.ts';
import type { OfferedTicket } from '../wire/client-hello.ts';

/**
 * The functions of identity/: the set-up of a mesh's TLS server, the only gate to a VerifiedClient,
 * and what judges the tickets of its clients.
 */
export interface MeshTls {
  serverOptions(credentials: MeshCredentials): TlsOptions;
  verify(mesh: MeshName, peer: PeerFacts): Verification;
  /** Tells whether what verified a client before is trusted now; both trusts are PEM bundles. */
  leadsToKeptAnchor(
    certificate: NonNullable<PeerFacts['certificate']>,
    trust: { readonly before: string; readonly now: string; readonly nowMs: number },
  ): boolean;
  readonly resumption: {
    /** Makes the options of a server with this ticket key of those of the server without. */
    serverOptions(options: TlsOptions, key: Uint8Array): TlsOptions;
    /** Returns the client certificate of a session that may be resumed now, else null. */
    certificateIn(
      ticket: Uint8Array,
      of: { readonly key: Uint8Array; readonly credentials: MeshCredentials; readonly mesh: MeshName; readonly nowMs: number },
    ): Buffer | null;
    /** Learns the chain of a client that a full handshake has verified. */
    learn(credentials: MeshCredentials, certificate: PeerFacts['certificate']): void;
  };
}

/** The server for one hello, and the certificate of the session that it may resume. */
export interface ChosenServer {
  readonly server: Server;
  readonly resumes: Buffer | null;
  /** True when what a full handshake shows is of use for a later resumption. */
  readonly learns: boolean;
}

interface KeyServer {
  readonly key: Uint8Array;
  /** On the monotonic clock. */
  readonly until: number;
  /** Made for the first client that needs them. */
  servers: ServerPair | null;
}

interface OfHello {
  readonly mesh: MeshName;
  readonly nowMs: number;
  /** False where the client offers at most TLS 1.2. */
  readonly tls13: boolean;
}

export interface MeshServerDeps {
  readonly clock: Clock;
  readonly tls: MeshTls;
  /**
   * Makes a server that the terminator listens to. `hearsSecrets`: it hears the secrets of its
   * handshakes too, which costs each of them some time.
   */
  readonly make: (options: TlsOptions, hearsSecrets: boolean) => Server;
}

/**
 * Two servers that differ only in whether they hear the secrets of their handshakes. An alert is
 * sealed with them in TLS 1.3 only.
 */
class ServerPair {
  readonly #make: (hearsSecrets: boolean) => Server;
  readonly #made: [without: Server | null, hearing: Server | null] = [null, null];

  constructor(make: (hearsSecrets: boolean) => Server) {
    this.#make = make;
  }

  of({ tls13 }: Pick<OfHello, 'tls13'>): Server {
    return (this.#made[tls13 ? 1 : 0] ??= this.#make(tls13));
  }
}

/**
 * The TLS servers of one identity: one that never resumes a session, and one for each ticket key
 * (and a second one of each for clients without TLS 1.3). The ticket in the hello is judged first,
 * and chooses among them: OpenSSL resumes only what it finds at the server of its key, and a hello
 * with any other ticket meets a server that makes a full handshake. The servers differ in nothing
 * but the key and whether they hear secrets; name and ticket never choose the trust.
 */
export class MeshServer {
  readonly credentials: MeshCredentials;
  readonly #options: TlsOptions;
  readonly #full: ServerPair;
  readonly #deps: MeshServerDeps;
  #keys: readonly KeyServer[] = [];

  /** Throws where OpenSSL refuses the credentials. */
  constructor(credentials: MeshCredentials, deps: MeshServerDeps) {
    this.credentials = credentials;
    this.#deps = deps;
    this.#options = deps.tls.serverOptions(credentials);
    this.#full = this.#pair(this.#options);
    this.#full.of({ tls13: true });
  }

  get generation(): ContentHash {
    return this.credentials.generation;
  }

  /** Ignores keys that were made for another trust. */
  takeKeys({ generation, keys }: TicketKeySet): void {
    if (generation !== this.generation) return;
    const now = this.#deps.clock.now();
    const known = this.#keys;
    this.#keys = keys.map(({ bytes, lifeMs }) => {
      const servers = known.find(({ key }) => equal(key, bytes))?.servers ?? null;
      return { key: bytes, until: now + lifeMs, servers };
    });
  }

  /** Takes over the keys of the server that this one replaces, where both have the same trust. */
  inherit(from: MeshServer | undefined): void {
    if (from?.generation !== this.generation) return;
    this.#keys = from.#keys.map(({ key, until }) => ({ key, until, servers: null }));
  }

  choose(ticket: OfferedTicket, of: OfHello): ChosenServer {
    const now = this.#deps.clock.now();
    const [newest] = this.#keys;
    if (newest === undefined || newest.until <= now) return { server: this.#full.of(of), resumes: null, learns: false };
    const full = { server: this.#full.of(of), resumes: null, learns: true };
    if (ticket === 'unclear') return full;
    const known = ticket === null ? undefined : this.#keys.find(({ key }) => startsWithName(ticket, key));
    // Without a ticket, or with one of another mesh, trust or process, which OpenSSL cannot open.
    if (ticket === null || known === undefined) return { server: this.#serverOf(newest, of), resumes: null, learns: true };
    if (known.until <= now) return full;
    const { key } = known;
    const { mesh, nowMs } = of;
    const resumes = this.#deps.tls.resumption.certificateIn(ticket, { key, credentials: this.credentials, mesh, nowMs });
    return resumes === null ? full : { server: this.#serverOf(known, of), resumes, learns: true };
  }

  #serverOf(entry: KeyServer, of: OfHello): Server {
    entry.servers ??= this.#pair(this.#deps.tls.resumption.serverOptions(this.#options, entry.key));
    return entry.servers.of(of);
  }

  #pair(options: TlsOptions): ServerPair {
    return new ServerPair((hearsSecrets) => this.#deps.make(options, hearsSecrets));
  }
}

const NAME_BYTES = 16;

/** Names are public, and random. */
function startsWithName(ticket: Uint8Array, key: Uint8Array): boolean {
  if (ticket.length < NAME_BYTES) return false;
  for (let i = 0; i < NAME_BYTES; i++) if (ticket[i] !== key[i]) return false;
  return true;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
