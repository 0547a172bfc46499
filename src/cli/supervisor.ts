import type { Clock } from '../base/clock.ts';
import type { Env } from './options.ts';
import type { Supervisor } from './terminal.ts';

/**
 * Reports to systemd as a `Type=notify` service does, through systemd's own program: Node has no
 * datagrams over unix sockets. Null where systemd does not listen. `run` starts a program and
 * returns what went wrong, if anything.
 */
export function systemdOf(
  env: Env,
  pid: number,
  run: (command: string, args: readonly string[], failed: (message: string) => void) => void,
): Supervisor | null {
  if ((env.NOTIFY_SOCKET ?? '') === '') return null;
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: owner } = env;
  const isOurs = owner === undefined || owner === String(pid);
  const watchdogMs = isOurs && /^[1-9]\d*$/.test(usec ?? '') ? Number(usec) / 1000 : null;
  return {
    watchdogMs,
    notify: (state, failed) => run('systemd-notify', state, failed),
  };
}

/** Reports that the egress is ready, and then, twice in each interval, that it is alive. */
export function report(
  supervisor: Supervisor,
  clock: Clock,
  failed: (message: string) => void,
): { stopping(): void; end(): void } {
  let said = false;
  const once = (message: string): void => {
    if (!said) failed(message);
    said = true;
  };
  const notify = (...state: readonly string[]): void => supervisor.notify(state, once);
  notify('READY=1');
  const { watchdogMs } = supervisor;
  const alive = watchdogMs === null ? null : clock.every(watchdogMs / 2, () => notify('WATCHDOG=1'));
  return { stopping: () => notify('STOPPING=1'), end: () => alive?.cancel() };
}
