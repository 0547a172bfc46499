import { oneLine } from '../base/plain-text.ts';
import { plural } from '../base/plural.ts';
import { isProved } from './prove-suggestion.ts';
import type { AccessOf, SuggestionProof } from './prove-suggestion.ts';
import type { SeenUse } from './seen-use.ts';
import type { SuggestedPermission, Suggestion } from './suggest.ts';
import { resourceOf } from './suggestion-resources.ts';
import type { ResourceForm } from './suggestion-resources.ts';

/** A permission of today that decides about a destination and let in none of the records. */
export interface UnusedPermission {
  readonly name: string;
  /** `file:line`; empty where it is not known. */
  readonly place: string;
}

export interface SuggestionReport {
  readonly suggestion: Suggestion;
  /** With the suggestion beside the permissions of today; null where these are not known. */
  readonly beside: SuggestionProof | null;
  /** With it in place of the permissions of today in its meshes. */
  readonly instead: SuggestionProof;
  readonly unused: readonly UnusedPermission[];
  /** Destinations that are served and have no use in the records. */
  readonly unusedDestinations: readonly string[];
}

const MAX_NAMED = 50;

/** Writes YAML to apply, with the proof and all that cannot be suggested as comments. */
export function suggestionText(
  report: SuggestionReport,
  { form, toYaml }: { readonly form: ResourceForm; readonly toYaml: (value: unknown) => string },
): string {
  const { suggestion } = report;
  const resources = suggestion.permissions.flatMap((permission) => [
    '---',
    ...comment(usesOf(permission)),
    toYaml(resourceOf(permission, form)).trimEnd(),
  ]);
  return [...comment(headOf(report)), ...resources, ''].join('\n');
}

function comment(lines: readonly string[]): readonly string[] {
  return lines.map((line) => (line === '' ? '#' : `# ${oneLine(line)}`));
}

function headOf(report: SuggestionReport): readonly string[] {
  const { suggestion, beside, instead, unused, unusedDestinations } = report;
  const { permissions, exact, refused, leftOut, period } = suggestion;
  const meshes = [...new Set(permissions.map(({ mesh }) => mesh))].join(', ');
  const covered = period === null ? 'there is no record' : `the records are from ${time(period.from)} to ${time(period.to)}`;
  return [
    `${plural(permissions.length, 'permission')} for what was seen, by zone-egress suggest; ${covered}.`,
    ...(beside === null
      ? ['', 'The permissions of today are known by their effect only, so this is proved in their place.']
      : []),
    ...(beside === null || permissions.length === 0 ? [] : ['', ...proofOf('Beside the permissions of today', beside)]),
    ...(permissions.length === 0 ? [] : ['', ...proofOf(`In place of the permissions of today in mesh ${meshes}`, instead)]),
    ...listed(
      'Lets in exactly what was seen already, so nothing is suggested:',
      exact.map(({ mesh, destination, by }) => `${destination} of mesh ${mesh}: ${by}`),
    ),
    ...listed(
      'Permissions of today that let in none of these records. Check that the period is long enough before one goes:',
      unused.map(({ name, place }) => `${name}${place === '' ? '' : ` (${place})`}`),
    ),
    ...listed('Destinations without a use in these records:', unusedDestinations),
    ...listed('Refused by a permission, and left out (--include-refused takes them in):', refused.map(useText)),
    ...listed(
      'Left out, because nothing can be suggested for them:',
      leftOut.map(({ why, sessions, requests, example }) => `${counts(sessions, requests)} ${why}, e.g. ${example}`),
    ),
  ];
}

function proofOf(how: string, proof: SuggestionProof): readonly string[] {
  const { sessions, requests, notLetIn, opened, closed, isPartial } = proof;
  return [
    `${how}, simulate lets in ${sessions.letIn} of ${plural(sessions.of, 'session')} and ${requests.letIn} of ${plural(requests.of, 'request')}${isProved(proof) ? ', and no client gains access that was not seen' : ''}.`,
    ...listed('Not let in:', notLetIn, false),
    ...listed('GAIN ACCESS and were not seen:', opened.map(accessText), false),
    ...listed('Lose access:', closed.map(accessText), false),
    ...(isPartial ? ['Clients with several of the tags that permissions name were not compared.'] : []),
  ];
}

function accessText({ sni, clients }: AccessOf): string {
  const more = clients.length > MAX_NAMED ? ` and ${clients.length - MAX_NAMED} more` : '';
  return `${sni}: ${clients.slice(0, MAX_NAMED).join(', ')}${more}`;
}

function listed(title: string, items: readonly string[], apart = true): readonly string[] {
  if (items.length === 0) return [];
  const more = items.length > MAX_NAMED ? [`  and ${items.length - MAX_NAMED} more`] : [];
  return [...(apart ? [''] : []), title, ...items.slice(0, MAX_NAMED).map((item) => `  ${item}`), ...more];
}

/** Writes for each client of a permission how often it came, when last, and what lets it in now. */
function usesOf({ clients }: SuggestedPermission): readonly string[] {
  return clients.flatMap(({ uses }) => uses.map(useText));
}

function useText({ uris, destination, sessions, requests, lastAt, passed, by }: SeenUse): string {
  const how = {
    permission: by.length === 0 ? '' : `, let in by ${by.join(' and ')}`,
    'report-only': ', let through by report-only: a permission of today refuses it',
    refused: ', refused by a permission of today',
  }[passed];
  return `${clientText(uris)} -> ${destination}: ${counts(sessions.length, requests.length)}, last ${time(lastAt)}${how}`;
}

/** The tag of the service is in the SPIFFE id. */
function clientText(uris: readonly string[]): string {
  const ids = uris.filter((uri) => uri.startsWith('spiffe://'));
  const tags = uris.filter((uri) => !ids.includes(uri) && !uri.startsWith('kuma://kuma.io/service/'));
  return `${ids.join(' and ')}${tags.length === 0 ? '' : ` with ${tags.join(', ')}`}`;
}

function counts(sessions: number, requests: number): string {
  const parts = [
    ...(sessions > 0 || requests === 0 ? [plural(sessions, 'session')] : []),
    ...(requests > 0 ? [plural(requests, 'request')] : []),
  ];
  return parts.join(' and ');
}

/** A recording of another program may have any number. */
function time(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString();
}

/** The form of `-o json`, version 1. */
export function suggestionJson({ suggestion, ...report }: SuggestionReport, form: ResourceForm): object {
  const { permissions, uses, exact, refused, leftOut, period } = suggestion;
  const use = ({ sessions, requests, lastAt, ...each }: SeenUse): object => ({
    ...each,
    sessions: sessions.length,
    requests: requests.length,
    lastAt: time(lastAt),
  });
  const { beside, instead } = report;
  return {
    version: SUGGESTION_VERSION,
    proved: isProved(beside ?? instead),
    period: period === null ? null : { from: time(period.from), to: time(period.to) },
    resources: permissions.map((permission) => resourceOf(permission, form)),
    uses: uses.map(use),
    exact,
    refused: refused.map(use),
    leftOut,
    ...report,
  };
}

/** Increases when a field is removed or changes its meaning, not for new fields. */
export const SUGGESTION_VERSION = 1;
