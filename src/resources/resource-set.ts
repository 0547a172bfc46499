import { quote } from '../base/key-material.ts';
import type { Origin } from '../model/compiled.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import { documentsIn } from './document.ts';
import type { Document, Meta } from './document.ts';
import type { Findings } from './findings.ts';
import { readExternalService } from './kinds/external-service.ts';
import type { ExternalService } from './kinds/external-service.ts';
import { readFaultInjection, readRateLimit } from './kinds/legacy-http-policy.ts';
import type { LegacyHttpPolicy } from './kinds/legacy-http-policy.ts';
import { readMeshCircuitBreaker } from './kinds/mesh-circuit-breaker.ts';
import type { MeshCircuitBreaker } from './kinds/mesh-circuit-breaker.ts';
import { readMeshExternalService } from './kinds/mesh-external-service.ts';
import type { MeshExternalService } from './kinds/mesh-external-service.ts';
import { readMeshFaultInjection } from './kinds/mesh-fault-injection.ts';
import type { MeshFaultInjection } from './kinds/mesh-fault-injection.ts';
import { readMeshHealthCheck } from './kinds/mesh-health-check.ts';
import type { MeshHealthCheck } from './kinds/mesh-health-check.ts';
import { readMeshLoadBalancingStrategy } from './kinds/mesh-load-balancing-strategy.ts';
import type { MeshLoadBalancingStrategy } from './kinds/mesh-load-balancing-strategy.ts';
import { readMeshRateLimit } from './kinds/mesh-rate-limit.ts';
import type { MeshRateLimit } from './kinds/mesh-rate-limit.ts';
import { readMeshGateway, readMeshGatewayRoute } from './kinds/mesh-gateway.ts';
import { readMeshRoute } from './kinds/mesh-route.ts';
import { checkMeshMultiZoneService, checkMeshService } from './kinds/mesh-service.ts';
import { readMeshTrafficPermission } from './kinds/mesh-traffic-permission.ts';
import type { MeshTrafficPermission } from './kinds/mesh-traffic-permission.ts';
import { readMesh } from './kinds/mesh.ts';
import type { Mesh } from './kinds/mesh.ts';
import { readSecret } from './kinds/secret.ts';
import type { Secret } from './kinds/secret.ts';
import { readTrafficPermission } from './kinds/traffic-permission.ts';
import type { TrafficPermission } from './kinds/traffic-permission.ts';
import { readTrafficRoute } from './kinds/traffic-route.ts';
import type { Route } from './kinds/traffic-route.ts';
import { readVirtualOutbound } from './kinds/virtual-outbound.ts';
import type { VirtualOutbound } from './kinds/virtual-outbound.ts';
import { readZoneEgress } from './kinds/zone-egress.ts';
import type { ZoneEgress } from './kinds/zone-egress.ts';
import { readZoneIngress } from './kinds/zone-ingress.ts';
import type { ZoneIngress } from './kinds/zone-ingress.ts';
import type { ParseCache } from './parse-cache.ts';
import type { SourceFile } from './yaml.ts';

/** Everything that was read, each list in an order that does not depend on files: by name. */
export interface ResourceSet {
  readonly egresses: readonly ZoneEgress[];
  readonly ingresses: readonly ZoneIngress[];
  readonly meshes: readonly MeshResources[];
  readonly globalSecrets: ReadonlyMap<string, Secret>;
}

export interface MeshResources {
  readonly mesh: Mesh;
  readonly externalServices: readonly ExternalService[];
  readonly meshExternalServices: readonly MeshExternalService[];
  readonly permissions: readonly TrafficPermission[];
  readonly meshPermissions: readonly MeshTrafficPermission[];
  readonly routes: readonly Route[];
  readonly virtualOutbounds: readonly VirtualOutbound[];
  readonly circuitBreakers: readonly MeshCircuitBreaker[];
  readonly healthChecks: readonly MeshHealthCheck[];
  readonly strategies: readonly MeshLoadBalancingStrategy[];
  readonly rateLimits: readonly MeshRateLimit[];
  readonly faultInjections: readonly MeshFaultInjection[];
  readonly legacyHttp: readonly LegacyHttpPolicy[];
  readonly secrets: ReadonlyMap<string, Secret>;
}

export function readResources(files: readonly SourceFile[], cache: ParseCache, findings: Findings): ResourceSet {
  const bags = new Map<string, Bag>();
  const meshes: Mesh[] = [];
  const egresses: ZoneEgress[] = [];
  const ingresses: ZoneIngress[] = [];
  const globalSecrets = new Map<string, Secret>();
  const documents = cache.parse(files, findings).flatMap((value) => documentsIn(value, findings));
  const unique = withoutDuplicates(documents, findings);
  unique.forEach((document) => {
    const { kind, meta } = document;
    switch (kind) {
      case 'Mesh':
        return void meshes.push(readMesh(document));
      case 'ZoneEgress':
        return void egresses.push(readZoneEgress(document));
      case 'ZoneIngress':
        return void ingresses.push(readZoneIngress(document));
      case 'GlobalSecret':
        return void globalSecrets.set(meta.name, readSecret(document));
      case 'ExternalService':
        return void bagOf(bags, meta).externalServices.push(readExternalService(document));
      case 'MeshExternalService':
        return void bagOf(bags, meta).meshExternalServices.push(readMeshExternalService(document));
      case 'TrafficPermission':
        return void bagOf(bags, meta).permissions.push(readTrafficPermission(document, findings));
      case 'MeshTrafficPermission':
        return void bagOf(bags, meta).meshPermissions.push(readMeshTrafficPermission(document, findings));
      case 'TrafficRoute':
        return void bagOf(bags, meta).routes.push(readTrafficRoute(document, findings));
      case 'MeshHTTPRoute':
      case 'MeshTCPRoute':
        return void bagOf(bags, meta).routes.push(readMeshRoute(document, kind, findings));
      case 'MeshGateway':
        return void bagOf(bags, meta).routes.push(readMeshGateway(document, findings));
      case 'MeshGatewayRoute':
        return void bagOf(bags, meta).routes.push(readMeshGatewayRoute(document, findings));
      case 'VirtualOutbound':
        return void bagOf(bags, meta).virtualOutbounds.push(readVirtualOutbound(document, findings));
      case 'MeshCircuitBreaker':
        return void bagOf(bags, meta).circuitBreakers.push(readMeshCircuitBreaker(document, findings));
      case 'MeshHealthCheck':
        return void bagOf(bags, meta).healthChecks.push(readMeshHealthCheck(document, findings));
      case 'MeshLoadBalancingStrategy':
        return void bagOf(bags, meta).strategies.push(readMeshLoadBalancingStrategy(document, findings));
      case 'MeshRateLimit':
        return void bagOf(bags, meta).rateLimits.push(readMeshRateLimit(document, findings));
      case 'MeshFaultInjection':
        return void bagOf(bags, meta).faultInjections.push(readMeshFaultInjection(document, findings));
      case 'RateLimit':
        return void bagOf(bags, meta).legacyHttp.push(readRateLimit(document, findings));
      case 'FaultInjection':
        return void bagOf(bags, meta).legacyHttp.push(readFaultInjection(document, findings));
      case 'MeshService':
        return checkMeshService(document);
      case 'MeshMultiZoneService':
        return checkMeshMultiZoneService(document);
      case 'Secret':
        return void bagOf(bags, meta).secrets.set(meta.name, readSecret(document));
      default:
        return kind satisfies never;
    }
  });
  tellOfUnknownMeshes(unique, meshes, findings);
  return {
    egresses: egresses.sort(byName),
    ingresses: ingresses.sort(byName),
    meshes: meshes.sort(byName).map((mesh) => {
      const bag = bags.get(mesh.meta.name) ?? emptyBag();
      return {
        mesh,
        externalServices: bag.externalServices.sort(byName),
        meshExternalServices: bag.meshExternalServices.sort(byName),
        permissions: bag.permissions.sort(byName),
        meshPermissions: bag.meshPermissions.sort(byName),
        routes: bag.routes.sort(byName),
        virtualOutbounds: bag.virtualOutbounds,
        circuitBreakers: bag.circuitBreakers.sort(byName),
        healthChecks: bag.healthChecks.sort(byName),
        strategies: bag.strategies.sort(byName),
        rateLimits: bag.rateLimits.sort(byName),
        faultInjections: bag.faultInjections.sort(byName),
        legacyHttp: bag.legacyHttp.sort(byName),
        secrets: bag.secrets,
      };
    }),
    globalSecrets,
  };
}

export function at(origin: Origin): string {
  return `${origin.file}:${origin.line}`;
}

interface Bag {
  readonly externalServices: ExternalService[];
  readonly meshExternalServices: MeshExternalService[];
  readonly permissions: TrafficPermission[];
  readonly meshPermissions: MeshTrafficPermission[];
  readonly routes: Route[];
  readonly virtualOutbounds: VirtualOutbound[];
  readonly circuitBreakers: MeshCircuitBreaker[];
  readonly healthChecks: MeshHealthCheck[];
  readonly strategies: MeshLoadBalancingStrategy[];
  readonly rateLimits: MeshRateLimit[];
  readonly faultInjections: MeshFaultInjection[];
  readonly legacyHttp: LegacyHttpPolicy[];
  readonly secrets: Map<string, Secret>;
}

function emptyBag(): Bag {
  return {
    externalServices: [],
    meshExternalServices: [],
    permissions: [],
    meshPermissions: [],
    routes: [],
    virtualOutbounds: [],
    circuitBreakers: [],
    healthChecks: [],
    strategies: [],
    rateLimits: [],
    faultInjections: [],
    legacyHttp: [],
    secrets: new Map(),
  };
}

function bagOf(bags: Map<string, Bag>, { mesh }: Meta): Bag {
  const bag = bags.get(mesh) ?? emptyBag();
  bags.set(mesh, bag);
  return bag;
}

function withoutDuplicates(documents: readonly Document[], findings: Findings): readonly Document[] {
  const seen = new Map<string, Meta>();
  return documents.filter(({ kind, meta }) => {
    // What has no name has an error already.
    if (meta.name === '') return true;
    const key = JSON.stringify([kind, meta.mesh, meta.name]);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, meta);
    else {
      const field = meta.form === 'universal' ? 'name' : 'metadata.name';
      findings.error(meta.nameAt, field, `${kind} ${quote(meta.name)} is already defined at ${at(first.at)}`);
    }
    return first === undefined;
  });
}

function tellOfUnknownMeshes(documents: readonly Document[], meshes: readonly Mesh[], findings: Findings): void {
  const names = new Set(meshes.map(({ meta }) => meta.name));
  for (const { kind, meta } of documents) {
    if (meta.mesh === '' || names.has(meta.mesh)) continue;
    const hint = didYouMean(meta.mesh, names);
    findings.warn(meta.meshAt, 'mesh', `no Mesh ${quote(meta.mesh)} is among the resources${hint}; this ${kind} has no effect`);
  }
}

function byName(a: { readonly meta: Meta }, b: { readonly meta: Meta }): number {
  return a.meta.name < b.meta.name ? -1 : a.meta.name > b.meta.name ? 1 : 0;
}
