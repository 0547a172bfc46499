/**
 * The places of recorded material, and the only ways to skip a test. `skips.test.ts` counts the
 * allowed skips.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * Messages of real control planes and their egresses, recorded for this project; a part of it, see
 * `data/README.md`.
 */
export const LIVE: URL = new URL('data/kuma-cp-live/', import.meta.url);
/**
 * The same from Kuma’s main branch before 3.0: an egress of one mesh, which is a Dataplane, over
 * delta ADS.
 */
export const DEV: URL = new URL('data/kuma-3.0-dev/', import.meta.url);
/** ClientHellos from public test data, each with its source, its licence and its verdict. */
export const HELLOS: URL = new URL('data/clienthello/hellos.json', import.meta.url);
/** Files of Kuma's own tests. They are not part of this repository and may lie beside the clone. */
export const KUMA: URL = new URL('../../shared/conformance/kuma-2.14.3/', import.meta.url);

export interface Condition {
  readonly skip: string | false;
}

function runs(program: string, argument: string, says: RegExp): boolean {
  const { status, stdout } = spawnSync(program, [argument], { encoding: 'utf8' });
  return status === 0 && says.test(stdout);
}

function only(condition: boolean, otherwise: string): Condition {
  return { skip: condition ? false : `skipped: ${otherwise}` };
}

export const withKuma: Condition = only(
  existsSync(KUMA),
  'Kuma’s own test files do not lie in ../shared/conformance/kuma-2.14.3',
);
/** Permissions of files do not stop root. */
export const withoutRoot: Condition = only(process.getuid?.() !== 0, 'root may read and write every file');
export const withDevFull: Condition = only(existsSync('/dev/full'), 'this system has no /dev/full');
/** Changes the limits of a process that runs. */
export const withPrlimit: Condition = only(runs('prlimit', '--version', /util-linux/), 'there is no prlimit');
/** What `kernel-timers.ts` reads. */
export function withKernelTimers(told: boolean): Condition {
  return only(told, 'this system does not tell the timers of its connections in /proc/net/tcp');
}
/** Programs that are clients of HTTP. */
export const withCurl: Condition = only(runs('curl', '--version', /HTTP2/), 'there is no curl with HTTP/2');
/** A terminal whose screen can be read. */
export const withTmux: Condition = only(runs('tmux', '-V', /tmux [3-9]/), 'there is no tmux from 3 on');
export const withGo: Condition = only(runs('go', 'version', /go1\.(?:2[4-9]|[3-9]\d)/), 'there is no Go from 1.24 on');
export const withPython: Condition = only(runs('python3', '--version', /Python 3/), 'there is no Python 3');
export const withHelm: Condition = only(runs('helm', 'version', /v[34]\./), 'there is no Helm on PATH');
/** Debian's package `prometheus` has both programs. */
export const withPrometheus: Condition = only(
  runs('promtool', '--version', /version [23]\./) && runs('prometheus', '--version', /version [23]\./),
  'there is no Prometheus on PATH: apt-get install prometheus has it',
);
/** Drives a browser: Debian's package, or the one that CHROMIUM names. */
export const CHROMIUM: string =
  [process.env.CHROMIUM ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path)) ?? '';
export const withChromium: Condition = only(CHROMIUM !== '', 'there is no /usr/bin/chromium (apt-get install chromium)');
/** Shells, which `apt-get install zsh fish` brings on Debian. */
export const withZsh: Condition = only(runs('zsh', '--version', /^zsh [5-9]/), 'there is no zsh');
export const withFish: Condition = only(runs('fish', '--version', /version (?:[3-9]|\d\d)\./), 'there is no fish from 3 on');
/** The sample zone of the demo listens on fixed ports. */
export function withFreePorts(free: boolean, error: string): Condition {
  return only(free, `the fixed ports of the sample zone are taken: ${error.trim()}`);
}
/** Allows a process to be process 1 on a root of its own, as in a container. */
export const withNamespaces: Condition = only(
  process.getuid?.() === 0 && spawnSync('unshare', ['--mount', '--pid', '--fork', 'true']).status === 0,
  'only root starts a process in namespaces of its own',
);
