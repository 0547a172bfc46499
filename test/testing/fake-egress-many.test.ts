// Many fakes in one process, side by side and one after the other; and a fake that is never closed.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { createFakeEgress } from '../../src/testing/public.ts';
import { activeResources, ask, leftovers } from '../egress/zone.ts';

const ENTRY = new URL('../../src/testing/public.ts', import.meta.url).href;
const MIB = 1024 * 1024;

async function one(): Promise<void> {
  await using egress = await createFakeEgress({
    meshes: { default: { services: { backend: {} } } },
    external: { httpbin: { tls: true } },
    permissions: [{ from: 'web', to: 'httpbin' }],
  });
  const web = egress.client({ service: 'web' });
  for (const name of ['httpbin', 'backend']) {
    const socket = await web.connect(name);
    if ((await ask(socket, name)) !== name) throw new Error(`no echo from ${name}`);
    socket.end();
    await egress.expectSession({ destination: name, from: 'web', reason: 'closed' });
  }
  await egress.verify();
}

t.test('200 fakes in one process, 20 at a time: each sees its own sessions only, and nothing is left', async (t) => {
  // The first fakes have built up what a process builds up once.
  await Promise.all(Array.from({ length: 20 }, one));
  const before = activeResources();
  const heap = await settledHeap();
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 20 }, one));
  t.strictSame(await leftovers(before), []);
  t.equal(rememberers(), 0);
  const grown = ((await settledHeap()) - heap) / MIB;
  t.ok(grown < 5, `the heap grew by ${grown.toFixed(1)} MiB`);
  t.comment(`the heap grew by ${grown.toFixed(1)} MiB over 200 fakes`);
});

/** Runs a script in a process of its own; returns its output. */
async function script(
  t: { teardown(fn: () => void): void },
  body: string,
): Promise<{ stdout: string; stderr: string; code: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-forgotten-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'main.mjs');
  writeFileSync(file, `import { createFakeEgress } from '${ENTRY}';\n${body}`);
  const env = { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' };
  return promisify(execFile)(process.execPath, [file], { env, timeout: 600_000 }).then(
    (result) => ({ ...result, code: 0 }),
    (error: unknown) => error as { stdout: string; stderr: string; code: number },
  );
}

const DECLARE = `{ external: { httpbin: {} }, permissions: [{ from: 'web', to: 'httpbin' }] }`;

t.test('a forgotten close does not keep the process, and says so at its end', async (t) => {
  const { stdout, stderr, code } = await script(
    t,
    `const egress = await createFakeEgress(${DECLARE});\nconsole.log(egress.port > 0);\n`,
  );
  t.equal(code, 0);
  t.equal(stdout, 'true\n');
  t.match(stderr, /^zone-egress\/testing: a fake egress was not closed, made at file:.*main\.mjs:2:/);
});

t.test('a forgotten socket keeps the process for some seconds only, and is reported by name', async (t) => {
  const { stderr, code } = await script(
    t,
    `const egress = await createFakeEgress(${DECLARE});\nawait egress.client({ service: 'web' }).connect('httpbin');\n`,
  );
  t.equal(code, 0);
  t.match(stderr, /open: socket of web -> httpbin\{mesh=default\}/);
});

t.test('one that was closed says nothing', async (t) => {
  const { stderr } = await script(t, `await using egress = await createFakeEgress(${DECLARE});\n`);
  t.equal(stderr, '');
});

t.test('a signal closes it; one that was given before keeps it from starting', async (t) => {
  const before = activeResources();
  const stop = new AbortController();
  const egress = await createFakeEgress({ signal: stop.signal });
  const closed = new Promise<void>((resolve) => egress.events.once('close', resolve));
  stop.abort();
  await closed;
  await t.rejects(createFakeEgress({ signal: AbortSignal.abort(new Error('not today')) }), { message: 'not today' });
  t.strictSame(await leftovers(before), []);
});

/**
 * Returns bytes. One collection leaves what the last turn still holds, and what waits for a
 * finalizer: alone it showed up to 8 MiB that the next turn gave back.
 */
async function settledHeap(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    gc();
    await nextTurn();
  }
  gc();
  return process.memoryUsage().heapUsed;
}

/** Makes a full collection, with any flags of the runner. */
function gc(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Counts the listeners of fakes at the end of the process. */
function rememberers(): number {
  return process.listeners('exit').filter(({ name }) => name === 'tell').length;
}
