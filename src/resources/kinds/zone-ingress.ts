import type { Origin } from '../../model/compiled.ts';
import type { Document, Meta } from '../document.ts';
import type { Findings } from '../findings.ts';
import { isPort } from '../hosts.ts';
import { checkTags } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { checkAddress, collides } from './zone-egress.ts';
import type { Kind } from './kind.ts';

export interface ZoneIngress {
  readonly meta: Meta;
  /** Empty where the resource names no zone: it then counts as no ingress of another zone. */
  readonly zone: string;
  /** Other zones can reach the ingress only with both; '' and 0 where not written. */
  readonly advertisedAddress: string;
  readonly advertisedPort: number;
  readonly services: readonly AvailableService[];
  readonly findings: Findings;
}

export interface AvailableService {
  readonly tags: Tags;
  readonly mesh: string;
  /** 0 where not written. */
  readonly instances: number;
  readonly at: Origin;
  readonly path: string;
}

function readZoneIngress(document: Document): ZoneIngress {
  const { findings } = document;
  const spec = document.spec(['zone', 'networking', 'availableServices']);
  const networking = spec.object('networking', ['address', 'advertisedAddress', 'port', 'advertisedPort', 'admin']);
  const advertisedAddress = networking?.text('advertisedAddress') ?? '';
  const advertisedPort = networking?.count('advertisedPort') ?? 0;
  const port = networking?.count('port') ?? 0;
  const address = networking?.text('address') ?? '';
  if (networking !== undefined) {
    const admin = networking.object('admin', ['port']);
    const adminPort = admin?.count('port');
    if (collides(address, port, admin, adminPort) || collides(advertisedAddress, advertisedPort, admin, adminPort)) {
      admin?.error('port', 'must differ from port');
    }
    if (advertisedAddress === '' && advertisedPort !== 0) {
      networking.error('advertisedAddress', 'has to be defined with advertisedPort');
    }
    if (advertisedPort === 0 && advertisedAddress !== '') {
      networking.error('advertisedPort', 'has to be defined with advertisedAddress');
    }
    if (address !== '') checkAddress(networking, 'address', address);
    if (advertisedAddress !== '') checkAddress(networking, 'advertisedAddress', advertisedAddress);
    if (advertisedPort !== 0 && !isPort(advertisedPort)) {
      networking.error('advertisedPort', 'port must be in the range [1, 65535]');
    }
  }
  if (!isPort(port)) {
    (networking ?? spec).errorAt(networking?.place('port') ?? spec.at, 'networking.port', 'port must be in the range [1, 65535]');
  }
  const services = (spec.objects('availableServices', ['tags', 'instances', 'mesh', 'externalService']) ?? []).map((item, i) => {
    const tags = item.tags('tags');
    // Kuma's path has the singular.
    const path = `availableService[${i}].tags`;
    checkTags(
      tags === undefined ? { path, at: item.at, tags: new Map(), place: () => item.at } : { ...tags, path },
      { service: true },
      findings,
    );
    return {
      tags: tags?.tags ?? new Map<string, string>(),
      mesh: item.text('mesh') ?? '',
      instances: item.count('instances') ?? 0,
      at: item.at,
      path: item.path,
    };
  });
  return { meta: document.meta, zone: spec.text('zone') ?? '', advertisedAddress, advertisedPort, services, findings };
}

export const zoneIngress: Kind<ZoneIngress, 'global', 'ingresses'> = {
  scope: 'global',
  style: 'fields',
  namespaced: true,
  aboutOne: true,
  list: 'ingresses',
  byName: false,
  read: readZoneIngress,
};
