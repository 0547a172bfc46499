// Notices that the processes which wait for this one are gone: npm, npx, and the shells between. They die of a signal without passing it on
// (`sh -c` is what npm starts a command with), and what they started would go on and hold its ports.
// Plain JavaScript for any Node, because the wrapper of a checkout needs it too.
import { readFileSync, readlinkSync } from 'node:fs';

const EVERY_MS = 250;
const SHELLS = /^(sh|dash|bash|ash|ksh|zsh|busybox)$/;
const NPM = /^(\S*[/\\]node(\.exe)?\0)?(\S*[/\\])?(npm|npx|pnpm|pnpx|yarn|yarnpkg)(-cli)?(\.c?js)?[ \0]/;

export const STARTER_IS_GONE =
  'zone-egress: the npm or the shell that waited for it is gone, so it stops (setsid keeps it running)\n';

/** Calls `gone` once when one of them is no longer there. `wrapper` is the pid of one that is known. The timer does not hold the process. */
export function followStarters(gone, wrapper) {
  const links = wrapper === undefined ? starters() : [{ child: process.pid, parent: wrapper }];
  if (links.length === 0) return;
  const timer = setInterval(() => {
    if (links.every(({ child, parent }) => parentOf(child) === parent && (process.platform !== 'win32' || lives(parent)))) return;
    clearInterval(timer);
    gone();
  }, EVERY_MS);
  timer.unref();
}

/** Each pair is a process that waits for the one below it. Empty where nothing of the kind started this. */
function starters() {
  // Without /proc only the nearest can be looked at, and only npm says that it is one that waits.
  if (process.platform !== 'linux')
    return process.env.npm_lifecycle_event === undefined ? [] : [{ child: process.pid, parent: process.ppid }];
  const links = [];
  let child = process.pid;
  for (;;) {
    const parent = parentOf(child);
    if (parent === null || parent <= 1 || !(isNpm(parent) || isShellInFront(parent, child))) return links;
    links.push({ child, parent });
    child = parent;
  }
}

function isNpm(pid) {
  return NPM.test(`${read(pid, 'cmdline')}\0`);
}

/**
 * A shell that waits for `child`. One that started it in the background may end and leave it behind on purpose: that one has other things to do than to
 * wait for it, and its child has another standard input or, from an interactive shell, another process group.
 */
function isShellInFront(shell, child) {
  if (!SHELLS.test(read(shell, 'comm').trim()) || groupOf(shell) !== groupOf(child)) return false;
  const [ours, its] = [inputOf(child), inputOf(shell)];
  if (ours !== its) return false;
  if (ours !== '' && ours !== '/dev/null') return true;
  return read(shell, `task/${shell}/children`).trim() === String(child) && /^(do_wait|0|)$/.test(read(shell, 'wchan').trim());
}

function parentOf(pid) {
  if (pid === process.pid) return process.ppid;
  return numberIn(pid, 1);
}

function groupOf(pid) {
  return numberIn(pid, 2);
}

/** Of /proc/PID/stat, counted behind the name, which may have spaces and brackets. Null where the process is gone. */
function numberIn(pid, place) {
  const stat = read(pid, 'stat');
  return stat === '' ? null : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[place]);
}

function inputOf(pid) {
  try {
    return readlinkSync(`/proc/${pid}/fd/0`);
  } catch {
    return '';
  }
}

function read(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}

function lives(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
