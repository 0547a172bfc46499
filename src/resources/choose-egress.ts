import { quote } from '../base/key-material.ts';
import type { Findings } from './findings.ts';
import type { DataplaneDefinition } from './kinds/dataplane.ts';
import type { ZoneEgress } from './kinds/zone-egress.ts';
import { zoneOfDataplanes } from './scoped/own-dataplanes.ts';

/**
 * Finds the ZoneEgress that this process is: the one with that name, or the only one. Null where
 * the choice is not clear, which is reported, and where only Dataplanes are served.
 */
export function chooseEgress(
  egresses: readonly ZoneEgress[],
  dataplanes: readonly DataplaneDefinition[],
  name: string | undefined,
  findings: Findings,
  isEmpty = false,
): ZoneEgress | null {
  const nowhere = { file: '--name', line: 0, column: 0 };
  const names = egresses.map(({ meta }) => meta.name).join(', ');
  if (dataplanes.length > 0 && isNoneOf(egresses, dataplanes, name)) return null;
  if (egresses.length === 0) {
    const none = 'no ZoneEgress is among the resources, and no Dataplane with a ZoneEgress listener: it says where to listen';
    findings.error({ ...nowhere, file: 'resources' }, '', isEmpty ? NO_RESOURCES : none);
    return null;
  }
  if (name === undefined) {
    const [only] = egresses;
    if (only !== undefined && egresses.length === 1) return only;
    findings.error(nowhere, '', `has to be set: ${egresses.length} ZoneEgresses are among the resources: ${names}`);
    return null;
  }
  // In Kubernetes form the name is `<name>.<namespace>`, and operators know the first half.
  const found = egresses.filter(({ meta }) => meta.name === name || meta.name === `${name}.${meta.namespace}`);
  const [chosen] = found;
  if (chosen !== undefined && found.length === 1) return chosen;
  const message = found.length === 0 ? 'no ZoneEgress has this name' : 'several ZoneEgresses have this name';
  findings.error(nowhere, '', `${quote(name)}: ${message}; there are: ${names}`);
  return null;
}

/** The likely reason is the wrong folder. */
const NO_RESOURCES = 'there are no resources at all; of a folder and its sub-folders the files *.yaml, *.yml and *.json are read';

function isNoneOf(
  egresses: readonly ZoneEgress[],
  dataplanes: readonly DataplaneDefinition[],
  name: string | undefined,
): boolean {
  if (egresses.length === 0) return true;
  const isCalled = ({ meta }: ZoneEgress | DataplaneDefinition): boolean => meta.name === name || meta.displayName === name;
  return !egresses.some(isCalled) && dataplanes.some(isCalled);
}

/** Returns the zone of the resource, else the option. */
export function zoneOfEgress(
  egress: ZoneEgress | null,
  dataplanes: readonly DataplaneDefinition[],
  option: string | undefined,
  findings: Findings,
): string {
  if (egress === null) {
    const zone = option !== undefined && option !== '' ? option : zoneOfDataplanes(dataplanes);
    const [first] = dataplanes;
    if (zone === '' && first !== undefined)
      findings.error(
        first.meta.at,
        'labels["kuma.io/zone"]',
        'is not set: say the zone here or with --zone; trust domains are made of it',
      );
    return zone;
  }
  const { zone, meta } = egress;
  if (zone === '') {
    if (option === undefined || option === '') {
      findings.error(meta.at, 'zone', 'is not set: say the zone here or with --zone; without it no other zone can be told apart');
    }
    return option ?? '';
  }
  if (option !== undefined && option !== '' && option !== zone) {
    findings.warn(meta.at, 'zone', `is ${quote(zone)}, and --zone says ${quote(option)}: the resource counts`);
  }
  return zone;
}
