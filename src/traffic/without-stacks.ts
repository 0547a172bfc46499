import type { Socket } from 'node:net';
import { handleOf } from './handle.ts';
import type { SocketHandle } from './handle.ts';

/** Where Error cannot be changed, or the handle has no such function, resets cost more. */
const isChangeable = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')?.writable === true;
/** Node has one function for all sockets. */
let original: SocketHandle['onread'];
let limit = 0;

/**
 * Makes the errors of reads of this socket without a stack. A peer that resets its connection costs
 * an Error, whose stack Node writes as text at once, and which is never looked at: a twentieth of a
 * short connection. What is called with the bytes has to call `withStacks` first.
 */
export function readWithoutStacks(socket: Socket): void {
  const handle = handleOf(socket);
  const onread = handle?.onread;
  if (!isChangeable || handle === null || typeof onread !== 'function' || onread === quietly) return;
  original ??= onread;
  if (original === onread) handle.onread = quietly;
}

/** Gives errors their stacks again, for the rest of this read: they are faults of our own. */
export function withStacks(): void {
  if (limit !== 0) Error.stackTraceLimit = limit;
}

function quietly(this: unknown, bytes: unknown): unknown {
  const before = Error.stackTraceLimit;
  limit = before;
  Error.stackTraceLimit = 0;
  try {
    return original?.call(this, bytes);
  } finally {
    Error.stackTraceLimit = before;
    limit = 0;
  }
}
