// Question: what does a second worker cost, and how evenly do connections spread over two? The
// epoll instance of a worker shows its connections, in every proxy.
import { go, startGenerator } from './generator.ts';
import { watchedBy } from './processes.ts';
import { drive, driving } from './question.ts';
import type { Question } from './question.ts';

export const workers: Question = {
  name: 'workers',
  asks: 'what does a second worker cost, and how evenly do connections fall?',
  fresh: true,
  roundsMost: 3,
  metrics: [
    { key: 'one', label: 'CPU ms/handshake, 1 worker', digits: 2, compared: true },
    { key: 'two', label: 'CPU ms/handshake, 2 workers', digits: 2, charted: true },
    { key: 'more', label: 'more %', digits: 0 },
    { key: 'spread', label: 'busiest over mean %', digits: 0 },
  ],
  cases: ({ seconds, smoke }) => [
    {
      name: 'RSA-2048, TLS 1.3; then 1,000 held connections',
      async measure({ bed, contender, client }) {
        const cost: number[] = [];
        let spread = NaN;
        for (const count of [1, 2]) {
          const running = await contender.start(bed, { workers: count });
          try {
            const target = running.at('terminated');
            const passing = running.at('passthrough');
            if (running.pid === null || target === null || passing === null) return null;
            const total = Math.max(20, Math.round(1_000 * seconds));
            const shaking = { ...(await driving({ target, work: 'terminated' }, client)), connections: 8, total, close: 'fin' };
            // A worker that has just started compiles its code; two do so twice, which is no cost
            // of a handshake.
            await drive('rate', { ...shaking, total: total * 2 * count }, running);
            const { cpu } = await drive('rate', shaking, running);
            cost.push((cpu * 1e3) / total);
            if (count === 2)
              spread = await spreadOf(running.pid, {
                ...(await driving({ target: passing, work: 'passthrough' }, client)),
                connections: smoke ? 100 : 1_000,
              });
          } finally {
            await running.stop();
          }
        }
        const [one = NaN, two = NaN] = cost;
        return { one, two, more: (two / one - 1) * 100, spread };
      },
    },
  ],
};

/** Returns by how many percent the busier of the two workers is above their mean. */
async function spreadOf(pid: number, options: Readonly<Record<string, string | number | undefined>>): Promise<number> {
  const before = watchedBy(pid);
  const generator = await startGenerator('hold', options);
  try {
    const [first = 0, second = 0] = [...watchedBy(pid)]
      .map(([instance, watched]) => watched - (before.get(instance) ?? 0))
      .sort((a, b) => b - a);
    await go(generator);
    return (first / ((first + second) / 2) - 1) * 100;
  } finally {
    await generator.stop();
  }
}
