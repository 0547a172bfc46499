import type { SenderRule } from '../../model/http-route.ts';
import { serverName } from '../../model/names.ts';
import type { FilterStateMatcher } from '#envoy/type/matcher/v3/filter_state_pb.js';
import { FilterStateValue_SharedWithUpstream as Shared } from '#envoy/extensions/filters/common/set_filter_state/v3/value_pb.js';
import type { FilterStateValue } from '#envoy/extensions/filters/common/set_filter_state/v3/value_pb.js';
import type { Config as SetFilterState } from '#envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.js';
import { unknownField } from '../messages/typed-config.ts';
import { NotEvaluable, stringMatches, uriMatcher } from './principals.ts';

/** Facts that a chain keeps of each connection, so that its routes can compare them. */
export interface FilterState {
  readonly values: ReadonlyMap<string, StateValue>;
  /** The server names of the chain. */
  readonly serverNames: readonly string[];
}

/** `uri-list` means the URI SANs of the client; `other` can be compared with nothing here. */
export type StateValue = 'uri-list' | 'server-name' | 'other';

const FORMATS: ReadonlyMap<string, StateValue> = new Map([
  ['%DOWNSTREAM_PEER_URI_SAN%', 'uri-list'],
  ['%REQUESTED_SERVER_NAME%', 'server-name'],
]);

/** Keys that begin so have a meaning for Envoy itself. */
const OF_ENVOY = 'envoy.';

/**
 * Adds what a filter keeps of a connection. Returns why the filter is not understood; null where it
 * is. A value that other parts of Envoy read, e.g. the one that names another cluster, is not.
 */
export function readFilterState(config: SetFilterState, values: Map<string, StateValue>): string | null {
  if (unknownField(config) !== null) return `keeps what is not known here (${unknownField(config) ?? ''})`;
  // The certificate of the client is not there when a connection begins.
  const early = config.onNewConnection.map((value) => ({ value, early: true }));
  const later = [...config.onDownstreamTlsHandshake, ...config.onDownstreamData].map((value) => ({ value, early: false }));
  for (const { value, early: isEarly } of [...early, ...later]) {
    const { key, factoryKey, sharedWithUpstream } = value;
    const name = key.value ?? '';
    if (name === '' || name.startsWith(OF_ENVOY) || factoryKey !== 'envoy.string' || sharedWithUpstream !== Shared.NONE)
      return `keeps ${JSON.stringify(name)} for other parts of Envoy`;
    const read = formatOf(value);
    const now = isEarly && read === 'uri-list' ? 'other' : read;
    const before = values.get(name);
    values.set(name, before === undefined || before === now ? now : 'other');
  }
  return null;
}

function formatOf({ value }: FilterStateValue): StateValue {
  const format = value.case === 'formatString' ? value.value.format : undefined;
  if (format?.case === 'textFormat') return FORMATS.get(format.value) ?? 'other';
  const source = format?.case === 'textFormatSource' ? format.value.specifier : undefined;
  return source?.case === 'inlineString' ? (FORMATS.get(source.value) ?? 'other') : 'other';
}

/**
 * Returns the clients of a route with these conditions, or null where no connection of the chain
 * meets them. Throws NotEvaluable.
 */
export function clientsOf(matchers: readonly FilterStateMatcher[], state: FilterState): readonly SenderRule[] | null {
  const rules: SenderRule[] = [];
  for (const { key, matcher, $unknown = [] } of matchers) {
    if (matcher.case !== 'stringMatch' || $unknown.length > 0 || key.startsWith(OF_ENVOY))
      throw new NotEvaluable(`it compares ${key} by what is not known`);
    const { value: match } = matcher;
    switch (state.values.get(key)) {
      case 'uri-list':
        rules.push({ kind: 'client', principal: uriMatcher(match, 'uri-list') });
        break;
      case 'server-name': {
        const met = new Set(state.serverNames.map((name) => stringMatches(match, serverName(name), 'the server name')));
        if (met.size > 1) throw new NotEvaluable('it is for one of several server names');
        if (!met.has(true)) return null;
        break;
      }
      case 'other':
        throw new NotEvaluable(`it compares ${key}, which keeps what is not evaluated`);
      default:
        // Envoy compares nothing where the connection has no such value.
        return null;
    }
  }
  return rules;
}
