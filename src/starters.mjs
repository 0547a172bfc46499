// Notices that the processes that wait for this one are gone: npm, npx, and the shells between.
// They die of a signal without forwarding it (npm starts a command with `sh -c`), and their child
// would keep running and hold its ports. It is plain JavaScript for any Node, because the wrapper
// of a checkout needs it too.
import { readFileSync, readlinkSync } from 'node:fs';

const EVERY_MS = 250;
const SHELLS = /^(sh|dash|bash|ash|ksh|zsh|busybox)$/;
const NPM = /^(\S*[/\\]node(\.exe)?\0)?(\S*[/\\])?(npm|npx|pnpm|pnpx|yarn|yarnpkg)(-cli)?(\.c?js)?[ \0]/;

export const STARTER_IS_GONE =
  'zone-egress: the npm or the shell that waited for it is gone, so it stops (setsid keeps it running)\n';

/**
 * Calls `gone` once when one of them no longer exists. `wrapper` is the pid of a known one. The
 * timer does not hold the process open.
 */
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

/**
 * Returns pairs of a waiting process and the one below it; empty where no such process started this
 * one.
 */
function starters() {
  // Without /proc only the nearest process can be checked, and only npm announces that it waits.
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
 * Tells whether a shell waits for `child`. A shell that started it in the background may end and
 * leave it behind on purpose: it does not wait, and its child has another standard input or, from
 * an interactive shell, another process group.
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

/**
 * Reads a field of /proc/PID/stat, counted after the name, which may contain spaces and brackets.
 * Null where the process is gone.
 */
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
