import type { Origin } from '../../model/compiled.ts';
import { decodeBase64 } from '../base64.ts';
import type { Document, Meta } from '../document.ts';
import type { Kind } from './kind.ts';

/** A Secret of a mesh, or a GlobalSecret, whose mesh in `meta` is empty. */
export interface SecretResource {
  readonly meta: Meta;
  /**
   * Null where it could not be read, which is reported. Then only resources that refer to it are
   * refused.
   */
  readonly text: string | null;
  readonly at: Origin;
  /** The path of the payload, e.g. `data` or `data.value`. */
  readonly field: string;
}

/**
 * Reads the payload. Universal form has base64 in `data`; Kubernetes has it in `data.value`, or
 * plain text in `stringData.value`.
 */
function readSecret(document: Document): SecretResource {
  const { meta, findings } = document;
  const spec = document.spec(['data']);
  const plain = spec.object('stringData', ['value'])?.opaque('value');
  const inKubernetes = meta.form === 'kubernetes';
  const holder = inKubernetes ? spec.object('data', ['value']) : spec;
  const name = inKubernetes ? 'value' : 'data';
  if (plain !== undefined) return { meta, text: plain, at: spec.place('stringData'), field: 'stringData.value' };
  const encoded = holder?.opaque(name);
  const at = holder?.place(name) ?? spec.at;
  const field = inKubernetes ? 'data.value' : 'data';
  if (encoded === undefined) {
    if (holder?.has(name) !== true) findings.error(at, field, 'cannot be empty');
    return { meta, text: null, at, field };
  }
  const text = decodeBase64(encoded);
  if (text === null) findings.error(at, field, 'must be base64');
  return { meta, text, at, field };
}

export const secret: Kind<SecretResource, 'mesh', 'secrets', true> = {
  scope: 'mesh',
  style: 'fields',
  namespaced: false,
  aboutOne: true,
  list: 'secrets',
  byName: true,
  read: readSecret,
};

export const globalSecret: Kind<SecretResource, 'global', 'globalSecrets', true> = {
  scope: 'global',
  style: 'fields',
  namespaced: false,
  aboutOne: true,
  list: 'globalSecrets',
  byName: true,
  read: readSecret,
};
