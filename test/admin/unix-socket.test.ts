// The path of the admin socket: what may be there before, who may open it, and what stays.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { serveHttpOnSocket } from '../../src/admin/http.ts';
import type { HttpSocket } from '../../src/admin/http.ts';
import { textView } from '../../src/admin/views.ts';
import { send } from './post.ts';

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-socket-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function serve(path: string): Promise<HttpSocket> {
  const fault = (error: unknown): void => {
    throw error;
  };
  return serveHttpOnSocket({ path, page: () => textView(200, 'a page'), fault });
}

function answers(path: string): Promise<number> {
  return send({ socketPath: path }, 'GET', '/').then(({ status }) => status);
}

/** Leaves a socket that no process listens on, as a process does that is killed. */
async function leaveStale(path: string): Promise<void> {
  const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

t.test('only its owner may open it, under any umask, and nothing else is left in its folder', async (t) => {
  for (const umask of [0, 0o022, 0o077, 0o177, 0o777]) {
    const folder = folderOf(t);
    const path = join(folder, 'admin.sock');
    const before = process.umask(umask);
    const socket = await serve(path).finally(() => process.umask(before));
    t.equal(lstatSync(path).mode & 0o777, 0o600, umask.toString(8));
    t.same(readdirSync(folder), ['admin.sock']);
    t.equal(await answers(path), 200);
    t.equal(socket.uid, lstatSync(path).uid);
    await socket.close();
    t.same(readdirSync(folder), [], 'it goes with its process');
  }
});

t.test('a socket that a killed process left behind is replaced; a live one is not', async (t) => {
  const path = join(folderOf(t), 's');
  await leaveStale(path);
  t.ok(lstatSync(path).isSocket(), 'it is there');
  const socket = await serve(path);
  t.equal(await answers(path), 200);
  await t.rejects(serve(path), {
    code: 'EADDRINUSE',
    message: `listen on ${path} for the admin socket: another process listens there`,
  });
  t.equal(await answers(path), 200, 'the first one still answers');
  await socket.close();
});

t.test('what is no socket stays as it is', async (t) => {
  const folder = folderOf(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'precious');
  await t.rejects(serve(file), { code: 'EADDRINUSE', message: /something that is no socket has this path/ });
  t.equal(readFileSync(file, 'utf8'), 'precious');
  mkdirSync(join(folder, 'folder'));
  await t.rejects(serve(join(folder, 'folder')), /something that is no socket has this path/);
  t.same(readdirSync(folder).sort(), ['file', 'folder']);
});

t.test('a symbolic link is not followed, wherever it leads', async (t) => {
  const folder = folderOf(t);
  const [live, file] = [join(folder, 'live'), join(folder, 'file')];
  const other = createServer().listen(live);
  await once(other, 'listening');
  t.teardown(() => other.close());
  writeFileSync(file, 'precious');
  for (const target of [live, file, join(folder, 'nothing')]) {
    const link = join(folder, 'link');
    symlinkSync(target, link);
    await t.rejects(serve(link), { message: /it is a symbolic link, which may lead anywhere: remove it$/ }, target);
    t.ok(lstatSync(link).isSymbolicLink());
    rmSync(link);
  }
  t.equal(readFileSync(file, 'utf8'), 'precious');
  t.notOk(existsSync(join(folder, 'nothing')));
});

t.test('a path that cannot be is refused, with the reason', async (t) => {
  const folder = folderOf(t);
  await t.rejects(serve(join(folder, 'no', 's')), { code: 'ENOENT', message: /there is no such folder \(ENOENT\)$/ });
  writeFileSync(join(folder, 'file'), '');
  await t.rejects(serve(join(folder, 'file', 's')), { code: 'ENOTDIR', message: /its folder is none \(ENOTDIR\)$/ });
  await t.rejects(serve(join(folder, 'x'.repeat(200))), {
    code: 'ENAMETOOLONG',
    message: /the path is too long: the system takes 103 bytes$/,
  });
  await t.rejects(serve(join(folder, 'a\0b')), { message: /it is no path/ });
  t.same(readdirSync(folder), ['file']);
});

t.test('a folder that others may write into is doubted, unless what is in it stays with its owner', async (t) => {
  const folder = folderOf(t);
  for (const [mode, doubted] of [
    [0o700, false],
    [0o755, false],
    [0o775, true],
    [0o777, true],
    [0o1777, false],
  ] as const) {
    chmodSync(folder, mode);
    const socket = await serve(join(folder, 's'));
    if (doubted) t.match(socket.doubt, /^other users can write into .*: chmod go-w$/, mode.toString(8));
    else t.equal(socket.doubt, null, mode.toString(8));
    await socket.close();
  }
});

t.test('a socket that was put in its place meanwhile is not removed', async (t) => {
  const folder = folderOf(t);
  const path = join(folder, 's');
  const first = await serve(path);
  rmSync(path);
  const second = await serve(path);
  await first.close();
  t.equal(await answers(path), 200);
  await second.close();
  t.same(readdirSync(folder), []);
});
