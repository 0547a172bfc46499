import type { Document } from '../document.ts';
import type { Findings } from '../findings.ts';
import { readSelectors, selects } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { olderPolicyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

/**
 * Gives clients host names made from tags. The egress needs only the tags, which those clients put
 * into the SNI.
 */
export interface VirtualOutbound {
  /** A service has to match one of these. */
  readonly selectors: readonly Tags[];
  /** Names of the tags that go into the SNI; they usually include `kuma.io/service`. */
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
 * Returns the tags that clients put into the SNI of a service. A tag that the service lacks is
 * present and empty, as in Kuma.
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
