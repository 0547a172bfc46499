import { cut } from '../base/key-material.ts';
import type { Origin } from '../model/compiled.ts';
import type { Fields } from './fields.ts';

/** The source of a certificate or a key, as written; not yet loaded. */
export interface DataSource {
  readonly kind: DataSourceKind;
  readonly value: string;
  /** Path and place of the data source, e.g. `networking.tls.caCert`. */
  readonly path: string;
  readonly at: Origin;
  /** True for the form of 3.0, which has a `type`. */
  readonly isNewForm?: true;
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

/** The types of Kuma's newer form, with the field that each is written under. */
const SECURE_TYPES = ['EnvVar', 'InsecureInline', 'File', 'Secret'] as const;
type SecureType = (typeof SECURE_TYPES)[number];
const HOLDERS: Readonly<Record<SecureType, string>> = {
  EnvVar: 'envVar',
  InsecureInline: 'insecureInline',
  File: 'file',
  Secret: 'secretRef',
};

/** Reads either of Kuma's forms: the newer one has a `type`. */
export function readEitherSource(parent: Fields, name: string, older: readonly DataSourceKind[]): DataSource | null | undefined {
  const isNewer = [...Object.values(HOLDERS), 'type'].some((field) => field !== 'file' && parent.namesIn(name).includes(field));
  return isNewer ? readSecureSource(parent, name) : readDataSource(parent, name, older);
}

/**
 * Reads `{ type: InsecureInline, insecureInline: { value } }` and so on, with Kuma's messages.
 * Undefined and null as in `readDataSource`.
 */
export function readSecureSource(parent: Fields, name: string): DataSource | null | undefined {
  if (!parent.has(name)) return undefined;
  const fields = parent.object(name, ['type', ...Object.values(HOLDERS)]);
  if (fields === undefined) return null;
  const text = fields.text('type') ?? '';
  const type = SECURE_TYPES.find((each) => each === text);
  if (type === undefined) {
    fields.error(
      'type',
      `${JSON.stringify(cut(text))} must be one of [${SECURE_TYPES.map((each) => JSON.stringify(each)).join(', ')}]`,
    );
    return null;
  }
  const holder = fields.object(
    HOLDERS[type],
    type === 'Secret' ? ['kind', 'name'] : type === 'File' ? ['path'] : ['name', 'value'],
  );
  if (holder === undefined) {
    if (!fields.has(HOLDERS[type])) fields.error(HOLDERS[type], 'must be defined');
    return null;
  }
  const at = { path: fields.path, at: parent.place(name), isNewForm: true } as const;
  const value = (field: string, read: 'text' | 'opaque'): string | null => {
    const found = holder[read](field);
    if (found !== undefined && found !== '') return found;
    if (found === '' || !holder.has(field)) holder.error(field, 'must be defined');
    return null;
  };
  switch (type) {
    case 'InsecureInline': {
      const inline = value('value', 'opaque');
      return inline === null ? null : { kind: 'inlineString', value: inline, ...at };
    }
    case 'File': {
      const path = value('path', 'text');
      return path === null ? null : { kind: 'file', value: path, ...at };
    }
    case 'Secret': {
      const kind = holder.text('kind') ?? '';
      if (kind !== 'Secret') holder.error('kind', `${JSON.stringify(cut(kind))} must be one of ["Secret"]`);
      const secret = value('name', 'text');
      return secret === null || kind !== 'Secret' ? null : { kind: 'secret', value: secret, ...at };
    }
    case 'EnvVar':
      fields.error('type', 'is EnvVar, a variable of the control plane: use Secret, File or InsecureInline');
      return null;
    default:
      return type satisfies never;
  }
}
