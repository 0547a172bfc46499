import { connect as connectTcp } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { KEEP_ALIVE } from '../base/keep-alive.ts';
import { createLocalAddresses } from '../base/local-addresses.ts';
import { EndpointWatch } from '../endpoints/watch.ts';
import type { EndpointWatchOptions } from '../endpoints/watch.ts';
import { systemTrust } from '../identity/system-trust.ts';
import { checkServerName } from '../identity/upstream-name.ts';
import type { Target } from '../routing/candidates.ts';
import { dialTls } from '../traffic/connect.ts';
import { Origination } from '../traffic/originate.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface HealthWatchOptions extends Pick<EndpointWatchOptions, 'onCheck' | 'onDetected' | 'onHealth'> {
  readonly clock: Clock;
  readonly workers: WorkerPool;
  readonly allowedResolved: readonly string[];
}

/**
 * Makes a watch of endpoints that connects as sessions do: with the TLS of the endpoint, and never
 * to an address that they must not dial. Health goes to the data sides.
 */
export function watchEndpoints(options: HealthWatchOptions): EndpointWatch {
  const { clock, workers, allowedResolved, onHealth } = options;
  const origination = new Origination({ secret: (hash) => workers.secret(hash), systemTrust, checkServerName });
  const localOnes = createLocalAddresses();

  return new EndpointWatch({
    ...options,
    clock,
    dial({ endpoint, ip }: Target) {
      const to = { host: ip, port: endpoint.port };
      if (endpoint.tls === null)
        return { socket: connectTcp({ ...to, autoSelectFamily: false, noDelay: true, ...KEEP_ALIVE }), ready: 'connect' };
      const { socket } = dialTls(to, origination.connectionOptions(endpoint.tls, endpoint));
      socket.allowHalfOpen = false;
      return { socket, ready: 'secureConnect' };
    },
    facts() {
      const { names, ownListeners } = workers;
      return { names, ownListeners, localAddresses: localOnes(ownListeners), allowedResolved };
    },
    onForgotten: (cluster, key) => workers.setHealth({ cluster, key, health: 'healthy' }),
    onHealth(change, why) {
      workers.setHealth(change);
      onHealth(change, why);
    },
  });
}
