import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { hashOf } from '../../model/hash-of.ts';
import { deepFreeze } from '../../resources/deep-freeze.ts';
import { meshName } from '../../model/names.ts';
import type { ContentHash, MeshName } from '../../model/names.ts';
import type { Mesh } from '../../model/snapshot.ts';
import type { AdsState, Held } from '../messages/ads-state.ts';
import { dataText } from '../messages/data-text.ts';
import { SPIFFE_VALIDATOR, validationComplaint } from './downstream-tls.ts';
import type { ChainTls, SecretOrInline } from './downstream-tls.ts';
import type { CertificateValidationContext, TlsCertificate } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SPIFFECertValidatorConfigSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js';
import { typeOf, unpack } from '../messages/typed-config.ts';

export type MeshRead =
  | { readonly kind: 'mesh'; readonly mesh: Mesh; readonly secrets: readonly (readonly [ContentHash, string])[] }
  /** Clients of the mesh are refused with `identity-unavailable`; nothing else is affected. */
  | { readonly kind: 'unavailable'; readonly why: string };

/**
 * Reads the certificates of one mesh, by the names in its chains, from what the control plane has
 * sent.
 */
export function readMesh(tls: ChainTls, secrets: AdsState['secrets']): MeshRead {
  const name = meshName(tls.mesh);
  const identity = resolved(tls.identity, secrets, certificateOf);
  if (identity.kind === 'unavailable') return identity;
  const trust = resolved(tls.trust, secrets, trustOf);
  if (trust.kind === 'unavailable') return trust;
  const pair = pairOf(identity.value);
  if (pair.kind === 'unavailable') return pair;
  const ca = trustText(trust.value, name);
  if (ca.kind === 'unavailable') return ca;
  const mesh: Mesh = {
    name,
    trust: ca.hash,
    ...(ca.domains.length === 0 ? {} : { trustDomains: ca.domains.map(([name, trust]) => ({ name, trust })) }),
    identity: { kind: 'given', cert: pair.cert[0], key: pair.key[0] },
  };
  const bundles = ca.domains.map(([, hash, text]): Keyed => [hash, text]);
  return { kind: 'mesh', mesh: deepFreeze(mesh), secrets: [pair.cert, pair.key, [ca.hash, ca.text], ...bundles] };
}

interface TrustText {
  readonly kind: 'text';
  readonly hash: ContentHash;
  readonly text: string;
  /** The trust domains of a SPIFFE validator. */
  readonly domains: readonly (readonly [name: string, hash: ContentHash, text: string])[];
}

type Unavailable = Extract<MeshRead, { kind: 'unavailable' }>;

function resolved<Value>(
  given: SecretOrInline<Value>,
  secrets: AdsState['secrets'],
  take: (secret: Secret) => Value | null,
): Unavailable | { readonly kind: 'value'; readonly value: Value } {
  if (given.kind === 'inline') return { kind: 'value', value: given.value };
  const held: Held<Secret> | undefined = secrets.get(given.name);
  if (held === undefined) return unavailable(`the control plane has not sent the secret ${given.name}`);
  const value = take(held.resource);
  return value === null
    ? unavailable(`the secret ${given.name} is a ${held.resource.type.case ?? 'secret of no kind'}`)
    : { kind: 'value', value };
}

function certificateOf({ type }: Secret): TlsCertificate | null {
  return type.case === 'tlsCertificate' ? type.value : null;
}

function trustOf({ type }: Secret): CertificateValidationContext | null {
  return type.case === 'validationContext' ? type.value : null;
}

type Keyed = readonly [ContentHash, string];

function pairOf(certificate: TlsCertificate): Unavailable | { readonly kind: 'pair'; readonly cert: Keyed; readonly key: Keyed } {
  const cert = dataText(certificate.certificateChain);
  const key = dataText(certificate.privateKey);
  if (cert.kind === 'text' && key.kind === 'text') {
    return { kind: 'pair', cert: [hashOf(cert.text), cert.text], key: [hashOf(key.text), key.text] };
  }
  const elsewhere = [cert, key].flatMap((part) => (part.kind === 'elsewhere' ? part.where : []));
  return unavailable(`its certificate or key is ${elsewhere.join(', ') || 'not there'}, and not in the secret`);
}

function trustText(validation: CertificateValidationContext, mesh: MeshName): Unavailable | TrustText {
  const complaint = validationComplaint(validation, mesh);
  if (complaint !== null) return unavailable(`of its CA: ${complaint}`);
  const validator = validation.customValidatorConfig?.typedConfig;
  if (typeOf(validator) === SPIFFE_VALIDATOR) return bundlesOf(validator, mesh);
  const ca = dataText(validation.trustedCa);
  if (ca.kind === 'text') return { kind: 'text', hash: hashOf(ca.text), text: ca.text, domains: [] };
  return unavailable(
    ca.kind === 'elsewhere' ? `its CA is ${ca.where}, and not in the secret` : `there is no CA for it in the secret`,
  );
}

/**
 * Each trust domain has a bundle of its own. The text of all bundles names the domains, so that it
 * changes with them.
 */
function bundlesOf(config: Parameters<typeof unpack>[0], mesh: MeshName): Unavailable | TrustText {
  const sent = unpack(config, SPIFFECertValidatorConfigSchema)?.trustDomains ?? [];
  const domains: (readonly [string, ContentHash, string])[] = [];
  for (const { name, trustBundle } of sent) {
    const bundle = dataText(trustBundle);
    if (bundle.kind === 'elsewhere')
      return unavailable(`the bundle of trust domain ${name} is ${bundle.where}, and not in the secret`);
    if (bundle.kind === 'absent') return unavailable(`there is no bundle of trust domain ${name} in the secret`);
    domains.push([name, hashOf(bundle.text), bundle.text]);
  }
  const [first] = domains;
  if (first === undefined) return unavailable('there is no CA for it in the secret');
  if (domains.length === 1 && first[0] === mesh) return { kind: 'text', hash: first[1], text: first[2], domains: [] };
  const text = domains.map(([name, , bundle]) => `trust domain ${name}\n${bundle.trim()}\n`).join('');
  return { kind: 'text', hash: hashOf(text), text, domains };
}

function unavailable(why: string): Unavailable {
  return { kind: 'unavailable', why };
}

/** A SPIFFE validator has bundles instead of a CA. */
function validatorOf({ customValidatorConfig }: CertificateValidationContext): string {
  const config = customValidatorConfig?.typedConfig;
  return config === undefined ? '' : `${typeOf(config)} ${Buffer.from(config.value).toString('base64')}`;
}

const keys = new WeakMap<ChainTls, string>();

/** Returns the same key for chains that terminate the mTLS of a mesh with the same certificates. */
export function tlsKey(tls: ChainTls): string {
  const known = keys.get(tls);
  if (known !== undefined) return known;
  const { identity, trust } = tls;
  const key = [
    identity.kind === 'secret'
      ? identity.name
      : JSON.stringify([dataText(identity.value.certificateChain), dataText(identity.value.privateKey)]),
    trust.kind === 'secret' ? trust.name : JSON.stringify([dataText(trust.value.trustedCa), validatorOf(trust.value)]),
  ];
  const short = createHash('sha256').update(key.join('\n')).digest('hex');
  keys.set(tls, short);
  return short;
}
