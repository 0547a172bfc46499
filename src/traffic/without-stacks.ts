import type { Socket } from 'node:net';

/**
 * The part of libuv's handle that this file uses. Node does not document it. Where it is missing,
 * or Error cannot be changed, resets cost more, and nothing else.
 */
interface Handle {
  onread?: unknown;
}

/** Returns the buffer of the next read. */
type OnRead = (this: unknown, bytes: unknown) => unknown;

const isChangeable = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')?.writable === true;
/** Node has one function for all sockets. */
let original: OnRead | null = null;
let limit = 0;

/**
 * Makes the errors of reads of this socket without a stack. A peer that resets its connection costs
 * an Error, whose stack Node writes as text at once, and which is never looked at: a twentieth of a
 * short connection. What is called with the bytes has to call `withStacks` first.
 */
export function readWithoutStacks(socket: Socket): void {
  const handle = (socket as unknown as { readonly _handle: Handle | null })._handle;
  const onread = handle?.onread;
  if (!isChangeable || typeof onread !== 'function' || onread === quietly) return;
  original ??= onread as OnRead;
  if (handle !== null && original === onread) handle.onread = quietly;
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
