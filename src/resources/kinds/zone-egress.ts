import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import { hostKind, isPort } from '../hosts.ts';
import type { Kind } from './kind.ts';

export interface ZoneEgress {
  readonly meta: Meta;
  /** Empty where the resource names no zone. */
  readonly zone: string;
  readonly address: string;
  readonly port: number;
  readonly adminPort: number;
}

/** Kuma's default of `bootstrapServer.params.adminPort`. */
export const DEFAULT_ADMIN_PORT = 9901;

export function readZoneEgress(document: Document): ZoneEgress {
  const spec = document.spec(['zone', 'networking']);
  const networking = spec.object('networking', ['address', 'port', 'admin']);
  const address = networking?.text('address') ?? '';
  const port = networking?.count('port') ?? 0;
  const admin = networking?.object('admin', ['port']);
  const adminPort = admin?.count('port');
  if ((adminPort ?? 0) > 65_535) admin?.error('port', 'port must be in the range [0, 65535]');
  if (networking !== undefined) {
    if (collides(address, port, admin, adminPort)) admin?.error('port', 'must differ from port');
    if (address !== '') checkAddress(networking, 'address', address);
  }
  if (!isPort(port)) {
    const at = networking ?? spec;
    at.errorAt(networking?.place('port') ?? spec.at, 'networking.port', 'port must be in the range [1, 65535]');
  }
  return { meta: document.meta, zone: spec.text('zone') ?? '', address, port, adminPort: adminPort ?? DEFAULT_ADMIN_PORT };
}

/**
 * Tells whether a port collides with the admin API, which listens on loopback: equal ports collide
 * only for a loopback address or for all addresses.
 */
export function collides(address: string, port: number, admin: Fields | undefined, adminPort: number | undefined): boolean {
  return admin !== undefined && (adminPort ?? 0) === port && ['127.0.0.1', '0.0.0.0', '::'].includes(address);
}

/** Kuma reports an address at `networking.address.address`. */
export function checkAddress(networking: Fields, name: string, address: string): void {
  const path = `${networking.pathOf(name)}.address`;
  if (address === '0.0.0.0' || address === '::') {
    networking.errorAt(networking.place(name), path, 'must not be 0.0.0.0 or ::');
  }
  if (hostKind(address) === null) {
    networking.errorAt(networking.place(name), path, 'address has to be valid IP address or domain name');
  }
}

export const zoneEgress: Kind<ZoneEgress, 'global', 'egresses'> = {
  scope: 'global',
  style: 'fields',
  namespaced: true,
  aboutOne: false,
  list: 'egresses',
  byName: false,
  read: readZoneEgress,
};
