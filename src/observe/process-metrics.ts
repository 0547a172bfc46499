/**
 * The process and Node.js under their usual names. Our own and not prom-client's
 * `collectDefaultMetrics`: that one can not be stopped, so every egress in a process would leave an
 * observer behind, and it reads every handle at every scrape, which are tens of thousands here.
 */
import { readFile, readdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { MetricInfo } from './metrics.ts';

/** Reads everything when the registry is scraped. Gives back how to stop. */
export function observeProcess(registry: Registry, table: Readonly<Record<string, MetricInfo>>): () => void {
  const loop = monitorEventLoopDelay({ resolution: 20 });
  loop.enable();
  const startedAt = Math.round(Date.now() / 1e3 - process.uptime());

  const options = (name: string) => ({ name, help: table[name]?.help ?? '', registers: [registry] });
  function gauge(name: string, read: () => number | null | Promise<number | null>): void {
    const made: Gauge = new Gauge({
      ...options(name),
      async collect() {
        const value = await read();
        if (value !== null) made.set(value);
        else made.remove({});
      },
    });
  }
  function counter(name: string, read: () => number): void {
    const made: Counter = new Counter({
      ...options(name),
      collect() {
        made.reset();
        made.inc(read());
      },
    });
  }

  counter('process_cpu_user_seconds_total', () => process.cpuUsage().user / 1e6);
  counter('process_cpu_system_seconds_total', () => process.cpuUsage().system / 1e6);
  counter('process_cpu_seconds_total', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  gauge('process_start_time_seconds', () => startedAt);
  gauge('process_resident_memory_bytes', () => process.memoryUsage.rss());
  gauge('process_open_fds', countFds);
  gauge('process_max_fds', readMaxFds);
  gauge('nodejs_heap_size_total_bytes', () => process.memoryUsage().heapTotal);
  gauge('nodejs_heap_size_used_bytes', () => process.memoryUsage().heapUsed);
  gauge('nodejs_external_memory_bytes', () => process.memoryUsage().external);
  // Read together and reset once, by the first: the histogram covers the time since the last
  // scrape.
  const lag = { mean: 0, p50: 0, p99: 0, max: 0 };
  gauge('nodejs_eventloop_lag_mean_seconds', () => {
    // Without a sample the mean is NaN and the maximum 0.
    lag.mean = loop.count === 0 ? 0 : loop.mean / 1e9;
    lag.p50 = loop.percentile(50) / 1e9;
    lag.p99 = loop.percentile(99) / 1e9;
    lag.max = loop.max / 1e9;
    loop.reset();
    return lag.mean;
  });
  gauge('nodejs_eventloop_lag_p50_seconds', () => lag.p50);
  gauge('nodejs_eventloop_lag_p99_seconds', () => lag.p99);
  gauge('nodejs_eventloop_lag_max_seconds', () => lag.max);
  new Gauge({ ...options('nodejs_version_info'), labelNames: ['version'] }).set({ version: process.version }, 1);
  return () => loop.disable();
}

async function countFds(): Promise<number | null> {
  try {
    // Without the one that lists them.
    return (await readdir('/proc/self/fd')).length - 1;
  } catch {
    return null; // no /proc here
  }
}

/** The soft limit. It may be raised while the process runs, so it is read at every scrape. */
async function readMaxFds(): Promise<number | null> {
  try {
    const limits = await readFile('/proc/self/limits', 'utf8');
    const soft = /^Max open files +([0-9]+)/m.exec(limits)?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null; // no /proc here
  }
}

/** Bytes, of the whole process but for the heap, which is that of this thread. */
export interface ProcessMemory {
  readonly resident: number;
  readonly heapTotal: number;
  readonly heapUsed: number;
}

export function processMemory(): ProcessMemory {
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  return { resident: rss, heapTotal, heapUsed };
}
