import type { Clock } from '../../base/clock.ts';
import { watchFolder } from '../../files/watch-folder.ts';
import type { FolderWatcher } from '../../files/watch-folder.ts';

/**
 * The watches of one source on its folder. The close ends all of them, and none begins afterwards.
 */
export function watchesOf(
  dir: string,
  clock: Clock | undefined,
): {
  /** `since`: the fingerprint of what was read already. */
  begin(changed: () => void, since: string | undefined): () => void;
  close(): void;
} {
  const open = new Set<FolderWatcher>();
  let closed = false;
  return {
    begin(changed, since) {
      if (clock === undefined) throw new Error('a folder source needs a clock to watch');
      if (closed) return () => {};
      const watcher = watchFolder(dir, { clock, onChange: changed, ...(since === undefined ? {} : { since }) });
      open.add(watcher);
      return () => {
        open.delete(watcher);
        watcher.close();
      };
    },
    close() {
      closed = true;
      for (const watcher of open) watcher.close();
      open.clear();
    },
  };
}
