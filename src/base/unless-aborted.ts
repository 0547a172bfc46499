/**
 * Waits for a promise that may never settle. Rejects with the reason of the signal when the signal
 * comes first; a later result is dropped.
 */
export async function unlessAborted<Value>(signal: AbortSignal | undefined, begin: () => Promise<Value>): Promise<Value> {
  signal?.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const giveUp = (): void => aborted.reject(signal?.reason);
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    return await Promise.race([begin(), aborted.promise]);
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}
