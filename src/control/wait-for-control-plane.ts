import type { ControlPlaneSource } from './sources/control-plane-source.ts';

/**
 * Resolves when there is something to run on; rejects with the reason of the signal where that
 * comes first.
 */
export async function join(controlPlane: ControlPlaneSource, signal: AbortSignal | undefined): Promise<void> {
  const giveUp = (): void => void controlPlane.close?.();
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    signal?.throwIfAborted();
    await controlPlane.join();
  } finally {
    signal?.removeEventListener('abort', giveUp);
    signal?.throwIfAborted();
  }
}
