import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ANY_UID, MEMORY_MB, runContainer } from './container.ts';
import { ask } from './engine.ts';
import type { Engine } from './engine.ts';

export interface Checked {
  readonly image: string;
  readonly variant: 'slim' | 'minimal';
  readonly root: string;
}

const MOST_BYTES = 200e6;

/** Lists every fault of the image, printed by its own Node. */
const LOOK = `
const { existsSync, readFileSync, readdirSync } = require('node:fs');
const wrong = [];
for (const name of ['/usr/local/bin/npm', '/usr/local/bin/npx', '/usr/local/bin/yarn', '/usr/local/lib/node_modules'])
  if (existsSync(name)) wrong.push(name + ' is there');
for (const entry of readdirSync('/opt/zone-egress', { recursive: true, withFileTypes: true }))
  if (entry.isDirectory() && readdirSync(entry.parentPath + '/' + entry.name).length === 0) wrong.push(entry.name + ' is empty');
const { components } = JSON.parse(readFileSync('/opt/zone-egress/sbom.cdx.json', 'utf8'));
for (const name of ['node', 'yaml', 'libc6', 'libstdc++6'])
  if (!components.some((each) => each.name === name)) wrong.push(name + ' is not in the SBOM');
if (readFileSync('/opt/zone-egress/LICENSES-THIRD-PARTY', 'utf8').length < 100000) wrong.push('licences are missing');
console.log(JSON.stringify(wrong));
`;

/** Prints a line for each check, and returns the number of failures. */
export async function checkImage(engine: Engine, checked: Checked): Promise<number> {
  const { image, root } = checked;
  let failed = 0;
  const holds = (what: string, found: unknown, wanted: unknown): void => {
    const same = JSON.stringify(found) === JSON.stringify(wanted);
    if (!same) failed++;
    console.log(
      `image ${image}: ${what}: ${same ? 'ok' : `failed: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`}`,
    );
  };
  const zone = mkdtempSync(join(tmpdir(), 'zone-egress-image-'));
  try {
    makeZone(root, zone);
    look(engine, checked, holds);
    await servesAndDrains(engine, { image, zone, variant: checked.variant }, holds);
    await cutsAtTheEnd(engine, { image, zone }, holds);
    await readinessElsewhere(engine, { image, zone, variant: checked.variant }, holds);
  } finally {
    rmSync(zone, { recursive: true, force: true });
  }
  return failed;
}

type Holds = (what: string, found: unknown, wanted: unknown) => void;

/**
 * Its keys are for their owner only. This copy is readable for all, because the container runs as
 * another user.
 */
function makeZone(root: string, zone: string): void {
  const made = join(zone, 'made');
  execFileSync(process.execPath, [join(root, 'src', 'main.ts'), 'generate', 'zone', made], { stdio: 'ignore' });
  cpSync(made, zone, { recursive: true });
  chmodSync(zone, 0o755);
  for (const entry of readdirSync(zone, { recursive: true, withFileTypes: true }))
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
}

function look(engine: Engine, { image, variant }: Checked, holds: Holds): void {
  const [about] = JSON.parse(ask(engine, ['inspect', '--type', 'image', image])) as [
    {
      Size: number;
      Config: { User: string; Entrypoint: readonly string[]; Labels: Readonly<Record<string, string>>; Env: readonly string[] };
    },
  ];
  const { User: user, Entrypoint: entrypoint, Labels: labels } = about.Config;
  const megabytes = Math.round(about.Size / 1e6);
  holds(`its size is ${megabytes} MB, at most ${MOST_BYTES / 1e6}`, about.Size <= MOST_BYTES, true);
  holds('user', user, '5678:5678');
  holds('entry', entrypoint, ['/usr/local/bin/zone-egress']);
  const wanted = ['title', 'description', 'licenses', 'version', 'revision'];
  holds(
    'labels',
    wanted.filter((name) => labels[`org.opencontainers.image.${name}`] === undefined),
    [],
  );
  const run = (entry: string, ...args: readonly string[]): string =>
    ask(engine, ['run', '--rm', ...(engine.run ?? []), '--network=none', `--entrypoint=${entry}`, image, ...args]);
  holds('no npm, no empty folder, an SBOM, licences', run('/usr/local/bin/node', '-e', LOOK), '[]');
  for (const name of ['zone-egress', 'kuma-dp']) holds(`${name} is on PATH`, /^zone-egress \d/.test(run(name, 'version')), true);
  holds('a shell is there', hasShell(run), variant === 'slim');
}

function hasShell(run: (entry: string, ...args: readonly string[]) => string): boolean {
  try {
    return run('/bin/sh', '-c', 'echo yes') === 'yes';
  } catch {
    return false;
  }
}

/** Prints the user and the rights of process 1, as process 1 sees them. */
const PROCESS_1 = `const text = require('node:fs').readFileSync('/proc/1/status', 'utf8');
const field = (name) => new RegExp('^' + name + ':\\\\s*(\\\\S+)', 'm').exec(text)[1];
console.log([field('Uid'), field('CapEff'), field('NoNewPrivs'), process.constrainedMemory() / 1048576].join(' '))`;
const WRITES = `try { require('node:fs').writeFileSync('/opt/zone-egress/x', ''); console.log('written'); } catch (error) { console.log(error.code); }`;

interface Zone {
  readonly image: string;
  readonly zone: string;
}

async function servesAndDrains(engine: Engine, of: Zone & Pick<Checked, 'variant'>, holds: Holds): Promise<void> {
  await using container = runContainer(engine, {
    ...of,
    args: ['run', '--resources', '/etc/zone-egress', '--drain-time', '20s'],
  });
  holds('it becomes ready', await container.peer('ready 200'), '200 LIVE');
  const node = (code: string): string => container.exec('/usr/local/bin/node', '-e', code);
  holds('process 1: its user, its rights, its memory', node(PROCESS_1), `${ANY_UID} 0000000000000000 1 ${MEMORY_MB}`);
  holds(
    'process 1 is node',
    node("console.log(require('node:fs').readFileSync('/proc/1/cmdline', 'utf8').split('\\0')[0])"),
    '/usr/local/bin/node',
  );
  holds('its root cannot be written', node(WRITES), 'EROFS');
  holds('a session passes', [await container.peer('open frontend'), await container.peer('echo hello')], ['open', 'hello']);
  if (of.variant === 'slim') holds('its health', health(container), 'HTTP/1.1 200 OK');
  const stopped = container.terminate();
  holds('told to stop it is not ready', await container.peer('ready 503'), '503 TERMINATING');
  if (of.variant === 'slim') holds('its health then', health(container), 'HTTP/1.1 503 Service Unavailable');
  holds('its session goes on', [await container.peer('echo again'), await container.peer('end')], ['again', 'ended']);
  const { code, seconds } = await stopped;
  holds(`it ends when its session has ended (${seconds.toFixed(1)} s after the signal), with the code`, code, 0);
  const last = container.logs().split('\n').at(-1) ?? '';
  console.log(`image ${of.image}: its last line: ${last}`);
}

function health(container: { exec(...command: readonly string[]): string }): string {
  try {
    return container.exec('/opt/zone-egress/bin/health');
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout).trim();
  }
}

async function cutsAtTheEnd(engine: Engine, of: Zone, holds: Holds): Promise<void> {
  await using container = runContainer(engine, { ...of, args: ['run', '--resources', '/etc/zone-egress', '--drain-time', '1s'] });
  await container.peer('ready 200');
  holds(
    'a session that does not end',
    [await container.peer('open frontend'), await container.peer('echo hello')],
    ['open', 'hello'],
  );
  const { code, seconds } = await container.stop(10);
  holds(`is cut after the drain time (${seconds.toFixed(1)} s after the signal), with the code`, code, 1);
  holds('its client notices', await container.peer('cut'), 'cut');
}

/** The health check follows the readiness port, by its flag and by its variable. */
async function readinessElsewhere(engine: Engine, of: Zone & Pick<Checked, 'variant'>, holds: Holds): Promise<void> {
  if (of.variant !== 'slim') return;
  const run = ['run', '--resources', '/etc/zone-egress'];
  for (const { args, env } of [
    { args: [...run, '--readiness-port', '9903'], env: {} },
    { args: run, env: { KUMA_READINESS_PORT: '9903' } },
  ]) {
    await using container = runContainer(engine, { ...of, args, env });
    for (let tries = 0; tries < 300 && health(container) !== 'HTTP/1.1 200 OK'; tries++)
      await new Promise((resolve) => setTimeout(resolve, 200));
    holds(
      `its health on another port (${env.KUMA_READINESS_PORT === undefined ? 'flag' : 'variable'})`,
      health(container),
      'HTTP/1.1 200 OK',
    );
    await container.stop(10);
  }
}
