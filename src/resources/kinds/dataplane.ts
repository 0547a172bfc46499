import { quote } from '../../base/key-material.ts';
import type { Origin } from '../../model/compiled.ts';
import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import { hostKind, isPort } from '../hosts.ts';
import type { Kind } from './kind.ts';
import { DEFAULT_ADMIN_PORT } from './zone-egress.ts';

/** A proxy of one mesh. Only the name is read for one that is no zone egress. */
export interface DataplaneDefinition {
  readonly meta: Meta;
  /** Its ZoneEgress listeners; empty for another proxy, such as a sidecar. */
  readonly egresses: readonly ZoneEgressListener[];
  readonly adminPort: number;
  /** `networking.address`; empty for another proxy. */
  readonly address: string;
}

export interface ZoneEgressListener {
  /** Empty where it has none. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Sidecars use it. */
  readonly isReady: boolean;
  readonly at: Origin;
  /** Path in the resource, e.g. `networking.listeners[0]`. */
  readonly path: string;
}

const NETWORKING = [
  'address',
  'advertisedAddress',
  'gateway',
  'inbound',
  'outbound',
  'transparentProxying',
  'admin',
  'listeners',
];
const STATES: readonly string[] = ['Ready', 'NotReady', 'Ignored'];

function readDataplane(document: Document): DataplaneDefinition {
  const { meta } = document;
  const spec = document.spec(['networking', 'metrics', 'probes', 'envoy']);
  const listed = spec.object('networking', NETWORKING);
  const listeners = listed?.objects('listeners', ['type', 'name', 'address', 'port', 'state', 'tags']) ?? [];
  if (listed === undefined || !listeners.some((listener) => listener.text('type') === 'ZoneEgress')) {
    document.findings.warn(meta.kindAt, meta.form === 'universal' ? 'type' : 'kind', 'Dataplane: has no effect on a zone egress');
    return { meta, egresses: [], adminPort: DEFAULT_ADMIN_PORT, address: '' };
  }
  const address = listed.text('address') ?? '';
  if (hostKind(address) === null) listed.error('address', 'address has to be valid IP address or domain name');
  else checkWildcard(listed, address);
  if (listed.has('inbound')) listed.warn('inbound', 'is not served: this egress is no sidecar');
  const egresses = readListeners(listeners);
  const admin = listed.object('admin', ['port']);
  const adminPort = admin?.count('port') ?? DEFAULT_ADMIN_PORT;
  if (adminPort > 65_535) admin?.error('port', 'port must be in the range [0, 65535]');
  if (egresses.some((egress) => egress.port === adminPort && egress.address === '127.0.0.1')) {
    admin?.error('port', 'must differ from the port of a listener on 127.0.0.1');
  }
  return { meta, egresses, adminPort, address };
}

/** Reads listeners with Kuma's messages; reports a ZoneIngress. */
function readListeners(listeners: readonly Fields[]): readonly ZoneEgressListener[] {
  const places = new Set<string>();
  const names = new Set<string>();
  return listeners.flatMap((listener) => {
    const type = listener.text('type') ?? '';
    if (type !== 'ZoneEgress' && type !== 'ZoneIngress') listener.error('type', 'type must be ZoneIngress or ZoneEgress');
    const address = listener.text('address') ?? '';
    if (address === '') listener.error('address', "address can't be empty");
    else if (hostKind(address) !== 'ip') listener.error('address', 'address has to be a valid IP address');
    else checkWildcard(listener, address);
    const port = listener.count('port') ?? 0;
    if (!isPort(port)) listener.error('port', 'port must be in the range [1, 65535]');
    const name = listener.text('name') ?? '';
    if (name !== '' && names.has(name))
      listener.error('name', `name ${quote(name)} must be unique across inbounds and listeners`);
    names.add(name);
    const place = `${address}:${port}`;
    if (places.has(place))
      listener.errorAt(listener.at, listener.path, `address:port ${place} is already used by another listener`);
    places.add(place);
    const state = listener.text('state') ?? 'Ready';
    if (!STATES.includes(state)) listener.error('state', `must be one of ${STATES.join(', ')}`);
    if (type === 'ZoneIngress') listener.warn('type', 'ZoneIngress is not served: this is a zone egress only');
    return type === 'ZoneEgress'
      ? [{ name, address, port, isReady: state === 'Ready', at: listener.at, path: listener.path }]
      : [];
  });
}

function checkWildcard(fields: Fields, address: string): void {
  if (address === '0.0.0.0' || address === '::') fields.error('address', 'must not be 0.0.0.0 or ::');
}

export const dataplane: Kind<DataplaneDefinition, 'mesh', 'dataplanes'> = {
  scope: 'mesh',
  style: 'fields',
  namespaced: true,
  aboutOne: false,
  list: 'dataplanes',
  byName: false,
  read: readDataplane,
};
