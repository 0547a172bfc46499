import type { Origin } from '../model/compiled.ts';
import type { Fields } from './fields.ts';

/** The source of a certificate or a key, as written; not yet loaded. */
export interface DataSource {
  readonly kind: DataSourceKind;
  readonly value: string;
  /** Path and place of the data source, e.g. `networking.tls.caCert`. */
  readonly path: string;
  readonly at: Origin;
}

export type DataSourceKind = 'secret' | 'file' | 'inline' | 'inlineString';

const ALL_KINDS: readonly DataSourceKind[] = ['secret', 'file', 'inline', 'inlineString'];
/** The data sources that policies and resources with a `spec` allow: no files. */
export const SPEC_DATA_SOURCES: readonly DataSourceKind[] = ['secret', 'inline', 'inlineString'];

function isKeyHolder(kind: DataSourceKind): boolean {
  return kind === 'inline' || kind === 'inlineString';
}

/**
 * Returns undefined without a data source, and null for one that cannot be used, which is reported.
 */
export function readDataSource(
  parent: Fields,
  name: string,
  kinds: readonly DataSourceKind[] = ALL_KINDS,
): DataSource | null | undefined {
  if (!parent.has(name)) return undefined;
  const fields = parent.object(name, kinds);
  if (fields === undefined) return null;
  const set = kinds.filter((kind) => fields.has(kind));
  const [kind] = set;
  const value = kind === undefined ? '' : isKeyHolder(kind) ? fields.opaque(kind) : fields.text(kind);
  if (value === undefined) return null;
  if (kind === undefined || value === '') {
    parent.error(name, 'data source cannot be empty');
    return null;
  }
  if (set.length > 1) {
    parent.error(name, `only one of ${set.join(', ')} can be defined`);
    return null;
  }
  return { kind, value, path: fields.path, at: parent.place(name) };
}
