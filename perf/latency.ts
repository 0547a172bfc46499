// Question: what does the way through a contender add to a small message? Alone, and beside a
// stream of 200 MB/s through the same process. Contender, far end and pinging client share one CPU,
// because only one of them works at a time; the stream's client has the rest of the machine.
import { spawnSync } from 'node:child_process';
import type { Work } from './bed.ts';
import { go, startGenerator } from './generator.ts';
import { treeOf } from './processes.ts';
import { drive, driving, warmUp } from './question.ts';
import type { Case, Question, Values } from './question.ts';

const SIZE = 512;
const STREAM_BYTES_PER_SECOND = 200e6;

export const latency: Question = {
  name: 'latency',
  asks: 'what does the way through add to a small message?',
  fresh: false,
  metrics: [
    { key: 'p50', label: 'p50 µs', digits: 1, charted: true },
    { key: 'p99', label: 'p99 µs', digits: 1, compared: true },
    { key: 'p999', label: 'p99.9 µs', digits: 0, compared: true },
  ],
  cases: ({ seconds, smoke }) => {
    const all = (['passthrough', 'terminated'] as const).flatMap((work) =>
      [false, true].map((beside) => pinged(work, seconds, beside)),
    );
    return smoke ? all.slice(1, 3) : all;
  },
};

function pinged(work: Work, seconds: number, beside: boolean): Case {
  return {
    name: `${work} ping ${SIZE} B, ${beside ? 'beside 200 MB/s' : 'idle'}`,
    async measure({ running, client, bed }) {
      const target = running?.at(work) ?? null;
      if (running === null || target === null) return null;
      const through = await driving({ target, work }, client);
      const pings = Math.max(200, Math.round((beside ? 3_000 : 20_000) * seconds));
      await warmUp(running, `${work} pings`, {
        amount: Math.max(200, Math.round(20_000 * seconds)),
        work: (total) => drive('ping', { ...through, size: SIZE, total }, running),
      });
      const sharing = [...(running.pid === null ? [] : treeOf(running.pid)), bed.farPid];
      const stream = beside
        ? await startGenerator('bulk', {
            ...through,
            connections: 1,
            message: 65_536,
            rate: STREAM_BYTES_PER_SECOND,
            up: Math.round(600e9),
          })
        : null;
      const ping = await startGenerator('ping', { ...through, size: SIZE, total: pings });
      try {
        pin([...sharing, ping.pid], '0');
        const streaming = stream === null ? null : go(stream).catch(() => null);
        const { p50, p99, p999 = NaN } = await go(ping);
        await stream?.stop();
        await streaming;
        return { p50, p99, p999 } satisfies Values;
      } finally {
        await ping.stop();
        await stream?.stop();
        pin(sharing, ALL_CPUS);
      }
    },
  };
}

const ALL_CPUS = '0-1023';
let canPin: boolean | undefined;

/** Without `taskset`, processes stay where the kernel puts them. */
function pin(pids: readonly number[], cpus: string): void {
  canPin ??= spawnSync('taskset', ['--version']).status === 0;
  if (canPin) for (const pid of pids) spawnSync('taskset', ['-a', '-p', '-c', cpus, String(pid)]);
}
