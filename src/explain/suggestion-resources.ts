/** Writes suggested permissions as resources, in either of Kuma's forms. */
import type { SuggestedClient, SuggestedPermission } from './suggest.ts';

export type ResourceForm = 'universal' | 'kubernetes';

/** A resource as plain data: its head, and the parts that get a comment for each client. */
export function resourceOf(permission: SuggestedPermission, form: ResourceForm): object {
  const { kind, mesh, name } = permission;
  const spec = kind === 'TrafficPermission' ? trafficPermission(permission) : { spec: meshTrafficPermission(permission) };
  if (form === 'universal') return { type: kind, mesh, name, ...spec };
  const head = { apiVersion: 'kuma.io/v1alpha1', kind };
  if (kind === 'TrafficPermission') return { ...head, mesh, metadata: { name }, spec };
  return { ...head, metadata: { name, namespace: NAMESPACE, labels: { 'kuma.io/mesh': mesh } }, ...spec };
}

/** The namespace in which Kuma takes policies of the whole mesh. */
const NAMESPACE = 'kuma-system';

function trafficPermission({ clients, destinations }: SuggestedPermission): object {
  return {
    sources: clients.map(({ service }) => ({ match: { 'kuma.io/service': service } })),
    destinations: destinations.map((service) => ({ match: { 'kuma.io/service': service } })),
  };
}

function meshTrafficPermission({ form, destinations, clients }: SuggestedPermission): object {
  if (form === 'rules')
    return {
      targetRef: { kind: 'Dataplane', labels: { 'kuma.io/listener-zoneegress': 'enabled' } },
      rules: [{ default: { allow: clients.map(matchOf) } }],
    };
  return {
    targetRef: { kind: 'MeshService', name: destinations[0] ?? '' },
    from: clients.map(({ service }) => ({ targetRef: { kind: 'MeshService', name: service }, default: { action: 'Allow' } })),
  };
}

function matchOf({ id, sni }: SuggestedClient): object {
  return { spiffeID: { type: 'Exact', value: id }, sni: { type: 'Exact', value: sni } };
}
