import { createFindings } from '../resources/findings.ts';
import { parseYaml } from '../resources/yaml.ts';
import type { ProxyType } from './control-plane-flags.ts';

/** Returns how the resource in a file joins; its reader reports what is wrong with it. */
export function proxyTypeOf(file: string, text: string): ProxyType {
  const [value] = parseYaml({ path: file, text }, createFindings(false));
  const type = value?.kind === 'map' ? value.entries.get('type')?.value : undefined;
  return type?.kind === 'scalar' && type.value === 'ZoneEgress' ? 'egress' : 'dataplane';
}
