// node.mjs FILE ARGS...: sets up what is missing, then runs FILE on the pinned Node with the same streams, signals and exit code.
// --dev as the first argument also installs what tests and checks need.
import { spawn } from 'node:child_process';
import { install, nodeBinary, root } from './setup.mjs';

const args = process.argv.slice(2);
const dev = args[0] === '--dev';
if (dev) args.shift();
const node = nodeBinary();
install({ dev });

// As the image has it: see docs/decisions/garbage.md.
const env = { MALLOC_ARENA_MAX: '2', ...process.env };
const flags = dev ? [] : ['--max-semi-space-size=4'];
const child = spawn(node, [...flags, ...args], { cwd: dev ? root : process.cwd(), stdio: 'inherit', env });
// A terminal sends Ctrl-C to the whole group and npm passes it on once more: the child takes signals close together as one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
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
