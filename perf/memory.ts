// Question: what memory does an idle connection hold, and is it returned? And what does a process
// keep of many connections that have come and gone? Each time in a fresh process, because memory
// taken before would hide it.
import type { Work } from './bed.ts';
import { go, startGenerator } from './generator.ts';
import { residentBytes } from './processes.ts';
import { drive, driving } from './question.ts';
import type { Case, Question } from './question.ts';

const KB = 1_000;

export const memory: Question = {
  name: 'memory',
  asks: 'what memory does an idle connection hold?',
  fresh: true,
  roundsMost: 1,
  metrics: [
    { key: 'held', label: 'KB/connection', digits: 1, charted: true },
    { key: 'left', label: 'KB/connection 30 s after', digits: 1, compared: true },
    { key: 'start', label: 'MB before', digits: 0 },
    { key: 'churned', label: 'MB after churn', digits: 0, compared: true },
    { key: 'rested', label: 'MB 30 s after churn', digits: 0, compared: true },
  ],
  cases({ seconds, smoke }) {
    // A little longer than a thread has to be quiet before it returns memory.
    const restMs = Math.min(30_000, 60_000 * seconds);
    if (smoke) return [held('terminated', 100, restMs), churned(20, 100, restMs)];
    const churn = churned(Math.round(6_000 * seconds), Math.round(120_000 * seconds), restMs);
    // The last case is as large as 20,000 descriptors allow.
    return [held('passthrough', 1_000, restMs), held('terminated', 1_000, restMs), held('passthrough', 9_000, restMs, 9), churn];
  },
};

/**
 * Passthrough cases may be spread over destinations, because one has at most 1,024 connections
 * without a policy.
 */
function held(work: Work, count: number, restMs: number, destinations = 1): Case {
  const each = count / destinations;
  return {
    name: `${work}, ${count} idle connections`,
    headline: destinations === 1,
    async measure({ bed, contender, client }) {
      if (destinations > 1 && contender.kind !== 'egress') return null;
      const running = await contender.start(bed, { workers: 1, ...(destinations === 1 ? {} : { routes: destinations }) });
      const generators: Awaited<ReturnType<typeof startGenerator>>[] = [];
      try {
        const target = running.at(work);
        if (running.pid === null || target === null) return null;
        const snis =
          destinations === 1 ? [target.sni] : Array.from({ length: destinations }, (_, i) => `route-${i}{mesh=default}`);
        // Memory that the first connection loads for all does not count as that of one.
        const first = await startGenerator('hold', { ...(await driving({ target, work }, client)), connections: 10 });
        await go(first);
        const before = residentBytes(running.pid);
        for (const sni of snis) {
          const through = await driving({ target: { ...target, sni }, work }, client);
          generators.push(await startGenerator('hold', { ...through, connections: each }));
        }
        const during = residentBytes(running.pid);
        for (const generator of generators) {
          const { errors, firstError } = await go(generator);
          if (errors > 0) throw new Error(`hold ${each} connections: ${errors}: ${firstError}`);
        }
        await new Promise((resolve) => setTimeout(resolve, restMs));
        const after = residentBytes(running.pid);
        return { held: (during - before) / count / KB, left: (after - before) / count / KB, start: before / KB / KB };
      } finally {
        for (const generator of generators) await generator.stop();
        await running.stop();
      }
    },
  };
}

/** Connections come, four at a time, ask one thing and go: with TLS that ends here, then without. */
function churned(handshakes: number, short: number, restMs: number): Case {
  return {
    name: `after ${handshakes} handshakes and ${short} short connections`,
    headline: false,
    async measure({ bed, contender, client }) {
      const running = await contender.start(bed, { workers: 1 });
      try {
        const { pid } = running;
        const [terminated, passthrough] = [running.at('terminated'), running.at('passthrough')];
        if (pid === null || terminated === null || passthrough === null) return null;
        const start = residentBytes(pid);
        const shaking = await driving({ target: terminated, work: 'terminated' }, client);
        await drive('rate', { ...shaking, connections: 4, total: handshakes, max: '1.2', close: 'fin' }, running);
        const asking = await driving({ target: passthrough, work: 'passthrough' }, client);
        await drive('rate', { ...asking, connections: 4, total: short, close: 'rst' }, running);
        const after = residentBytes(pid);
        await new Promise((resolve) => setTimeout(resolve, restMs));
        return { start: start / KB / KB, churned: after / KB / KB, rested: residentBytes(pid) / KB / KB };
      } finally {
        await running.stop();
      }
    },
  };
}
