// What memory does an idle connection hold, and is it given back? Each time in a fresh process: what was taken before would hide what comes.
import type { Work } from './bed.ts';
import { go, startGenerator } from './generator.ts';
import { residentBytes } from './processes.ts';
import { driving } from './question.ts';
import type { Case, Question } from './question.ts';

const KB = 1_000;

export const memory: Question = {
  name: 'memory',
  asks: 'what memory does an idle connection hold?',
  fresh: true,
  roundsMost: 3,
  metrics: [
    { key: 'held', label: 'KB/connection', digits: 1, charted: true },
    { key: 'left', label: 'KB/connection 10 s after', digits: 1 },
    { key: 'start', label: 'MB before', digits: 0 },
  ],
  cases({ seconds, smoke }) {
    const restMs = Math.min(10_000, 10_000 * seconds);
    if (smoke) return [held('terminated', 100, restMs)];
    return [held('passthrough', 1_000, restMs), held('terminated', 1_000, restMs), many(restMs)];
  },
};

/** As many as 20,000 descriptors allow, in ninths, because a destination has at most 1,024 connections unless a policy says more. */
function many(restMs: number): Case {
  const [destinations, each] = [9, 1_000];
  return {
    name: `passthrough, ${destinations * each} idle connections`,
    headline: false,
    async measure({ bed, contender, client }) {
      if (contender.kind !== 'egress') return null;
      const running = await contender.start(bed, { workers: 1, routes: destinations });
      const generators: Awaited<ReturnType<typeof startGenerator>>[] = [];
      try {
        const target = running.at('passthrough');
        if (running.pid === null || target === null) return null;
        const before = residentBytes(running.pid);
        for (let i = 0; i < destinations; i++) {
          const through = await driving({ target: { ...target, sni: `route-${i}{mesh=default}` }, work: 'passthrough' }, client);
          generators.push(await startGenerator('hold', { ...through, connections: each }));
        }
        const during = residentBytes(running.pid);
        for (const generator of generators) {
          const { errors, firstError } = await go(generator);
          if (errors > 0) throw new Error(`hold ${each} connections: ${errors}: ${firstError}`);
        }
        await new Promise((resolve) => setTimeout(resolve, restMs));
        const perConnection = (bytes: number): number => (bytes - before) / destinations / each / KB;
        return { held: perConnection(during), left: perConnection(residentBytes(running.pid)), start: before / KB / KB };
      } finally {
        for (const generator of generators) await generator.stop();
        await running.stop();
      }
    },
  };
}

function held(work: Work, count: number, restMs: number): Case {
  return {
    name: `${work}, ${count} idle connections`,
    async measure({ bed, contender, client }) {
      const running = await contender.start(bed, { workers: 1 });
      try {
        const target = running.at(work);
        if (running.pid === null || target === null) return null;
        const through = await driving({ target, work }, client);
        // What the first connection loads for all is not that of one.
        const first = await startGenerator('hold', { ...through, connections: 10 });
        await go(first);
        const before = residentBytes(running.pid);
        const generator = await startGenerator('hold', { ...through, connections: count });
        const during = residentBytes(running.pid);
        const { errors, firstError } = await go(generator);
        if (errors > 0) throw new Error(`hold ${count} connections: ${errors}: ${firstError}`);
        await new Promise((resolve) => setTimeout(resolve, restMs));
        const after = residentBytes(running.pid);
        return { held: (during - before) / count / KB, left: (after - before) / count / KB, start: before / KB / KB };
      } finally {
        await running.stop();
      }
    },
  };
}
