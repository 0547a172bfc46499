/**
 * Waits for something that may never come. Rejects with the reason of the signal where that comes
 * first; what comes after it is dropped.
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
