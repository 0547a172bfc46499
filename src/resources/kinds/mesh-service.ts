import type { Document } from '../document.ts';
import type { Kind } from './kind.ts';

const PORT = ['name', 'port', 'targetPort', 'appProtocol'];
const PROTOCOLS: readonly string[] = ['grpc', 'http', 'http2', 'kafka', 'tcp'];

/**
 * Checks a MeshService, which is not served: clients reach a MeshService of another zone through
 * that zone's ingress, never through an egress.
 */
function checkMeshService(document: Document): void {
  const { meta, findings } = document;
  if (meta.displayName.length > 63) findings.error(meta.nameAt, 'name', 'must not be longer than 63 characters');
  const spec = document.spec(['selector', 'ports', 'identities', 'state']);
  const kinds = ['dataplaneTags', 'dataplaneRef', 'dataplaneLabels'];
  const selector = spec.object('selector', kinds);
  if (selector !== undefined && kinds.filter((kind) => selector.has(kind)).length > 1) {
    spec.error('selector', 'must specify only one of: dataplaneTags, dataplaneRef, or dataplaneLabels');
  }
  spec.objects('ports', PORT);
  tellNotServed(document);
}

function checkMeshMultiZoneService(document: Document): void {
  const spec = document.spec(['selector', 'ports']);
  const selected = spec.object('selector', ['meshService'])?.object('meshService', ['matchLabels']);
  if ((selected?.tags('matchLabels')?.tags.size ?? 0) === 0) {
    const at = selected?.place('matchLabels') ?? spec.place('selector');
    spec.errorAt(at, 'spec.selector.meshService.matchLabels', 'cannot be empty');
  }
  const ports = spec.objects('ports', PORT) ?? [];
  if (ports.length === 0) spec.error('ports', 'cannot be empty');
  for (const port of ports) {
    if (port.text('name') === '') port.error('name', 'must not be empty');
    const protocol = port.text('appProtocol') ?? 'tcp';
    if (!PROTOCOLS.includes(protocol)) port.error('appProtocol', `appProtocol must be one of: ${PROTOCOLS.join(', ')}`);
  }
  tellNotServed(document);
}

function tellNotServed({ kind, meta, findings }: Document): void {
  findings.warn(
    meta.at,
    '',
    `${kind} ${meta.name}: has no effect on a zone egress: clients reach it through the other zone's ingress`,
  );
}

export const meshService: Kind<void, 'mesh', null> = {
  scope: 'mesh',
  style: 'spec',
  namespaced: true,
  aboutOne: true,
  list: null,
  byName: false,
  read: checkMeshService,
};

export const meshMultiZoneService: Kind<void, 'mesh', null> = {
  scope: 'mesh',
  style: 'spec',
  namespaced: true,
  aboutOne: true,
  list: null,
  byName: false,
  read: checkMeshMultiZoneService,
};
