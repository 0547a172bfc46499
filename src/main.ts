import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { withoutKeys } from './base/key-material.ts';
import { systemClock } from './base/clock.ts';
import { packageVersion } from './base/version.ts';
import { helpText } from './cli/help.ts';
import { inheritedSocket } from './cli/inherited-socket.ts';
import { systemdOf } from './cli/supervisor.ts';
import { parseCommand } from './cli/parse.ts';
import type { Command } from './cli/parse.ts';
import type { Signal, Terminal } from './cli/terminal.ts';
import { strayVariables } from './cli/variables.ts';
import { STARTER_IS_GONE, followStarters } from './starters.mjs';

/** argv in, exit code out: the only file that touches process.*. */
const terminal: Terminal = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(withoutKeys(text)),
  cwd: () => process.cwd(),
  cpus: () => availableParallelism(),
  descriptorLimit,
  supervisor: () =>
    systemdOf(process.env, process.pid, (command, args, failed) => {
      execFile(command, [...args], (error) => {
        if (error !== null) failed(`${command} ${args.join(' ')}: ${error.message}`);
      });
    }),
  inheritedSocket: () => inheritedSocket(process.env, process.pid),
  inputEnd: () =>
    new Promise((resolve) => {
      for (const event of ['end', 'close', 'error']) process.stdin.once(event, () => resolve());
      process.stdin.resume();
    }),
  onFault(listener) {
    faultListener = listener;
  },
  onSignal(signals, listener) {
    const heard = (signal: Signal): void => {
      if (signal !== 'SIGHUP') stopping = true;
      listener(signal);
    };
    for (const signal of signals) process.on(signal, heard);
    return () => {
      for (const signal of signals) process.removeListener(signal, heard);
    };
  },
};

// Ctrl-C ends this process, and npm beside it: a second signal would cut the sessions that the
// first one lets end.
let stopping = false;
const wrapper = process.env.ZONE_EGRESS_WRAPPER;
delete process.env.ZONE_EGRESS_WRAPPER;
followStarters(
  () => {
    if (stopping) return;
    terminal.err(STARTER_IS_GONE);
    process.kill(process.pid, 'SIGTERM');
  },
  wrapper === undefined ? undefined : Number(wrapper),
);

// libuv gives getaddrinfo at most half of its threads, and what hangs there must leave some: the
// control plane's name goes that way, and names that only other sources than DNS know.
process.env.UV_THREADPOOL_SIZE ??= '10';

// Of all threads. V8 takes what outlives a few of its small collections for long-lived and makes
// the next of its kind among the old; an old session that is over keeps the young ones that it
// knows alive, so that these are taken for long-lived too: a quarter of all sessions had to wait
// for a large collection.
setFlagsFromString('--no-allocation-site-pretenuring');

// For base/give-back.ts. Contexts that are made from now on have it, those of threads too; this one
// is given it.
setFlagsFromString('--expose-gc');
globalThis.gc ??= runInNewContext('gc') as NodeJS.GCFunction;

// An operator cannot act on what Node says of the code of a library (gRPC sends an address as SNI);
// the tests of this project do see it.
process.noDeprecation = true;

// A reader that went away (`zone-egress … | head`) is no reason to stop serving.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

let faultListener: ((error: unknown) => void) | null = null;
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error: unknown) => {
    if (faultListener !== null) return faultListener(error);
    terminal.err(
      `zone-egress: internal error, please report it: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(70);
  });
}

await leave(await run(parseCommand(process.argv.slice(2), process.env)));

/** Whatever still holds the loop must not hold the process once its command is done. */
async function leave(code: number): Promise<void> {
  const hangs = (): boolean =>
    process.getActiveResourcesInfo().some((kind) => /^(?:FSReq|GetAddrInfoReq|GetNameInfoReq)/.test(kind));
  const clock = systemClock();
  const until = performance.now() + 1_000;
  while (hangs() && performance.now() < until) await new Promise<void>((resolve) => void clock.after(20, resolve));
  // The exit waits for the threads of libuv's pool, and one that hangs in a call of the kernel (a
  // disk, a look-up) never comes back. Another program in place of this one ends them, and gives
  // the same exit code.
  if (hangs() && typeof process.execve === 'function')
    process.execve(process.execPath, [process.execPath, '-e', `process.exit(${code})`], {});
  process.exit(code);
}

async function run(command: Command): Promise<number> {
  switch (command.kind) {
    case 'version':
      terminal.out(`zone-egress ${packageVersion()}\n`);
      return 0;
    case 'help':
      terminal.out(helpText(command.topic));
      return 0;
    case 'usage-error':
      terminal.err(`zone-egress: ${command.message}\n`);
      return 64;
    case 'command':
      for (const line of strayVariables(process.env)) terminal.err(`zone-egress: ${line}\n`);
      return command.execute(terminal);
    default:
      return command satisfies never;
  }
}

/** Soft limit of open files of this process; null where the system does not say. */
function descriptorLimit(): number | null {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return line === null ? null : Number(line[1]);
  } catch {
    return null;
  }
}
