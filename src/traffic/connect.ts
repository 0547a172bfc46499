import { connect as connectTcp, isIPv6 } from 'node:net';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { connectTls } from '../base/connect-tls.ts';
import type { TlsTarget } from '../base/connect-tls.ts';
import { KEEP_ALIVE } from '../base/keep-alive.ts';
import { ownLack } from '../base/own-lack.ts';
import { Refused, refuse } from '../base/refusal.ts';
import type { CertificateCheck, Refusal, RefusalCode } from '../base/refusal.ts';
import { socketReason } from '../base/tls-words.ts';
import type { SocketError } from '../base/tls-words.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { AttemptOutcome } from '../model/messages.ts';
import type { Target } from '../routing/choose.ts';
import type { BufferPool } from './buffers.ts';
import { descriptorRefusal } from './descriptors.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { WrongName } from './originate.ts';
import type { Origination } from './originate.ts';
import { PlainReader } from './plain-reader.ts';
import { SharedReader } from './shared-reader.ts';
import { SocketLeg } from './leg.ts';
import type { Leg } from './leg.ts';
import { endOnTlsError } from './tls-error.ts';
import { TlsReader } from './tls-reader.ts';
import { UnderTls } from './under-tls.ts';
import { readWithoutStacks } from './without-stacks.ts';
import type { SessionSteps } from './session-steps.ts';

export interface ConnectOptions {
  readonly clock: Clock;
  readonly pool: BufferPool;
  readonly origination: Origination;
  /** Bounds one attempt: TCP, and TLS where the cluster has it. */
  readonly timeoutMs: number;
  /** True reads the socket as a stream. Absent reads it into the buffers of the relay. */
  readonly asStream?: boolean;
  /** True decrypts into memory of the relay, where `asStream` is absent. */
  readonly tlsReadsWork?: boolean;
  /** True makes sockets that do not hold the process open. */
  readonly unref: boolean;
  /** The limit of open files of the process; 0 where it is not known. */
  readonly maxDescriptors: number;
  readonly onAttempt: (target: Target) => void;
  readonly onOutcome: (target: Target, outcome: AttemptOutcome) => void;
}

/**
 * The most endpoints that a session tries; the deadline of the session may end it earlier. Envoy's
 * `max_connect_attempts` is 1 on an egress.
 */
export const MAX_ATTEMPTS = 5;

/**
 * Tries the targets in their order until one is connected. The returned leg is paused, and none of
 * its bytes is read yet.
 */
export async function connectEndpoint(steps: SessionSteps, targets: readonly Target[], options: ConnectOptions): Promise<Leg> {
  let last: Refused | null = null;
  for (const target of targets.slice(0, MAX_ATTEMPTS)) {
    // A step closes what its attempt opens, so no attempt may begin after the session has ended,
    // for example by its deadline.
    steps.check();
    options.onAttempt(target);
    try {
      const attempt = target.endpoint.tls === null ? attemptPlain(steps, target, options) : attemptTls(steps, target, options);
      const leg = await attempt;
      options.onOutcome(target, 'ok');
      return leg;
    } catch (error) {
      const outcome = error instanceof Refused ? RETRIED[error.refusal.code] : undefined;
      if (outcome === undefined) throw error;
      options.onOutcome(target, outcome);
      last = error as Refused;
    }
  }
  throw last ?? new Refused(refuse('no-endpoint', 'there is no endpoint to try'));
}

/** The refusals after which the next endpoint is tried, with the outcome that they record. */
const RETRIED: Readonly<Partial<Record<RefusalCode, AttemptOutcome>>> = {
  'connect-timeout': 'timeout',
  'connect-refused': 'connect-failed',
  'upstream-tls-failed': 'tls-failed',
};

function attemptPlain(steps: SessionSteps, target: Target, options: ConnectOptions): Promise<Leg> {
  const reader = options.asStream === true ? null : new PlainReader(options.pool);
  const socket = connectTcp({
    host: target.ip,
    port: target.endpoint.port,
    allowHalfOpen: true,
    noDelay: true,
    autoSelectFamily: false,
    ...(reader === null ? KEEP_ALIVE : { onread: readsInto(reader) }),
  });
  // Reading starts when both legs are joined: the first bytes of a server that speaks first must
  // not be lost.
  socket.pause();
  if (reader !== null) readWithoutStacks(socket);
  const leg = new SocketLeg(socket, socket, reader);
  return attempt(steps, target, options, { socket, below: socket, ready: 'connect', leg });
}

/** Node takes a function for the buffer, which its types do not know. */
function readsInto({ onread }: Pick<PlainReader, 'onread'>): {
  readonly buffer: Uint8Array;
  readonly callback: (bytes: number) => boolean;
} {
  return { buffer: onread.buffer as unknown as Uint8Array, callback: onread.callback };
}

function attemptTls(steps: SessionSteps, target: Target, options: ConnectOptions): Promise<Leg> {
  const { tls } = target.endpoint;
  if (tls === null) return attemptPlain(steps, target, options);
  const to = { host: target.ip, port: target.endpoint.port };
  const { socket, below } = dialTls(to, options.origination.connectionOptions(tls, target.endpoint));
  const leg = new SocketLeg(
    socket,
    below,
    options.asStream === true ? null : new TlsReader(options.pool, options.tlsReadsWork === true),
  );
  return attempt(steps, target, options, { socket, below, ready: 'secureConnect', leg });
}

/**
 * Opens a TLS connection to a service. A service is trusted no more than a client: see UnderTls.
 */
export function dialTls(
  to: { readonly host: string; readonly port: number },
  options: TlsTarget,
): { readonly socket: TLSSocket; readonly below: Socket } {
  const reader = new SharedReader();
  const below = connectTcp({
    ...to,
    allowHalfOpen: true,
    noDelay: true,
    ...KEEP_ALIVE,
    autoSelectFamily: false,
    onread: readsInto(reader),
  });
  const under = new UnderTls(below, reader);
  const socket = connectTls({ socket: under, ...options });
  endOnTlsError(socket);
  socket.once('secureConnect', () => under.secured(socket));
  under.start(null);
  return { socket, below };
}

function attempt(
  steps: SessionSteps,
  target: Target,
  options: ConnectOptions,
  made: { socket: Socket | TLSSocket; below: Socket; ready: string; leg: Leg },
): Promise<Leg> {
  const { socket, below, ready, leg } = made;
  const where = addressKey(target.ip, target.endpoint.port);
  if (options.unref) below.unref();
  return steps.step<Leg>((done, fail) => {
    let connected = false;
    const timer = options.clock.after(options.timeoutMs, () => {
      fail(new Refused(refuse('connect-timeout', `connect ${where}: nothing after ${options.timeoutMs} ms${onlySix(target)}`)));
    });
    function onReady(): void {
      connected = true;
      done(leg);
    }
    function onError(error: SocketError): void {
      const detail = `connect ${where}: ${socketReason(error)}${onlySix(target)}`;
      fail(new Refused(refuse(codeOf(error, made.ready), detail, checkOf(socket, error)), { cause: error }));
    }
    function onClose(): void {
      fail(
        new Refused(
          refuse(ready === 'connect' ? 'connect-refused' : 'upstream-tls-failed', `connect ${where}: closed by the endpoint`),
        ),
      );
    }
    // Node gives the socket its descriptor in a tick that is queued already.
    process.nextTick(() => {
      const lack = descriptorRefusal(below, options.maxDescriptors, 'service');
      if (lack !== null) fail(new Refused(refuse('over-limit', `connect ${where}: ${lack}`)));
    });
    // A socket has an `error` listener at every moment, also between two owners and after its end.
    for (const each of below === socket ? [socket] : [socket, below]) {
      each.on('error', ignoreError);
      each.on('error', onError);
    }
    socket.on(ready, onReady);
    socket.on('close', onClose);
    return () => {
      timer.cancel();
      socket.removeListener(ready, onReady);
      socket.removeListener('close', onClose);
      socket.removeListener('error', onError);
      below.removeListener('error', onError);
      if (connected) return;
      below.destroy();
      socket.destroy();
      leg.reader?.close();
    };
  });
}

/**
 * Adds advice for an IPv6 address: an egress with only IPv4 cannot reach it, and the name needs
 * another record.
 */
function onlySix({ ip, endpoint: { address } }: Target): string {
  if (address.kind === 'ip' || address.family !== 'v4' || !isIPv6(ip)) return '';
  return `; the name ${address.name} has IPv6 addresses only, and this egress has an IPv4 address`;
}

/** Node sets the reason on the socket when it refuses a certificate, before it ends the socket. */
function checkOf(socket: Socket | TLSSocket, error: Error): CertificateCheck | undefined {
  const { authorizationError } = socket as Partial<TLSSocket>;
  if (authorizationError === undefined || (authorizationError as unknown) === null) return undefined;
  return error instanceof WrongName ? 'names' : 'chain';
}

const NETWORK_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EACCES',
  'EPERM',
  'EINVAL',
]);

/**
 * Recognises a refusal that comes after the handshake: in TLS 1.3 a client is done before the
 * server has seen its certificate, so the server's refusal is a later alert. Null for every other
 * error of a connection.
 */
export function refusedAfterHandshake(error: SocketError): Refusal | null {
  if (!/^ERR_SSL_.*_ALERT_/.test(error.code ?? '')) return null;
  return refuse('upstream-tls-failed', `refused by the endpoint after the handshake: ${socketReason(error)}`);
}

function codeOf(error: SocketError, ready: string): RefusalCode {
  // This process has no file descriptor left. The endpoint is not to blame: no other is tried, and
  // none counts as failed.
  if (ownLack(error.code) !== null) return 'over-limit';
  if (error.code === 'ETIMEDOUT') return 'connect-timeout';
  return ready === 'connect' || NETWORK_CODES.has(error.code ?? '') ? 'connect-refused' : 'upstream-tls-failed';
}
