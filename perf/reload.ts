// Question: what do clients notice of a configuration that changes? It changes twice a second while
// connections come and go and others stay open.
import { go, startGenerator } from './generator.ts';
import { drive, driving } from './question.ts';
import type { Question } from './question.ts';

const EVERY_MS = 500;
const HELD = 100;

export const reload: Question = {
  name: 'reload',
  asks: 'what do clients notice of a configuration that changes twice a second?',
  fresh: true,
  roundsMost: 3,
  metrics: [
    { key: 'errors', label: 'refused or cut', digits: 0, compared: true },
    { key: 'p50', label: 'p50 µs', digits: 0 },
    { key: 'p99', label: 'p99 µs', digits: 0, charted: true },
    { key: 'max', label: 'max ms', digits: 1 },
    { key: 'changes', label: 'changes', digits: 0 },
  ],
  cases: ({ seconds, smoke }) =>
    (smoke ? [true] : [false, true]).map((changing) => ({
      name: changing ? 'while it changes' : 'while it stays',
      async measure({ bed, contender, client }) {
        const running = await contender.start(bed, { workers: 1 });
        try {
          const target = running.at('passthrough');
          const { pid, reload: change } = running;
          if (pid === null || target === null || change === null) return null;
          const through = await driving({ target, work: 'passthrough' }, client);
          const held = await startGenerator('hold', { ...through, connections: HELD });
          let changes = 0;
          const timer = setInterval(() => {
            if (!changing) return;
            changes++;
            change();
          }, EVERY_MS);
          const total = Math.max(50, Math.round(15_000 * seconds));
          const options = { ...through, connections: 4, total, close: 'fin' };
          const load = await drive('rate', options, { pid, errors: 'count' }).finally(() => clearInterval(timer));
          const { errors } = await go(held);
          return { errors: errors + load.errors, p50: load.p50, p99: load.p99, max: load.max / 1_000, changes };
        } finally {
          await running.stop();
        }
      },
    })),
};
