/** The ports that tests take to use them later: no two processes are given the same. */
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import t from 'tap';
import { freePort } from './free-ports.ts';

const HELPER = new URL('free-ports.ts', import.meta.url).href;
/** Of each process; it ends when its input does, so that all of them live at once. */
const TAKES = 40;
const PROGRAM = `
const { freePort } = await import(process.argv[1]);
const ports = [];
for (let i = 0; i < ${TAKES}; i++) ports.push(await freePort());
console.log(JSON.stringify(ports));
process.stdin.resume();
`;

const run = promisify(execFile);

t.test('processes that live at once are given different ports, and each of them listens on its own', async (t) => {
  const taken = Array.from({ length: 4 }, () => {
    const running = run(process.execPath, ['--input-type=module', '-e', PROGRAM, HELPER]);
    const ports = new Promise<number[]>((resolve, reject) => {
      let said = '';
      running.child.stdout?.on('data', (text: string) => {
        said += text;
        if (said.endsWith('\n')) resolve(JSON.parse(said) as number[]);
      });
      running.catch(reject);
    });
    return { running, ports };
  });
  const own = await Promise.all(Array.from({ length: TAKES }, freePort));
  const all = [...own, ...(await Promise.all(taken.map(({ ports }) => ports))).flat()];
  for (const { running } of taken) running.child.stdin?.end();
  await Promise.all(taken.map(({ running }) => running));
  t.equal(all.length, 5 * TAKES);
  t.equal(new Set(all).size, all.length, all.join(' '));
});

t.test('one that something listens on, on whatever address, is passed over', async (t) => {
  const first = await freePort();
  for (const [i, host] of ['127.0.0.1', '0.0.0.0', '127.0.0.2'].entries()) {
    const server = createServer();
    // Where another process has it, it is not free either.
    await new Promise<void>((resolve) => server.on('error', () => resolve()).listen(first + 1 + i, host, resolve));
    t.teardown(() => server.close());
  }
  const next = await freePort();
  t.ok(next >= first + 4, `${next} after ${first}`);
});

t.test('a used up slice begins again, and a process ends although it has a slice', async (t) => {
  const program = `
const { freePort } = await import(process.argv[1]);
const ports = [];
for (let i = 0; i < 200; i++) ports.push(await freePort());
console.log(JSON.stringify(ports));
`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program, HELPER]);
  const ports = JSON.parse(stdout) as number[];
  const again = ports.indexOf(ports[0]!, 1);
  t.ok(again > TAKES, `after ${again} ports`);
  t.same(ports.slice(0, again), [...new Set(ports)]);
});
