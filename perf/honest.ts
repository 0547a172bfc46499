// Measures honest clients of the mesh during a flood: the time of a new session, and the number
// without an answer.
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { Bed } from './bed.ts';
import type { Target } from './contenders.ts';

/** The time after which an honest client gives up. */
const LOST_MS = 10_000;

export interface Figures {
  readonly p50: number;
  readonly p99: number;
  readonly lost: number;
  /** Number of sessions that were tried. */
  readonly of: number;
}

/**
 * Starts sessions at fixed times, whether earlier ones have ended or not. One without an answer
 * counts as the time after which it gave up.
 */
export async function honest(
  target: Target,
  bed: Bed,
  { seconds, rate }: { readonly seconds: number; readonly rate: number },
): Promise<Figures> {
  const cert = readFileSync(`${bed.folder}/default-client.pem`);
  const key = readFileSync(`${bed.folder}/default-client.key`);
  const total = Math.round(seconds * rate);
  const startedAt = performance.now();
  const sessions: Promise<number>[] = [];
  for (let i = 0; i < total; i++) {
    await pause(Math.max(0, startedAt + (i * 1_000) / rate - performance.now()));
    sessions.push(session(target, { cert, key }));
  }
  const took = (await Promise.all(sessions)).sort((a, b) => a - b);
  const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), lost: took.filter((each) => each >= LOST_MS).length, of: total };
}

/** Milliseconds from the connect to the first byte of the service. */
async function session(target: Target, client: { readonly cert: Buffer; readonly key: Buffer }): Promise<number> {
  const { host, port, sni } = target;
  const startedAt = performance.now();
  const socket = connectTls({ host, port, servername: sni, ...client, rejectUnauthorized: false });
  const answered = new Promise<boolean>((resolve) => {
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.once('data', () => resolve(true));
  });
  const timer = setTimeout(() => socket.destroy(), LOST_MS);
  socket.write('x');
  const ok = await answered;
  clearTimeout(timer);
  const took = performance.now() - startedAt;
  socket.destroy();
  return ok ? took : LOST_MS;
}
