import type { Document } from '../document.ts';
import type { Findings } from '../findings.ts';
import { readSelectors, selects } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { olderPolicyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

/**
 * Gives clients host names made from tags; what matters here is that they then ask for a service
 * with these tags in the SNI.
 */
export interface VirtualOutbound {
  /** Of which one has to admit a service. */
  readonly selectors: readonly Tags[];
  /** Names of the tags that go into the SNI, `kuma.io/service` mostly among them. */
  readonly tags: readonly string[];
}

const TAG_NAME = /^[a-zA-Z0-9.\-_:/]*$/;
const PARAMETER_NAME = /^[a-zA-Z0-9]+$/;

function readVirtualOutbound(document: Document, findings: Findings): VirtualOutbound {
  const spec = document.spec(['selectors', 'conf']);
  const selectors = readSelectors(spec, 'selectors', { atLeastOne: true }, findings);
  const conf = spec.object('conf', ['host', 'port', 'parameters']);
  if (conf === undefined) {
    if (!spec.has('conf')) spec.error('conf', 'has to be defined');
    return { selectors, tags: [] };
  }
  const tags = (conf.objects('parameters', ['name', 'tagKey']) ?? []).map((parameter) => {
    const name = parameter.text('name') ?? '';
    const tag = parameter.text('tagKey') ?? '';
    if (!PARAMETER_NAME.test(name)) parameter.error('name', 'must consist of alphanumeric characters');
    if (!TAG_NAME.test(tag)) parameter.error('tagKey', 'must be a valid tag name');
    return tag === '' ? name : tag;
  });
  for (const field of ['host', 'port']) {
    if ((conf.text(field) ?? '') === '') conf.error(field, 'has to be defined');
  }
  return { selectors, tags };
}

/**
 * The tags that clients put into the SNI of a service that has these; a tag that it lacks is there
 * and empty, as in Kuma.
 */
export function virtualTags(outbounds: readonly VirtualOutbound[], service: Tags): readonly Tags[] {
  return outbounds
    .filter(({ selectors }) => selectors.some((selector) => selects(selector, service)))
    .map(({ tags }) => new Map(tags.map((tag) => [tag, service.get(tag) ?? ''])));
}

export const virtualOutbound: PolicyKind<VirtualOutbound, 'virtualOutbounds'> = olderPolicyKind(
  'virtualOutbounds',
  readVirtualOutbound,
);
