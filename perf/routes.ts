// Question: what do many routes cost at the start? Time from the start of the process until the
// last of them answers, and memory.
import { residentBytes } from './processes.ts';
import { drive, driving } from './question.ts';
import type { Question } from './question.ts';

export const routes: Question = {
  name: 'routes',
  asks: 'what do 10,000 routes cost?',
  fresh: true,
  roundsMost: 3,
  metrics: [
    { key: 'start', label: 'start s', digits: 2, charted: true },
    { key: 'resident', label: 'MB', digits: 0, compared: true },
    { key: 'rested', label: 'MB 10 s after', digits: 0, compared: true },
    { key: 'first', label: 'first connection ms', digits: 1 },
  ],
  cases: ({ smoke, seconds }) =>
    (smoke ? [10] : [10, 10_000]).map((count) => ({
      name: `${count.toLocaleString('en')} routes`,
      async measure({ bed, contender, client }) {
        const startedAt = performance.now();
        const running = await contender.start(bed, { workers: 1, routes: count });
        try {
          const target = running.at('passthrough');
          if (running.pid === null || target === null) return null;
          const last = { ...target, sni: `route-${count - 1}{mesh=default}` };
          const through = await driving({ target: last, work: 'passthrough' }, client);
          const { max } = await drive('rate', { ...through, connections: 1, total: 1, close: 'fin' }, running);
          const start = (performance.now() - startedAt) / 1_000;
          const resident = residentBytes(running.pid) / 1e6;
          await new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 10_000 * seconds)));
          return { start, resident, rested: residentBytes(running.pid) / 1e6, first: max / 1_000 };
        } finally {
          await running.stop();
        }
      },
    })),
};
