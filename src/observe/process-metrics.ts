/**
 * Metrics of the process and Node.js under their usual names. prom-client's `collectDefaultMetrics`
 * is not used: it cannot be stopped, so every egress in a process would leave an observer behind,
 * and it reads every handle at every scrape, tens of thousands here.
 */
import { readFile, readdir, stat } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { MetricInfo } from './metrics.ts';

/** Reads everything when the registry is scraped. Returns the function that stops it. */
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
  // The first metric reads all of them and resets the histogram, which covers the time since the
  // last scrape.
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
    // The descriptor that lists the folder is not counted.
    return (await readdir('/proc/self/fd')).length - 1;
  } catch {
    return null; // no /proc here
  }
}

/**
 * Counts open descriptors; null where the system does not report them. From Linux 6.2 on the size
 * of the folder is their number, and twenty thousand names need not be read.
 */
export async function openDescriptors(): Promise<number | null> {
  const { size } = await stat('/proc/self/fd').catch(() => ({ size: 0 }));
  return size > 0 ? size : countFds();
}

/** Reads the soft limit, at every scrape because it may be raised while the process runs. */
async function readMaxFds(): Promise<number | null> {
  try {
    const limits = await readFile('/proc/self/limits', 'utf8');
    const soft = /^Max open files +([0-9]+)/m.exec(limits)?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null; // no /proc here
  }
}

/** Bytes of the whole process, except the heap, which is that of this thread. */
export interface ProcessMemory {
  readonly resident: number;
  readonly heapTotal: number;
  readonly heapUsed: number;
}

export function processMemory(): ProcessMemory {
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  return { resident: rss, heapTotal, heapUsed };
}
