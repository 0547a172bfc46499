import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { runInThisContext } from 'node:vm';
import { systemClock } from '../../base/clock.ts';
import type { CertificateAndKey } from '../../identity/issue.ts';
import type { FakeSession } from './fake-session.ts';
import type { BadClient, TestMesh } from './test-mesh.ts';

export interface FakeClientOptions {
  /** Not needed with one mesh. */
  readonly mesh?: string;
  readonly service: string;
  /** Further tags of its data plane, which its certificate contains. */
  readonly tags?: Readonly<Record<string, string>>;
  /** A certificate that no egress may accept, or one of your own. */
  readonly certificate?: BadClient | CertificateAndKey;
}

export type ConnectTo =
  /**
   * The name of a destination, or an SNI as it is sent. An unknown name is sent in the form of
   * Kuma's data planes.
   */
  string | { readonly sni: string };

/** A data plane of the mesh as a client. All connections that it opens are closed with the fake. */
export interface FakeClient {
  readonly mesh: string;
  readonly service: string;
  /** The present one: a rotation brings another. */
  readonly certificate: CertificateAndKey;
  /** PEM of the mesh's CA, which the egress's own certificate leads to. */
  readonly ca: string;
  /** Returns the SNI that `connect` sends. */
  sni(to: ConnectTo): string;
  /**
   * Resolves when TLS is up and the other side belongs to the mesh. Rejects with ConnectionRefused
   * where the egress refused it before that. In TLS 1.3 a client is done before its certificate has
   * been checked: such a refusal ends the socket after it was returned.
   */
  connect(to: ConnectTo, options?: ConnectionOptions): Promise<TLSSocket>;
  /**
   * Returns a `connect` for undici's `Agent`: `http://httpbin/path` goes to the destination
   * httpbin, or all requests to one.
   */
  connector(to?: ConnectTo): Connector;
  /**
   * Makes a dispatcher for `fetch(url, { dispatcher })` from the undici inside of Node. Rejects
   * where this Node hides it; use `connector` then.
   */
  dispatcher(to?: ConnectTo): Promise<FetchDispatcher>;
  /**
   * Writes certificates as files, for a process in another language; they are removed with the
   * fake.
   */
  files(): ClientFiles;
}

/**
 * The type of `fetch`'s `dispatcher` in this project: the Dispatcher of Node's types, or any object
 * without them.
 */
export type FetchDispatcher = RequestInit extends { readonly dispatcher?: infer Dispatcher } ? NonNullable<Dispatcher> : object;

export type Connector = (
  options: { readonly hostname: string },
  callback: (error: Error | null, socket: Socket | null) => void,
) => void;

export interface ClientFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Thrown for a connection that the egress refused before it was up. */
export class ConnectionRefused extends Error {
  readonly session: FakeSession;

  constructor(message: string, session: FakeSession, options: { readonly cause: unknown }) {
    super(message, options);
    this.name = 'ConnectionRefused';
    this.session = session;
  }
}

/** The parts of the fake that a client needs. */
export interface ClientWorld {
  readonly address: string;
  readonly port: () => number;
  readonly wall: () => number;
  readonly mesh: TestMesh;
  readonly sniOf: (to: ConnectTo) => string;
  /** Returns the record of the session from this port; undefined where none came in time. */
  readonly sessionFrom: (port: number) => Promise<FakeSession | undefined>;
  readonly opened: (socket: Socket, name: string) => void;
  /** Returns a folder that is removed with the fake. */
  readonly folder: () => string;
  readonly onClose: (fn: () => void) => void;
}

/** A socket that was quiet for this long no longer holds the process open. */
const QUIET_MS = 5_000;
const quiet = systemClock({ keepAlive: false });

export function createFakeClient(options: FakeClientOptions, world: ClientWorld): FakeClient {
  const { service, tags, certificate: given } = options;
  const { mesh, sniOf } = world;
  let mine: { readonly pair: CertificateAndKey; readonly ca: string } | null = null;

  function certificate(): CertificateAndKey {
    if (typeof given === 'object') return given;
    if (mine === null || mine.ca !== mesh.ca.cert) {
      const pair =
        given === undefined ? mesh.client(service, tags === undefined ? {} : { tags }) : mesh.badClient(given, service);
      mine = { pair, ca: mesh.ca.cert };
    }
    return mine.pair;
  }

  async function connect(to: ConnectTo, more: ConnectionOptions = {}): Promise<TLSSocket> {
    return connectAs(certificate(), { service, sni: sniOf(to), more, world });
  }

  function connector(to?: ConnectTo): Connector {
    return ({ hostname }, callback) => {
      connect(to ?? hostname).then(
        (socket) => callback(null, socket),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
      );
    };
  }

  return {
    mesh: mesh.name,
    service,
    get certificate() {
      return certificate();
    },
    get ca() {
      return mesh.ca.cert;
    },
    sni: sniOf,
    connect,
    connector,
    async dispatcher(to) {
      const Agent = await undiciAgent();
      const agent = new Agent({ connect: connector(to) });
      world.onClose(() => void agent.destroy().catch(() => undefined));
      return agent as unknown as FetchDispatcher;
    },
    files() {
      const { cert, key } = certificate();
      const folder = join(world.folder(), mesh.name);
      mkdirSync(folder, { recursive: true });
      const files = { cert: join(folder, `${service}.crt`), key: join(folder, `${service}.key`), ca: join(folder, 'ca.crt') };
      writeFileSync(files.cert, cert);
      writeFileSync(files.key, key, { mode: 0o600 });
      writeFileSync(files.ca, mesh.ca.cert);
      return files;
    },
  };
}

async function connectAs(
  { cert, key }: CertificateAndKey,
  to: { readonly service: string; readonly sni: string; readonly more: ConnectionOptions; readonly world: ClientWorld },
): Promise<TLSSocket> {
  const { service, sni, more, world } = to;
  const name = `${service} -> ${sni}`;
  const socket = connectTls({
    host: world.address,
    port: world.port(),
    ...(sni === '' || isIP(sni) !== 0 ? {} : { servername: sni }),
    cert,
    key,
    // Checked below instead: OpenSSL uses the clock of the machine, and expects a host name.
    rejectUnauthorized: false,
    ALPNProtocols: ['kuma'],
    ...more,
  } as ConnectionOptions);
  let localPort = 0;
  socket.once('connect', () => (localPort = socket.localPort ?? 0));
  world.opened(socket, name);
  letGoWhenQuiet(socket);
  try {
    await secure(socket);
  } catch (error) {
    const session = await world.sessionFrom(localPort);
    if (session === undefined) throw error;
    throw new ConnectionRefused(`connect ${name}: refused by the egress: ${session.reason}: ${session.detail}`, session, {
      cause: error,
    });
  }
  const problem = peerProblem(socket, world.mesh, world.wall());
  if (problem === null) return socket;
  socket.destroy();
  throw new Error(`connect ${name}: ${problem}`);
}

/**
 * Checks as a data plane does: the certificate leads to the CA of the mesh and contains a name.
 * Null accepts it.
 */
function peerProblem(socket: TLSSocket, mesh: TestMesh, now: number): string | null {
  // Uses this and not getPeerX509Certificate, which on Node 24 returns the certificate for the
  // first call only.
  const { raw } = socket.getPeerCertificate() as { readonly raw?: Buffer };
  if (raw === undefined) return 'the other side showed no certificate';
  const certificate = new X509Certificate(raw);
  if (!certificate.verify(new X509Certificate(mesh.ca.cert).publicKey))
    return `the certificate of the other side (${certificate.subjectAltName ?? 'without a name'}) is not of the CA of mesh ${mesh.name}`;
  if (!(certificate.subjectAltName ?? '').includes(`spiffe://${mesh.name}/`))
    return `the certificate of the other side names ${certificate.subjectAltName ?? 'no client'}, and not mesh ${mesh.name}`;
  return Date.parse(certificate.validTo) < now ? `the certificate of the other side expired ${certificate.validTo}` : null;
}

async function secure(socket: TLSSocket): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  socket.once('close', onClose);
  try {
    await once(socket, 'secureConnect', { signal: gone.signal });
  } catch (error) {
    if (gone.signal.aborted) throw new Error('closed before TLS was up', { cause: error });
    throw error;
  } finally {
    socket.removeListener('close', onClose);
  }
}

/** A forgotten socket must not keep a test runner from ending; one in use does. */
function letGoWhenQuiet(socket: TLSSocket): void {
  let before = -1;
  const timer = quiet.every(QUIET_MS, () => {
    const now = socket.bytesRead + socket.bytesWritten;
    if (now === before) socket.unref();
    else socket.ref();
    before = now;
  });
  socket.once('close', () => timer.cancel());
}

interface UndiciAgent {
  destroy(): Promise<void>;
}

type UndiciAgentClass = new (options: { readonly connect: Connector }) => UndiciAgent;

/**
 * The key under which undici stores the dispatcher of `fetch`; it is made at the first use of
 * fetch.
 */
const GLOBAL_DISPATCHER = Symbol.for('undici.globalDispatcher.1');

async function undiciAgent(): Promise<UndiciAgentClass> {
  await fetch('data:,');
  // Jest gives tests a global object of their own, with the fetch of the real one.
  const real = runInThisContext('globalThis') as { readonly [GLOBAL_DISPATCHER]?: { readonly constructor?: unknown } };
  const found = real[GLOBAL_DISPATCHER]?.constructor;
  if (typeof found === 'function' && found.name === 'Agent') return found as UndiciAgentClass;
  throw new Error('this Node does not show its undici: give connector() to the Agent of the undici package');
}
