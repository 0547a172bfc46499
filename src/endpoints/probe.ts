/**
 * One active TCP check of one endpoint: connect, send, and look for what has to come back. It
 * decides nothing: health.ts counts. Unlike Envoy, an idle connection that the server closes
 * between two checks is no failure; the next check makes another.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { socketReason } from '../base/tls-words.ts';
import type { SocketError } from '../base/tls-words.ts';
import type { HealthCheck, HealthProbe } from '../model/cluster.ts';

/** A connection that is being made; `ready` is the event that says it is. */
export interface Dialling {
  readonly socket: Socket;
  readonly ready: 'connect' | 'secureConnect';
}

export type TcpCheck = HealthCheck & { readonly probe: Extract<HealthProbe, { kind: 'tcp' }> };

/** Null is healthy, otherwise why not. */
export type Unhealthiness = string | null;

export interface Found {
  readonly finding: Unhealthiness;
  /** It makes the endpoint unhealthy alone; otherwise only so many of them in a row do. */
  readonly decides: boolean;
}

export interface EndpointProbe {
  /** Calls `done` once, unless it is closed before. */
  run(done: (found: Found) => void): void;
  /** Ends what runs, and the connection that was kept. */
  close(): void;
}

/** An answer that is longer matches nothing. */
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
    // Being connected is the whole check where nothing has to come back.
    this.#reuse = check.reuseConnection && this.#receive.length > 0;
  }

  run(found: (found: Found) => void): void {
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
      finish(error.code === 'UNSPECIFIED' ? socketReason(error) : (error.code ?? error.message));
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
      // For as long as the socket lives: an error without a listener would end the process.
      dialled.socket.on('error', ignoreError);
      return dialled;
    } catch (error) {
      done(error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  #keep(socket: Socket): void {
    this.#kept = socket;
    // What comes between two checks answers neither.
    socket.resume();
    socket.once('close', () => {
      if (this.#kept === socket) this.#kept = null;
    });
  }
}

/** Whether each piece is there behind the one before; anything may stand between. */
export function answered(bytes: Buffer, pieces: readonly Buffer[]): boolean {
  let from = 0;
  for (const piece of pieces) {
    const at = bytes.indexOf(piece, from);
    if (at < 0) return false;
    from = at + piece.length;
  }
  return true;
}
