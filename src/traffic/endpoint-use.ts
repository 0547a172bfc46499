import { innerMap } from '../base/inner-map.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { EndpointHealth, EndpointView } from '../model/endpoint-view.ts';
import type { Target } from '../routing/choose.ts';

/**
 * What this data side knows of the endpoints of clusters: their health, which the control side
 * tells, and how many of its own sessions each carries. The sessions of the other data sides are
 * not among them: the kernel spreads connections evenly enough for comparing two endpoints.
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
   * A session uses the endpoint from now on; gives back how it says that it does no more, safe to
   * call twice.
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
