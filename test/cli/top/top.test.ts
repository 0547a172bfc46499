// `zone-egress top` of a real egress, and on a real terminal (tmux).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { parseCommand } from '../../../src/cli/parse.ts';
import type { Screen, Signal, Terminal } from '../../../src/cli/terminal.ts';
import { withTmux } from '../../data.ts';
import { ask, gone, startZone } from '../../egress/zone.ts';
import type { Zone } from '../../egress/zone.ts';
import { until } from '../../egress/until.ts';
import { MAIN } from '../../egress/zone-process.ts';
import { startRaw } from '../../raw-server.ts';
import { runCommand, startCommand } from '../running.ts';

/** Opens a session. */
async function withTraffic(zone: Zone) {
  const open = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  await ask(open, 'ping');
  return open;
}

async function refuse(zone: Zone): Promise<void> {
  const before = zone.records.length;
  const denied = await zone.connect('api{mesh=default}', zone.mesh.client('batch')).catch(() => null);
  if (denied !== null) await gone(denied);
  await until('the refusal', () => zone.records.length > before);
}

function adminOf({ egress }: Zone): readonly string[] {
  return ['--admin', `http://127.0.0.1:${egress.adminPort}`, '--interval', '100ms'];
}

t.test('--once prints one frame, as text and as JSON, and says where nothing answers', async (t) => {
  await using zone = await startZone(t);
  await withTraffic(zone);
  const once = ['top', ...adminOf(zone), '--once'];
  // A refusal is shown for a minute, and a busy machine may need more: then there is another.
  const printed = async (what: RegExp, ...more: readonly string[]): Promise<string> => {
    let out = '';
    await until(String(what), async () => {
      await refuse(zone);
      const ran = await runCommand(...once, ...more);
      t.same([ran.code, ran.err], [0, '']);
      out = ran.out;
      return what.test(out);
    });
    return out;
  };
  const out = await printed(/^[> ] default\/batch +default\/api +0 +0 .* +denied$/m);
  t.match(out, /^zone-egress top {2}http:.* {2}LIVE {2}/);
  t.match(out, /^[> ] default\/frontend +default\/legacy +1 +0 +/m);
  t.notMatch(out, /\x1b/);
  const json = JSON.parse(await printed(/"client": "spiffe:\/\/default\/batch"/, '-o', 'json')) as unknown;
  t.match(json, {
    ready: 'LIVE',
    version: zone.egress.snapshot().version,
    sessions: { open: 1 },
    controlPlane: null,
    problems: { errors: 0 },
  });
  t.match(JSON.stringify(json), '"client":"spiffe://default/batch","mesh":"default","destination":"api"');
  t.match((await runCommand(...once, '--filter', 'frontend')).out, /^> default\/frontend/m);
});

t.test('--once says where something else answers', async (t) => {
  const other = `http://127.0.0.1:${await startRaw(t, (socket) => socket.once('data', () => socket.end('HTTP/1.1 404 X\r\nconnection: close\r\n\r\nno\x1b[2J')))}`;
  const none = await runCommand('top', '--admin', other, '--once', '--interval', '100ms');
  t.equal(none.code, 69);
  t.match(none.err, /^zone-egress: ask http:.*: \/\w+.*: 404: no/);
  t.notMatch(none.err, /\x1b/);
});

t.test('what cannot be asked for is refused with what is allowed', async (t) => {
  for (const [args, says] of [
    [[], 'top needs --admin URL'],
    [['--admin', 'http://x', '-o', 'json'], 'top prints json only with --once'],
    [['--admin', 'http://x', '--interval', '1ms'], 'allowed is 100ms or more'],
    [['--admin', 'http://x', '--sort', 'age'], '--sort "age": allowed are rate, open, ended, refused, client and destination'],
    [['--admin', 'http://x', '--admin-token-file', '/nowhere/token'], '/nowhere/token: '],
  ] as const) {
    const { code, err } = await runCommand('top', ...args);
    t.not(code, 0);
    t.match(err, says);
  }
});

t.test('without a screen it prints a frame at each look, until it is interrupted', async (t) => {
  await using zone = await startZone(t);
  await withTraffic(zone);
  const running = startCommand('top', ...adminOf(zone));
  await until('two frames', () => running.printed.out.split('zone-egress top').length > 2);
  running.signal('SIGTERM');
  t.equal(await running.code, 0);
  t.notMatch(running.printed.out, /\x1b/);
  t.match(running.printed.out, /default\/frontend +default\/legacy/);
});

/** A screen that the test types on and reads. */
function screened() {
  const written: string[] = [];
  const signals = new Set<(signal: Signal) => void>();
  const resizes = new Set<() => void>();
  let errors = '';
  let size = { columns: 80, rows: 24 };
  let type: ((input: string) => void) | null = null;
  let gone = (): void => {};
  let fail: (error: unknown) => void = () => {};
  const screen: Screen = {
    size: () => size,
    onResize(listener) {
      resizes.add(listener);
      return () => resizes.delete(listener);
    },
    onKeys(listener, ended) {
      [type, gone] = [listener, ended];
      return () => void (type = null);
    },
  };
  const terminal: Terminal = {
    out: (text) => void written.push(text),
    err: (text) => void (errors += text),
    cwd: () => '/',
    cpus: () => 1,
    descriptorLimit: () => null,
    onSignal(_names, listener) {
      signals.add(listener);
      return () => signals.delete(listener);
    },
    onFault: (listener) => void (fail = listener),
    screen: () => screen,
  };
  return {
    start(...args: readonly string[]): Promise<number> {
      const command = parseCommand(args, { TERM: 'xterm', NO_COLOR: '1' });
      if (command.kind !== 'command') throw new Error(JSON.stringify(command));
      return command.execute(terminal);
    },
    written,
    type: (input: string) => type?.(input),
    /** The lines of the last frame. */
    lines: (): readonly string[] => (written.at(-1) ?? '').replace(/\x1b\[[HKJ]/g, '').split('\r\n'),
    shows(what: RegExp): Promise<void> {
      return until(String(what), () => what.test((written.at(-1) ?? '').replace(/\x1b\[[HKJ]/g, ''))).catch((error: unknown) => {
        throw new Error(`the screen has: ${written.at(-1)}`, { cause: error });
      });
    },
    resize(columns: number, rows: number): void {
      size = { columns, rows };
      for (const listener of resizes) listener();
    },
    signal: (name: Signal) => signals.forEach((listener) => listener(name)),
    gone: () => gone(),
    fail: (error: unknown) => fail(error),
    errors: () => errors,
    isReleased: () =>
      type === null && resizes.size === 0 && signals.size === 0 && written.at(-1) === '\x1b[0m\x1b[?25h\x1b[?1049l',
  };
}

t.test('on a screen keys select, filter, explain and end, and the screen is given back', async (t) => {
  await using zone = await startZone(t);
  const open = await withTraffic(zone);
  const screen = screened();
  const code = screen.start('top', ...adminOf(zone));
  await screen.shows(/default\/frontend/);
  t.equal(screen.written[0], '\x1b[?1049h\x1b[?25l');
  screen.type('/frontend\r');
  await screen.shows(/> default\/frontend +default\/legacy/);
  screen.type('e');
  await screen.shows(/TrafficPermission default\/frontend-out/);
  screen.type('q');
  await screen.shows(/sort rate/);
  screen.type('x');
  await screen.shows(/end the open sessions of default\/frontend to legacy\? y or n/);
  screen.type('y');
  await screen.shows(/this admin listener does not allow changes: changes are not allowed/);
  t.equal(zone.egress.sessions(), 1);
  screen.resize(200, 60);
  t.equal(screen.lines().length, 60);
  t.match(screen.lines().join('\n'), /ENDPOINT/);
  screen.type('q');
  t.equal(await code, 0);
  t.ok(screen.isReleased());
  open.destroy();
});

t.test('over the socket of the admin pages it ends the sessions of the selected line, and no others', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-top-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, 'admin.sock');
  await using zone = await startZone(t, { admin: { port: 0, socket } });
  const open = await withTraffic(zone);
  const other = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
  const screen = screened();
  const code = screen.start('top', '--admin', socket, '--interval', '100ms', '--filter', 'legacy');
  await screen.shows(/> default\/frontend +default\/legacy +1 /);
  t.match(screen.lines()[0], socket.slice(0, 40));
  screen.type('xy');
  await gone(open);
  await screen.shows(/1 session was ended/);
  await zone.record(({ reason }) => reason === 'ended-by-operator');
  t.notOk(other.destroyed);
  screen.type('q');
  t.equal(await code, 0);
});

t.test('an egress that goes away is told, and asked again', async (t) => {
  const zone = await startZone(t);
  const screen = screened();
  const code = screen.start('top', ...adminOf(zone));
  await screen.shows(/no session lately/);
  await zone.egress.close();
  await screen.shows(/no answer since .*, it is asked again: .*ECONNREFUSED/);
  t.match(screen.lines()[0], /LIVE/, 'the last figures stay');
  screen.signal('SIGINT');
  t.equal(await code, 0);
  t.ok(screen.isReleased());
  await zone[Symbol.asyncDispose]();
});

t.test('a signal, a terminal that is gone and an error give the screen back', async (t) => {
  await using zone = await startZone(t);
  for (const [end, exit] of [
    [(screen: ReturnType<typeof screened>) => screen.signal('SIGTERM'), 0],
    [(screen: ReturnType<typeof screened>) => screen.type('\x03'), 0],
    [(screen: ReturnType<typeof screened>) => screen.gone(), 0],
    [(screen: ReturnType<typeof screened>) => screen.fail(new Error('boom')), 70],
  ] as const) {
    const screen = screened();
    const code = screen.start('top', ...adminOf(zone));
    await screen.shows(/no session lately/);
    end(screen);
    t.equal(await code, exit);
    t.ok(screen.isReleased());
    t.match(screen.errors(), exit === 0 ? /^$/ : /internal error, please report it: Error: boom/);
  }
});

/** A tmux of its own, with one window that runs a command after another. */
function startTmux(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-tmux-'));
  const socket = join(folder, 's');
  const tmux = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync('tmux', ['-f', '/dev/null', '-S', socket, ...args], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`tmux ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  t.teardown(() => {
    spawnSync('tmux', ['-S', socket, 'kill-server']);
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    /** Runs the command in a shell of this size; `ended N` follows it. */
    run(command: string, columns: number, rows: number): void {
      const script = join(folder, 'run.sh');
      writeFileSync(
        script,
        `echo before\n${command}\necho "ended $?"\nstty -a | tr ';' '\\n' | grep -o -e '-\\?icanon' \nexec cat\n`,
      );
      tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), 'sh', script);
    },
    screen: (): string => tmux('capture-pane', '-p'),
    coloured: (): string => tmux('capture-pane', '-p', '-e'),
    keys: (...keys: readonly string[]) => void tmux('send-keys', ...keys),
    resize: (columns: number, rows: number) => void tmux('resize-window', '-x', String(columns), '-y', String(rows)),
    end: () => void tmux('kill-session'),
  };
}

t.test('in tmux it fills 80x24 and 200x60, with colours and without, and leaves what was there', withTmux, async (t) => {
  await using zone = await startZone(t);
  await withTraffic(zone);
  const tmux = startTmux(t);
  const command = `env -u NO_COLOR '${process.execPath}' '${MAIN}' top ${adminOf(zone).join(' ')}`;
  tmux.run(command, 80, 24);
  await until('the list', () => /default\/frontend +default\/legacy/.test(tmux.screen()));
  t.match(tmux.screen(), /sort rate {2}q leave/);
  t.notMatch(tmux.screen(), /before/, 'it has a screen of its own');
  t.match(tmux.coloured(), /\x1b\[[\d;]*7m/, 'the selected line stands out');
  tmux.resize(200, 60);
  await until('the wide list', () => /ENDPOINT/.test(tmux.screen()));
  t.equal(tmux.screen().trimEnd().split('\n').length, 60);
  tmux.keys('q');
  await until('its end', () => /ended 0/.test(tmux.screen()));
  t.match(tmux.screen(), /before\n/, 'what was there is back');
  await until('the modes of the terminal', () => /(^|\n)icanon/.test(tmux.screen()));
  tmux.end();
  tmux.run(command.replace('-u NO_COLOR', 'NO_COLOR=1'), 80, 24);
  await until('the list', () => /default\/frontend +default\/legacy/.test(tmux.screen()));
  t.notMatch(tmux.coloured(), /\x1b\[[0-9;]*m/);
  tmux.keys('C-c');
  await until('its end', () => /ended 0/.test(tmux.screen()));
  tmux.end();
  tmux.run(`TERM=dumb ${command} --once`, 80, 24);
  await until('its end', () => /ended 0/.test(tmux.screen()));
  t.match(tmux.screen(), /default\/frontend +default\/legacy/);
});
