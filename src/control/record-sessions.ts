import type { Clock } from '../base/clock.ts';
import type { Observer } from '../observe/observer.ts';
import { openRecorder } from '../observe/recorder.ts';

export interface RecordOptions {
  readonly file: string;
  /** Size at which the next file begins; five are kept. Default: 100,000,000. */
  readonly maxBytes?: number;
}

/**
 * Writes each ended session and request; returns the function that stops it. Rejects where the file
 * cannot be opened; later errors of the file are only reported.
 */
export async function recordSessions(
  { file, maxBytes }: RecordOptions,
  observer: Observer,
  clock: Clock,
): Promise<() => Promise<void>> {
  const { log, metrics } = observer;
  const recorder = await openRecorder({
    clock,
    file,
    ...(maxBytes === undefined ? {} : { maxBytes }),
    onLines: (result, count) => metrics.recorded(result, count),
    onFailure: (err) => log.error({ err, file }, 'sessions cannot be recorded: they are left out and counted until they can'),
    onRecovered: () => log.info({ file }, 'sessions are recorded again'),
  });
  const stops = [
    observer.onRecord((record) => recorder.write(record)),
    observer.onRequest((record) => recorder.writeRequest(record)),
  ];
  return async () => {
    for (const stop of stops) stop();
    await recorder.close();
  };
}
