import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from './base/clock.ts';
import { giveBackWhenQuiet } from './base/release-memory.ts';
import { folderSource } from './control/sources/folder-source.ts';
import type { FolderSourceOptions } from './control/sources/folder-source.ts';
import { answerLoads } from './control/sources/config-messages.ts';
import type { FromConfigThread, ToConfigThread } from './control/sources/config-messages.ts';

/**
 * The root of the thread that reads and compiles a folder, so that a change of one file of ten
 * thousand holds up no session.
 */
const MARK = 'zone-egress configuration';

if (!isMainThread && parentPort !== null && isOurs(workerData)) {
  const port = parentPort;
  const answer = answerLoads(folderSource(workerData.options), (message: FromConfigThread) => port.postMessage(message));
  port.on('message', (message: ToConfigThread) => answer(message));
  giveBackWhenQuiet(systemClock({ keepAlive: false }), { sessions: null });
}

function isOurs(data: unknown): data is { readonly mark: string; readonly options: FolderSourceOptions } {
  return typeof data === 'object' && data !== null && 'mark' in data && data.mark === MARK;
}
