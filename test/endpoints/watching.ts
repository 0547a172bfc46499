// A watch of endpoints over real sockets, with a clock that a test advances.
import { connect } from 'node:net';
import type { Test } from 'tap';
import { EndpointWatch } from '../../src/endpoints/watch.ts';
import type { EndpointWatchOptions } from '../../src/endpoints/watch.ts';
import type { Cluster, Endpoint } from '../../src/model/cluster.ts';
import type { Resolution } from '../../src/model/endpoint-view.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { until } from '../egress/until.ts';
import { endpoint } from '../routing/endpoints.ts';

export interface Watching extends Disposable {
  readonly clock: FakeClock;
  readonly watch: EndpointWatch;
  readonly told: string[];
  readonly names: Map<string, Resolution>;
  /** Number of ended checks. */
  checks: number;
  /** Advances the clock, then waits for `count` checks to end. */
  after(ms: number, count?: number): Promise<void>;
}

export function startWatch(t: Test, options: Partial<EndpointWatchOptions> = {}): Watching {
  const clock = new FakeClock();
  const names = new Map<string, Resolution>();
  const told: string[] = [];
  const watch = new EndpointWatch({
    clock,
    dial: ({ endpoint, ip }) => ({ socket: connect({ host: ip, port: endpoint.port }), ready: 'connect' }),
    facts: () => ({ names, ownListeners: [], localAddresses: new Set(), allowedResolved: ['127.0.0.0/8'] }),
    onHealth: ({ health }, why) => told.push(why === null ? health : `${health}: ${why}`),
    onForgotten: () => told.push('forgotten'),
    onCheck: () => void watching.checks++,
    ...options,
  });
  const watching: Watching = {
    clock,
    watch,
    told,
    names,
    checks: 0,
    async after(ms, count = 1) {
      const before = watching.checks;
      clock.advance(ms);
      await until(`${count} checks to end`, () => watching.checks >= before + count);
      t.equal(watching.checks, before + count, `${count} checks`);
    },
    [Symbol.dispose]() {
      watch.close();
      t.equal(clock.timers, 0, 'no timer is left');
    },
  };
  return watching;
}

export function snapshot(...clusters: readonly Cluster[]): Snapshot {
  return { ...EMPTY_SNAPSHOT, clusters: new Map(clusters.map((each) => [each.name, each])) };
}

export const at = (port: number, change: Partial<Endpoint> = {}): Endpoint => endpoint({ ip: '127.0.0.1', port, ...change });
