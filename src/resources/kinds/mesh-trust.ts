import { cut } from '../../base/key-material.ts';
import type { DataSource } from '../data-source.ts';
import type { Document, Meta } from '../document.ts';
import type { Findings } from '../findings.ts';
import type { Kind } from './kind.ts';

/** The trust for clients of one trust domain. */
export interface MeshTrust {
  readonly meta: Meta;
  /** Empty where it is not written, which is reported. */
  readonly trustDomain: string;
  readonly bundles: readonly DataSource[];
  readonly findings: Findings;
}

function readMeshTrust(document: Document): MeshTrust {
  const { meta, findings } = document;
  const spec = document.spec(['origin', 'trustDomain', 'caBundles']);
  const trustDomain = spec.text('trustDomain') ?? '';
  if (trustDomain === '') spec.error('trustDomain', 'trustDomain needs to be defined');
  else if (trustDomain.length > 253) spec.error('trustDomain', 'value length must less or equal 253');
  else if (!/^[a-z0-9._-]+$/.test(trustDomain)) {
    spec.error(
      'trustDomain',
      'must be the trust domain of a SPIFFE id: lower case letters, digits, dots, hyphens and underscores',
    );
  }
  const items = spec.objects('caBundles', ['type', 'pem']) ?? [];
  if (items.length === 0) spec.error('caBundles', 'must not be empty');
  const bundles = items.flatMap((item): readonly DataSource[] => {
    const type = item.text('type') ?? '';
    if (type !== 'Pem') {
      item.error('type', `${JSON.stringify(cut(type))} must be one of ["Pem"]`);
      return [];
    }
    const pem = item.object('pem', ['value']);
    if (pem === undefined && !item.has('pem')) item.error('pem', 'must be defined');
    const value = pem?.opaque('value') ?? '';
    if (pem !== undefined && value === '') pem.error('value', 'must be defined');
    return pem === undefined || value === ''
      ? []
      : [{ kind: 'inlineString', value, path: pem.pathOf('value'), at: pem.place('value') }];
  });
  return { meta, trustDomain, bundles, findings };
}

export const meshTrust: Kind<MeshTrust, 'mesh', 'meshTrusts'> = {
  scope: 'mesh',
  style: 'spec',
  namespaced: true,
  aboutOne: true,
  list: 'meshTrusts',
  byName: false,
  read: readMeshTrust,
};
