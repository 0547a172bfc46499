import { systemClock } from '../base/clock.ts';
import { withoutControls } from '../base/plain-text.ts';
import type { TopCommand } from './commands/top.ts';
import { EXIT_UNAVAILABLE } from './exit-codes.ts';
import { Stopped, untilStopped } from './load-folder.ts';
import { askerOf, lookAt, MOST_ENDED, reasonOf } from './look-at-egress.ts';
import type { Asker } from './look-at-egress.ts';
import type { Terminal } from './terminal.ts';
import { Console } from './top-console.ts';
import { figuresOf } from './top/figures.ts';
import type { Figures } from './top/figures.ts';
import { plainLine } from './top/paint.ts';
import { renderTop } from './top/render.ts';
import type { Sample } from './top/sample.ts';
import { firstState } from './top/top-state.ts';
import type { TopSize, TopState } from './top/top-state.ts';
import { shownAdmin } from './values.ts';

/** The size of a frame where there is no screen. */
const PLAIN_SIZE: TopSize = { columns: 100, rows: 50 };

/**
 * Exits with 0 when it is left or interrupted, with 69 where `--once` has no answer. Without a
 * screen, and on one that cannot be drawn on, it prints a frame at each look.
 */
export function topCommand(command: TopCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const asker = askerOf(command);
    if (command.once) return printOnce(command, terminal, asker);
    const screen = command.isDumb ? null : (terminal.screen?.() ?? null);
    return screen === null
      ? printFrames(command, terminal, asker)
      : new Console(command, { terminal, screen, asker, state: stateOf(command) }).run();
  });
}

/** Looks twice, because the rates of counters need two looks. */
async function printOnce(command: TopCommand, terminal: Terminal, asker: Asker): Promise<number> {
  const clock = systemClock();
  let figures: Figures;
  try {
    const before = await lookAt(asker, clock);
    await new Promise<void>((resolve) => void clock.after(command.intervalMs, resolve));
    figures = figuresOf(await lookAt(asker, clock), before, MOST_ENDED);
  } catch (error) {
    throw new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(command.at.url)}: ${reasonOf(error)}`);
  }
  if (command.output === 'json') terminal.out(withoutControls(`${JSON.stringify(figures, null, 2)}\n`));
  else terminal.out(plainFrame({ ...stateOf(command), figures }, terminal));
  return 0;
}

function stateOf({ at, sort, filter }: TopCommand): TopState {
  return firstState(shownAdmin(at.url), sort, filter);
}

/** The last line has keys, which nothing reads here. */
function plainFrame(state: TopState, terminal: Terminal): string {
  const size = terminal.screen?.()?.size() ?? PLAIN_SIZE;
  const lines = renderTop(state, { columns: size.columns, rows: Math.max(size.rows, PLAIN_SIZE.rows) }).slice(0, -1);
  return `${lines.map(plainLine).join('\n').trimEnd()}\n`;
}

async function printFrames(command: TopCommand, terminal: Terminal, asker: Asker): Promise<number> {
  const clock = systemClock();
  const stopped = Promise.withResolvers<void>();
  const forget = terminal.onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], () => stopped.resolve());
  let isStopped = false;
  void stopped.promise.then(() => (isStopped = true));
  let before: Sample | null = null;
  while (!isStopped) {
    try {
      const now = await lookAt(asker, clock);
      terminal.out(`${plainFrame({ ...stateOf(command), figures: figuresOf(now, before, MOST_ENDED) }, terminal)}\n`);
      before = now;
    } catch (error) {
      terminal.err(`zone-egress: no answer, it is asked again: ${withoutControls(reasonOf(error))}\n`);
    }
    const pause = Promise.withResolvers<void>();
    const timer = clock.after(command.intervalMs, pause.resolve);
    await Promise.race([pause.promise, stopped.promise]);
    timer.cancel();
  }
  forget();
  return 0;
}
