import type { EnvoyHistogram } from '../../observe/envoy-histogram.ts';
import type { StatRow } from './stat-tables.ts';

export type Labels = readonly (readonly [name: string, value: string])[];

/** Statistics with one prefix. */
export interface StatScope {
  /** `cluster.default_backend.`; a row appends its name. */
  readonly prefix: string;
  /** `cluster`, for Prometheus, with the parts of the prefix as labels. */
  readonly family: string;
  readonly labels: Labels;
  /** The same object for all scopes with the same rows. */
  readonly rows: readonly { readonly name: string; readonly type: 'counter' | 'gauge'; readonly always?: true }[];
  /** One for each row. */
  readonly values: readonly number[];
  readonly histograms: readonly { readonly name: string; readonly histogram: EnvoyHistogram }[];
}

export function scope<Of>(
  prefix: string,
  family: string,
  labels: Labels,
  rows: readonly StatRow<Of>[],
  of: Of,
  histograms: StatScope['histograms'] = [],
): StatScope {
  return { prefix, family, labels, rows, values: rows.map(({ value }) => value(of)), histograms };
}
