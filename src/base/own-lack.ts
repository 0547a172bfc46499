/**
 * Says what this process lacks when a call of the system fails through no fault of the file or the
 * peer that it was made for: the same call works again later. Null for every other error.
 */
export function ownLack(code: string | undefined): string | null {
  return (code !== undefined && LACKS[code]) || null;
}

/** True of a text that has such a sentence in it. */
export function isOwnLack(text: string): boolean {
  return Object.values(LACKS).some((lack) => text.includes(lack));
}

const LACKS: Readonly<Record<string, string>> = {
  EMFILE: 'this process has no file descriptor left (EMFILE): raise its limit, ulimit -n',
  ENFILE: 'this machine has no file descriptor left (ENFILE)',
};
