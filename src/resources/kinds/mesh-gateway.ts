import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { checkSelector, readSelectors } from '../tags.ts';
import type { Tags } from '../tags.ts';
import type { RouteResource } from './traffic-route.ts';
import { olderPolicyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

const LISTENER = ['hostname', 'port', 'protocol', 'tls', 'tags', 'crossMesh', 'resources'];

/**
 * Reads the tags by which clients of other meshes reach a listener with `crossMesh`: those of the
 * gateway, of its selector and of the listener.
 */
function readMeshGateway(document: Document, findings: Findings): RouteResource {
  const spec = document.spec(['selectors', 'tags', 'conf']);
  const selectors = readSelectors(spec, 'selectors', { atLeastOne: true, service: true }, findings);
  const own = spec.tags('tags')?.tags ?? new Map<string, string>();
  const listeners = spec.object('conf', ['listeners'])?.objects('listeners', LISTENER) ?? [];
  const crossing = listeners.filter((listener) => listener.flag('crossMesh') === true);
  const destinations = selectors.flatMap((match) =>
    crossing.map((listener) => new Map([...own, ...match, ...(listener.tags('tags')?.tags ?? [])])),
  );
  return { meta: document.meta, kind: 'MeshGateway', destinations };
}

/** Reads the backends: gateways put the tags of a backend into the SNI, as other clients do. */
function readMeshGatewayRoute(document: Document, findings: Findings): RouteResource {
  const spec = document.spec(['selectors', 'conf']);
  readSelectors(spec, 'selectors', { atLeastOne: true, service: true }, findings);
  const conf = spec.object('conf', ['http', 'tcp']);
  if (conf === undefined && !spec.has('conf')) spec.error('conf', 'cannot be empty');
  const http = conf?.object('http', ['hostnames', 'rules'])?.objects('rules', ['matches', 'filters', 'backends']) ?? [];
  const tcp = conf?.object('tcp', ['rules'])?.objects('rules', ['backends']) ?? [];
  const destinations = [...http, ...tcp].flatMap((rule) => backendsOf(rule, findings));
  return { meta: document.meta, kind: 'MeshGatewayRoute', destinations };
}

function backendsOf(rule: Fields, findings: Findings): readonly Tags[] {
  return (rule.objects('backends', ['weight', 'destination']) ?? []).flatMap((backend) => {
    const destination = backend.tags('destination');
    if (destination === undefined) {
      backend.error('destination', 'cannot be empty');
      return [];
    }
    checkSelector(destination, { atLeastOne: true, service: true }, findings);
    return [destination.tags];
  });
}

export const meshGateway: PolicyKind<RouteResource, 'routes'> = olderPolicyKind('routes', readMeshGateway);

export const meshGatewayRoute: PolicyKind<RouteResource, 'routes'> = olderPolicyKind('routes', readMeshGatewayRoute);
