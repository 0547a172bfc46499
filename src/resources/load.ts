import type { X509Certificate } from 'node:crypto';
import { cut, quote } from '../base/key-material.ts';
import { decodeBase64 } from './base64.ts';
import type { DataSource } from './data-source.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import type { Findings } from './findings.ts';
import type { PemPair, PemStore } from './pem.ts';
import { validityProblem } from './tls-material.ts';
import type { PairUse } from './tls-material.ts';
import { at } from './resource-set.ts';
import type { MeshResources, ResourceSet } from './resource-set.ts';
import type { ContentHash } from '../model/names.ts';

/** Reads a file. The caller provides it, because this room does no IO. */
export type ReadFile = (path: string) => { readonly text: string } | { readonly error: string };

export interface Loader {
  /**
   * Loads a bundle of CA certificates. Returns null for a problem, which is reported at the data
   * source to the `findings` of the caller.
   */
  bundle(mesh: MeshResources, source: DataSource, findings: Findings): ContentHash | null;
  pair(mesh: MeshResources, pair: PairSource, findings: Findings): PemPair | null;
}

/** The sources of a certificate and its key, and their use. */
export interface PairSource {
  readonly cert: DataSource;
  readonly key: DataSource;
  readonly use: PairUse;
}

export function createLoader(
  resources: ResourceSet,
  pems: PemStore,
  { readFile, nowMs }: { readonly readFile: ReadFile | undefined; readonly nowMs: number | undefined },
): Loader {
  const load = (mesh: MeshResources, source: DataSource, findings: Findings): string | null => {
    const loaded = textOf(mesh, source, resources, readFile);
    if (loaded.kind === 'problem') {
      if (loaded.isSaid) findings.breaks(loaded.message);
      else findings.error(source.at, source.path, loaded.message);
    }
    return loaded.kind === 'text' ? loaded.text : null;
  };
  const validity = (certificate: X509Certificate): string | null =>
    nowMs === undefined ? null : validityProblem(certificate, nowMs);
  return {
    bundle(mesh, source, findings) {
      const text = load(mesh, source, findings);
      if (text === null) return null;
      const bundle = pems.bundle(text);
      if (bundle.kind === 'problem') {
        findings.error(source.at, source.path, bundle.message);
        return null;
      }
      const whys = bundle.certificates.map((certificate) => validity(certificate));
      const [first = null] = whys;
      if (first !== null && !whys.includes(null)) findings.warn(source.at, source.path, `verifies no certificate now: ${first}`);
      return bundle.hash;
    },
    pair(mesh, { cert, key, use }, findings) {
      const certText = load(mesh, cert, findings);
      const keyText = load(mesh, key, findings);
      if (certText === null || keyText === null) return null;
      const pair = pems.pair(certText, keyText, use);
      if (pair.kind === 'pair') {
        const [leaf] = pair.certificates;
        const why = use === 'issuer' || leaf === undefined ? null : validity(leaf);
        if (why !== null) findings.warn(cert.at, cert.path, why);
        return pair;
      }
      const { at, path } = pair.of === 'cert' ? cert : key;
      findings.error(at, path, pair.message);
      return null;
    },
  };
}

type Loaded =
  | { readonly kind: 'text'; readonly text: string }
  /** `isSaid`: the problem is already reported at its place. */
  | { readonly kind: 'problem'; readonly message: string; readonly isSaid?: boolean };

function textOf(mesh: MeshResources, source: DataSource, resources: ResourceSet, readFile: ReadFile | undefined): Loaded {
  switch (source.kind) {
    case 'inlineString':
      return { kind: 'text', text: source.value };
    case 'inline': {
      const text = decodeBase64(source.value);
      return text === null ? problem('inline must be base64') : { kind: 'text', text };
    }
    case 'secret': {
      const secret = mesh.secrets.get(source.value);
      if (secret === undefined) return problem(noSecret(mesh, source.value, resources));
      if (secret.text !== null) return { kind: 'text', text: secret.text };
      return {
        ...problem(`the Secret ${quote(source.value)} cannot be read (${at(secret.at)})`),
        isSaid: source.at === secret.at,
      };
    }
    case 'file': {
      if (readFile === undefined) return problem('files are not read here: use secret, inline or inlineString');
      const file = readFile(source.value);
      return 'error' in file ? problem(`file ${cut(source.value)}: ${file.error}`) : { kind: 'text', text: file.text };
    }
    default:
      return source.kind satisfies never;
  }
}

function problem(message: string): Extract<Loaded, { kind: 'problem' }> {
  return { kind: 'problem', message };
}

function noSecret({ mesh, secrets }: MeshResources, name: string, resources: ResourceSet): string {
  const hint = resources.globalSecrets.has(name)
    ? ' (there is a GlobalSecret of this name, which no mesh can use)'
    : didYouMean(name, secrets.keys());
  return `no Secret ${quote(name)} is among the resources of mesh ${quote(mesh.meta.name)}${hint}`;
}
