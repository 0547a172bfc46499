/** The texts of passed steps of a trace. */
import type { Allowed } from '../routing/authorise.ts';
import type { Chosen } from '../routing/choose.ts';
import { printable } from '../routing/route.ts';
import { describeSni } from '../wire/sni.ts';
import { targetName } from './endpoint-candidates.ts';
import type { ConnectionFacts } from './facts.ts';
import { oneLine } from '../base/plain-text.ts';

export function helloText({ serverName, alpn, tlsVersion }: ConnectionFacts): string {
  const sni = serverName === null ? 'no SNI' : `SNI "${printable(serverName)}"${oneLine(formText(serverName))}`;
  const offers = [...(alpn.length === 0 ? [] : [`ALPN ${alpn.join(', ')}`]), ...(tlsVersion === '' ? [] : [tlsVersion])];
  return [sni, ...offers].join(', ');
}

function formText(sni: string): string {
  const description = describeSni(sni);
  switch (description.form) {
    case 'tag':
      return ` (service ${description.service}, ${Object.entries(description.tags)
        .map(([tag, value]) => `${tag}=${value}`)
        .join(', ')})`;
    case 'hash':
      return ` (${description.kind} ${description.name}, port ${description.port}, mesh ${description.mesh})`;
    case 'kri':
      return ` (${description.kind} ${description.name}, port ${description.section}, mesh ${description.mesh})`;
    case 'other':
      return description.problem === '' ? " (none of Kuma's forms)" : ` (${description.problem})`;
    default:
      return description satisfies never;
  }
}

export function allowedText({ by, shadowDenied, wouldRefuse }: Allowed): string {
  if (wouldRefuse !== undefined)
    return `would be refused: ${wouldRefuse}; it passes because the mesh is report-only (--report-only)`;
  return `allowed by ${by}${shadowDenied ? ', by a rule that would deny (AllowWithShadowDeny)' : ''}`;
}

export function chosenText({ targets, priority, panic }: Chosen): string {
  const [first, ...others] = targets;
  const more = others.length === 0 ? '' : `, then ${others.length} more`;
  const name = first === undefined ? '' : targetName(first);
  return `${name}${more}${priority === 0 ? '' : `, priority ${priority}`}${panic ? ', too few are healthy so that health does not count' : ''}`;
}
