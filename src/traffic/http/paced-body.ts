import type { Clock, Timer } from '../../base/clock.ts';
import type { ResponseBody } from './exchange.ts';

/** Interval between pieces, as in Envoy. */
const TICK_MS = 50;

/**
 * Sends the body of an answer at a bandwidth: at most `kibPerSecond` in a second. Bytes that wait
 * are held back at their source.
 */
export function pacedBody(body: ResponseBody, kibPerSecond: number, clock: Clock): ResponseBody {
  const perTick = Math.max(1, Math.floor((kibPerSecond * 1_024 * TICK_MS) / 1_000));
  const waiting: Buffer[] = [];
  const onDrain: (() => void)[] = [];
  let left = perTick;
  let timer: Timer | null = null;
  let full = false;
  let atEnd: (() => void) | null = null;
  const stop = (): void => {
    timer?.cancel();
    timer = null;
  };
  const push = (): void => {
    while (left > 0 && !full) {
      const [chunk] = waiting;
      if (chunk === undefined) break;
      const piece = chunk.subarray(0, left);
      if (piece.length === chunk.length) waiting.shift();
      else waiting[0] = chunk.subarray(piece.length);
      left -= piece.length;
      full = !body.write(piece);
    }
    if (waiting.length > 0 || atEnd === null) return;
    stop();
    atEnd();
    atEnd = null;
  };
  const tick = (): void => {
    const hadWaiting = waiting.length > 0;
    const idle = !hadWaiting && left === perTick;
    left = perTick;
    push();
    if (hadWaiting && waiting.length === 0) for (const each of onDrain) each();
    // No byte was sent since the last tick: the next byte starts the clock again.
    if (idle) stop();
  };
  body.onDrain(() => {
    full = false;
    push();
    if (waiting.length === 0) for (const each of onDrain) each();
  });
  return {
    write(chunk) {
      waiting.push(chunk);
      timer ??= clock.every(TICK_MS, tick);
      push();
      return waiting.length === 0 && !full;
    },
    onDrain: (listener) => void onDrain.push(listener),
    end(trailers) {
      atEnd = () => body.end(trailers);
      push();
    },
    reset(code) {
      stop();
      waiting.length = 0;
      body.reset(code);
    },
  };
}
