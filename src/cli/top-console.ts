import { systemClock } from '../base/clock.ts';
import { parsedJson } from './ask-admin.ts';
import type { AdminAnswer } from './ask-admin.ts';
import type { TopCommand } from './commands/top.ts';
import { lookAt, MOST_ENDED, reasonOf } from './look-at-egress.ts';
import type { Asker } from './look-at-egress.ts';
import type { Screen, Terminal } from './terminal.ts';
import { figuresOf } from './top/figures.ts';
import type { Flow } from './top/figures.ts';
import { frame, SCREEN_IN, SCREEN_OUT } from './top/paint.ts';
import { renderTop } from './top/render.ts';
import type { Sample } from './top/sample.ts';
import { keysIn, react } from './top/top-state.ts';
import type { TopOrder, TopState } from './top/top-state.ts';

const EXIT_FAULT = 70;

interface ConsoleParts {
  readonly terminal: Terminal;
  readonly screen: Screen;
  readonly asker: Asker;
  readonly state: TopState;
}

/** The console on a screen. It gives the screen back whatever ends it. */
export class Console {
  readonly #command: TopCommand;
  readonly #terminal: Terminal;
  readonly #screen: Screen;
  readonly #asker: Asker;
  readonly #clock = systemClock();
  readonly #ended = Promise.withResolvers<number>();
  #state: TopState;
  #before: Sample | null = null;
  #isLooking = false;

  constructor(command: TopCommand, { terminal, screen, asker, state }: ConsoleParts) {
    this.#command = command;
    this.#terminal = terminal;
    this.#screen = screen;
    this.#asker = asker;
    this.#state = state;
  }

  async run(): Promise<number> {
    const { onSignal, onFault, out, err } = this.#terminal;
    let fault = '';
    const stops = [
      onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], () => this.#ended.resolve(0)),
      this.#screen.onResize(() => this.#draw()),
      this.#screen.onKeys(
        (input) => this.#onKeys(input),
        () => this.#ended.resolve(0),
      ),
    ];
    onFault((error) => {
      fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#ended.resolve(EXIT_FAULT);
    });
    out(SCREEN_IN);
    this.#draw();
    const timer = this.#clock.every(this.#command.intervalMs, () => void this.#look());
    void this.#look();
    const code = await this.#ended.promise;
    timer.cancel();
    for (const stop of stops) stop();
    out(SCREEN_OUT);
    if (fault !== '') err(`zone-egress: internal error, please report it: ${fault}\n`);
    return code;
  }

  #set(change: Partial<TopState>): void {
    this.#state = { ...this.#state, ...change };
    this.#draw();
  }

  #draw(): void {
    const lines = renderTop(this.#state, this.#screen.size());
    this.#terminal.out(frame(lines, this.#command.colours));
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const now = await lookAt(this.#asker, this.#clock);
      this.#set({ figures: figuresOf(now, this.#before, MOST_ENDED), lost: null });
      this.#before = now;
    } catch (error) {
      const since = this.#state.lost?.since ?? new Date(this.#clock.wall()).toISOString();
      this.#set({ lost: { why: reasonOf(error), since } });
    } finally {
      this.#isLooking = false;
    }
  }

  #onKeys(input: string): void {
    for (const key of keysIn(input)) {
      const { state, order } = react(this.#state, key, this.#screen.size());
      this.#state = state;
      if (order !== null) this.#follow(order);
    }
    this.#draw();
  }

  #follow(order: TopOrder): void {
    if (order.kind === 'quit') this.#ended.resolve(0);
    else if (order.kind === 'explain') void this.#explain(order.flow);
    else void this.#end(order.flow);
  }

  async #explain({ refusal, sni, client }: Flow): Promise<void> {
    const from = client.startsWith('spiffe://') ? { from: client } : {};
    const query = new URLSearchParams(refusal === null ? { sni, ...from } : { id: refusal.id });
    query.set('output', 'text');
    const text = await this.#asker(`/explain?${query.toString()}`).then(({ body }) => body, reasonOf);
    this.#set({ mode: 'pane', pane: text.trimEnd().split('\n'), paneAt: 0 });
  }

  async #end({ client, mesh, destination }: Flow): Promise<void> {
    // A star at the end would name other clients too.
    if (client.endsWith('*'))
      return this.#set({ note: 'the name of this client ends with *: its sessions cannot be named alone' });
    const query = new URLSearchParams({ client, mesh, destination });
    const note = await this.#asker(`/sessions/end?${query.toString()}`, 'POST').then(endedNote, reasonOf);
    this.#set({ note });
    void this.#look();
  }
}

const NOT_ALLOWED: ReadonlySet<number> = new Set([401, 403, 404, 405]);

function endedNote({ status, body }: AdminAnswer): string {
  if (NOT_ALLOWED.has(status)) return `this admin listener does not allow changes: ${body.trim()}`;
  const value = parsedJson(body);
  if (status === 200 && typeof value === 'object' && value !== null && 'ended' in value)
    return value.ended === 1 ? '1 session was ended' : `${String(value.ended)} sessions were ended`;
  return `the sessions were not ended: ${status}: ${body.trim()}`;
}
