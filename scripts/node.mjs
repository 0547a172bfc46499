// node.mjs FILE ARGS...: installs what is missing, then runs FILE on the pinned Node with the same
// streams, signals and exit code. --dev as the first argument also installs what tests and checks
// need.
import { spawn } from 'node:child_process';
import { STARTER_IS_GONE, followStarters } from '../src/starters.mjs';
import { install, nodeBinary, root } from './setup.mjs';

let child;
let stopping = false;
followStarters(() => {
  if (child === undefined) process.exit(1);
  if (stopping) return;
  child.kill('SIGTERM');
  process.stderr.write(STARTER_IS_GONE);
});
// Its reader may have gone too.
process.stderr.on('error', () => {});

const args = process.argv.slice(2);
const dev = args[0] === '--dev';
if (dev) args.shift();
const node = nodeBinary();
install({ dev, tap: false });

// The value of the image: see docs/decisions/garbage.md.
const env = { MALLOC_ARENA_MAX: '2', ...process.env };
// When this process is killed and cannot forward a signal, the egress notices.
if (/\bsrc[\\/]main\.ts$/.test(args[0] ?? '')) env.ZONE_EGRESS_WRAPPER = String(process.pid);
const flags = dev ? [] : ['--max-semi-space-size=4'];
child = spawn(node, [...flags, ...args], { cwd: dev ? root : process.cwd(), stdio: 'inherit', env });
// A terminal sends Ctrl-C to the whole group and npm forwards it once more: the child counts
// signals close together as one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'])
  process.on(signal, () => {
    if (signal === 'SIGINT' || signal === 'SIGTERM') stopping = true;
    child.kill(signal);
  });
child.on('error', (error) => {
  console.error(`zone-egress: ${node}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else process.exit(code ?? 1);
});
