// Question: what does a connection cost that asks one thing and leaves? It ends by RST, as load
// generators and impatient clients do, and by FIN.
import { drive, driving, warmUp } from './question.ts';
import type { Question } from './question.ts';

const PARALLEL = 8;

export const connections: Question = {
  name: 'connections',
  asks: 'what does a passthrough connection cost?',
  fresh: false,
  metrics: [
    { key: 'cpu', label: 'CPU µs', digits: 0, charted: true },
    { key: 'rate', label: 'connections/s', digits: 0 },
    { key: 'p50', label: 'p50 µs', digits: 0 },
    { key: 'p99', label: 'p99 µs', digits: 0, compared: true },
    { key: 'machine', label: 'machine µs', digits: 0 },
  ],
  cases: ({ seconds }) =>
    (['rst', 'fin'] as const).map((close) => ({
      name: `passthrough connection, ${close.toUpperCase()}`,
      async measure({ running, client }) {
        const target = running?.at('passthrough') ?? null;
        if (running === null || target === null) return null;
        const total = Math.max(50, Math.round(5_000 * seconds));
        const options = { ...(await driving({ target, work: 'passthrough' }, client)), connections: PARALLEL, total, close };
        await warmUp(running, 'connections', {
          amount: total * 6,
          work: (amount) => drive('rate', { ...options, total: amount }, running),
        });
        const { cpu, machine, seconds: took, p50, p99 } = await drive('rate', options, running);
        return {
          ...(running.pid === null ? {} : { cpu: (cpu * 1e6) / total }),
          machine: (machine * 1e6) / total,
          rate: total / took,
          p50,
          p99,
        };
      },
    })),
};
