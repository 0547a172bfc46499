import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { ask, start } from './engine.ts';
import type { Engine } from './engine.ts';

/** A user id that the image does not have: a cluster may assign any. */
export const ANY_UID = 123_456;
export const MEMORY_MB = 512;

/**
 * As strict as Kubernetes’ restricted profile, on a read-only root, without a network of its own.
 */
const STRICT: readonly string[] = [
  '--read-only',
  '--cap-drop=all',
  '--security-opt=no-new-privileges',
  `--user=${ANY_UID}:${ANY_UID}`,
];

export interface Container extends AsyncDisposable {
  /** Runs a command of the image in this container and returns its output. */
  exec(...command: readonly string[]): string;
  /** Asks the peer in the same network; returns one line. */
  peer(line: string): Promise<string>;
  /** Sends SIGTERM and waits for the end. */
  terminate(): Promise<End>;
  /** Does the same as an operator: after `graceSeconds` it is killed. */
  stop(graceSeconds: number): Promise<End>;
  logs(): string;
}

export interface End {
  readonly code: number;
  /** Since the signal. */
  readonly seconds: number;
}

export interface ContainerOptions {
  readonly image: string;
  /** The folder that `generate zone` wrote. */
  readonly zone: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

let count = 0;

export function runContainer(engine: Engine, { image, zone, args, env = {} }: ContainerOptions): Container {
  const name = `zone-egress-check-${process.pid}-${++count}`;
  const words = engine.run ?? [];
  const variables = Object.entries(env).map(([key, value]) => `--env=${key}=${value}`);
  const mount = `${zone}/resources:/etc/zone-egress:ro`;
  const memory = [`--memory=${MEMORY_MB}m`, `--memory-swap=${MEMORY_MB}m`];
  ask(engine, [
    'run',
    '-d',
    '--name',
    name,
    ...words,
    ...STRICT,
    ...memory,
    '--network=none',
    '-v',
    mount,
    ...variables,
    image,
    ...args,
  ]);
  const peer = start(engine, [
    ...['run', '-i', '--rm', '--name', `${name}-peer`, ...words, ...STRICT, `--network=container:${name}`],
    ...['-v', `${zone}:/zone:ro`, '-v', `${import.meta.dirname}/peer.mjs:/peer.mjs:ro`],
    ...['--entrypoint=/usr/local/bin/node', image, '/peer.mjs'],
  ]);
  if (peer.stdin === null || peer.stdout === null) throw new Error('the peer has no streams');
  const { stdin } = peer;
  const answers = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
  const end = async (command: readonly string[]): Promise<End> => {
    const since = performance.now();
    const ending = start(engine, command);
    ending.stdout?.resume();
    await once(ending, 'exit');
    const seconds = (performance.now() - since) / 1000;
    return { code: Number(ask(engine, ['inspect', '--format', '{{.State.ExitCode}}', name])), seconds };
  };
  return {
    exec: (...command) => ask(engine, ['exec', name, ...command]),
    async peer(line) {
      stdin.write(`${line}\n`);
      const answer: IteratorResult<string, unknown> = await answers.next();
      if (answer.done === true) throw new Error(`the peer ended before it answered ${line}`);
      return answer.value;
    },
    async terminate() {
      // Podman does not let other commands inspect a container that `stop` waits for.
      ask(engine, ['kill', '--signal', 'TERM', name]);
      return end(['wait', name]);
    },
    stop: (graceSeconds) => end(['stop', '--time', String(graceSeconds), name]),
    logs: () => ask(engine, ['logs', name]),
    async [Symbol.asyncDispose]() {
      stdin.end();
      if (peer.exitCode === null) await once(peer, 'exit');
      ask(engine, ['rm', '-f', name]);
    },
  };
}
