import { innerMap } from '../base/inner-map.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { EndpointHealth, EndpointView } from '../model/endpoint-view.ts';
import type { Target } from '../routing/choose.ts';

/**
 * The state of the endpoints of clusters on this data side: their health, which the control side
 * sends, and the number of its own sessions on each. It does not count sessions of other data
 * sides: the kernel spreads connections evenly enough to compare two endpoints.
 */
export class EndpointUse {
  readonly #health = new Map<string, Map<string, EndpointHealth>>();
  readonly #active = new Map<string, Map<string, number>>();

  of(cluster: string): Pick<EndpointView, 'health' | 'active'> {
    const health = this.#health.get(cluster);
    const active = this.#active.get(cluster);
    return { ...(health === undefined ? {} : { health }), ...(active === undefined ? {} : { active }) };
  }

  setHealth(change: { readonly cluster: string; readonly key: string; readonly health: EndpointHealth }): void {
    if (change.health !== 'healthy') innerMap(this.#health, change.cluster).set(change.key, change.health);
    else remove(this.#health, change.cluster, change.key);
  }

  /**
   * Counts a session of the endpoint. Returns the function that ends the count, which may be called
   * twice.
   */
  enter(cluster: string, { endpoint, ip }: Target): () => void {
    const key = addressKey(ip, endpoint.port);
    const counts = innerMap(this.#active, cluster);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    let entered = true;
    return () => {
      if (!entered) return;
      entered = false;
      const left = (this.#active.get(cluster)?.get(key) ?? 1) - 1;
      if (left > 0) innerMap(this.#active, cluster).set(key, left);
      else remove(this.#active, cluster, key);
    };
  }
}

function remove<Value>(map: Map<string, Map<string, Value>>, name: string, key: string): void {
  const found = map.get(name);
  found?.delete(key);
  if (found?.size === 0) map.delete(name);
}
