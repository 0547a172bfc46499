/**
 * Makes one active TCP check of one endpoint: connects, sends, and searches the answer. It does not
 * judge: health.ts counts. Unlike in Envoy, an idle connection that the server closes between two
 * checks is no failure; the next check makes another.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { ownLack } from '../base/own-lack.ts';
import { socketReason } from '../base/tls-words.ts';
import type { SocketError } from '../base/tls-words.ts';
import type { HealthCheck, HealthProbe } from '../model/cluster.ts';

/** A connection in the making; `ready` is the event that ends that. */
export interface Dialling {
  readonly socket: Socket;
  readonly ready: 'connect' | 'secureConnect';
}

export type TcpCheck = HealthCheck & { readonly probe: Extract<HealthProbe, { kind: 'tcp' }> };

/** Null for healthy, otherwise the reason. */
export type Unhealthiness = string | null;

export interface ProbeResult {
  readonly finding: Unhealthiness;
  /** True makes the endpoint unhealthy alone; otherwise several in a row are needed. */
  readonly decides: boolean;
}

export interface EndpointProbe {
  /** Calls `done` once, unless it is closed before. */
  run(done: (found: ProbeResult) => void): void;
  /** Ends the running check, and the kept connection. */
  close(): void;
}

/** A longer answer does not match. */
const MAX_ANSWER_BYTES = 65_536;

export class TcpProbe implements EndpointProbe {
  readonly #clock: Clock;
  readonly #dial: () => Dialling;
  readonly #timeoutMs: number;
  readonly #send: Buffer;
  readonly #receive: readonly Buffer[];
  readonly #reuse: boolean;
  #kept: Socket | null = null;
  #stop: (() => void) | null = null;

  constructor(check: TcpCheck, to: { readonly clock: Clock; readonly dial: () => Dialling }) {
    this.#clock = to.clock;
    this.#dial = to.dial;
    this.#timeoutMs = check.timeoutMs;
    this.#send = Buffer.from(check.probe.send, 'hex');
    this.#receive = check.probe.receive.map((hex) => Buffer.from(hex, 'hex'));
    // With nothing to receive, being connected is the whole check.
    this.#reuse = check.reuseConnection && this.#receive.length > 0;
  }

  run(found: (found: ProbeResult) => void): void {
    const done = (finding: Unhealthiness): void => found({ finding, decides: false });
    const kept = this.#kept;
    this.#kept = null;
    const dialled = kept === null ? this.#tryDial(done) : { socket: kept, ready: null };
    if (dialled === null) return;
    const { socket, ready } = dialled;
    let answer: Buffer = Buffer.alloc(0);
    const timer = this.#clock.after(this.#timeoutMs, () => finish(`nothing after ${this.#timeoutMs} ms`));

    const finish = (finding: Unhealthiness): void => {
      this.#stop = null;
      timer.cancel();
      if (ready !== null) socket.removeListener(ready, onReady);
      socket.removeListener('data', onData);
      socket.removeListener('error', onError);
      socket.removeListener('close', onClose);
      if (finding === null && this.#reuse) this.#keep(socket);
      else socket.destroy();
      done(finding);
    };
    const onReady = (): void => {
      if (this.#send.length > 0) socket.write(this.#send);
      if (this.#receive.length === 0) finish(null);
    };
    const onData = (chunk: Buffer): void => {
      answer = Buffer.concat([answer, chunk]);
      if (answered(answer, this.#receive)) finish(null);
      else if (answer.length > MAX_ANSWER_BYTES) finish(`${answer.length} bytes came, and not the expected ones`);
    };
    const onError = (error: SocketError): void =>
      finish(error.code === 'UNSPECIFIED' || ownLack(error.code) !== null ? socketReason(error) : (error.code ?? error.message));
    const onClose = (): void => finish('closed by the endpoint');

    this.#stop = () => {
      timer.cancel();
      socket.removeListener('close', onClose);
      socket.removeListener('error', onError);
      socket.destroy();
    };
    socket.on('data', onData);
    socket.on('error', onError);
    socket.on('close', onClose);
    if (ready === null) onReady();
    else socket.on(ready, onReady);
  }

  close(): void {
    this.#stop?.();
    this.#stop = null;
    this.#kept?.destroy();
    this.#kept = null;
  }

  #tryDial(done: (finding: Unhealthiness) => void): Dialling | null {
    try {
      const dialled = this.#dial();
      // The listener stays for the life of the socket: an error without a listener would end the
      // process.
      dialled.socket.on('error', ignoreError);
      return dialled;
    } catch (error) {
      done(error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  #keep(socket: Socket): void {
    this.#kept = socket;
    // Bytes between two checks belong to neither.
    socket.resume();
    socket.once('close', () => {
      if (this.#kept === socket) this.#kept = null;
    });
  }
}

/** Tells whether each piece occurs after the one before, with any bytes in between. */
export function answered(bytes: Buffer, pieces: readonly Buffer[]): boolean {
  let from = 0;
  for (const piece of pieces) {
    const at = bytes.indexOf(piece, from);
    if (at < 0) return false;
    from = at + piece.length;
  }
  return true;
}
