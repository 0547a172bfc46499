import type { X509Certificate } from 'node:crypto';
import { refuse } from '../base/refusal.ts';
import type { CertificateCheck, Refusal } from '../base/refusal.ts';
import type { PeerFacts, Verification, VerifiedClient } from '../model/client.ts';
import type { TrustedDomain } from '../model/credentials.ts';
import type { MeshName, SpiffeId } from '../model/names.ts';
import type { CertificateAlert } from '../wire/alert.ts';
import { chainError, sentChain } from './check-chain.ts';
import { OID, readCertificate } from './der.ts';
import type { DerCertificate, GeneralName } from './der.ts';
import { readBundle } from './pem.ts';
import { claimsSpiffe, parseSpiffeId } from './spiffe.ts';

/**
 * The gate, and the only maker of a VerifiedClient. OpenSSL checks the chain. Everything else is
 * checked here, including what OpenSSL should have checked, because its versions differ
 * (docs/decisions/client-verification.md). Revocation is not checked: mesh certificates are
 * short-lived.
 */
export function verifyClient(mesh: MeshName, peer: PeerFacts): Verification {
  const { certificate } = peer;
  if (certificate === undefined) {
    const refusal = refuse('no-client-certificate', 'the client sent no certificate');
    return { kind: 'rejected', refusal, certificate: null, alert: 'certificate-required' };
  }
  const der = readCertificate(certificate.raw);
  if (der.kind === 'unreadable') {
    return rejected(untrusted(`the client certificate cannot be read: ${der.why}`, 'bad-certificate'), certificate, []);
  }
  const names = readNames(der.certificate.altNames);
  const claimed = names.kind === 'names' ? names.uris.filter(claimsSpiffe) : [];
  const domains = domainsOf(mesh, peer);
  const problem =
    chainProblem(mesh, peer, claimed, domains) ??
    leafProblem(certificate, der.certificate, peer.nowMs) ??
    (names.kind === 'bad' ? untrusted(names.why, 'bad-certificate', 'names') : firstNameProblem(names.uris, peer));
  const refusedAs = (wrong: Wrong): Verification =>
    // Envoy's SPIFFE validator sends one alert for every fault.
    rejected(peer.trustDomains === undefined ? wrong : { ...wrong, alert: 'certificate-unknown' }, certificate, claimed);
  if (problem !== null) return refusedAs(problem);
  const identity = identityOf(mesh, claimed, domains);
  if (identity.kind === 'wrong') return refusedAs(identity);
  const foreign = bundleProblem(certificate, identity.trustDomain, peer);
  if (foreign !== null) return refusedAs(foreign);
  const client = {
    mesh,
    spiffeIds: Object.freeze(identity.ids),
    uris: Object.freeze(names.kind === 'names' ? names.uris : []),
    issuer: oneLine(certificate.issuer),
    expiry: new Date(der.certificate.notAfter).toISOString(),
  } as unknown as VerifiedClient; // the key of the brand is unreachable on purpose; no other code makes one
  return { kind: 'verified', client: Object.freeze(client) };
}

/**
 * Translates OpenSSL's verdict. The claims of the certificate tell a client of another mesh apart;
 * it is refused too, with a reason for the operator.
 */
function chainProblem(
  mesh: MeshName,
  { authorized, authorizationError }: PeerFacts,
  claimed: readonly string[],
  domains: ReadonlySet<string>,
): Wrong | null {
  if (authorized) return null;
  const code = authorizationError ?? 'UNSPECIFIED';
  const { why, alert } = CHAIN_ERRORS[code] ?? { why: 'OpenSSL refuses it', alert: 'certificate-unknown' };
  const of = new Set(claimed.map((uri) => parseSpiffeId(uri)).map((id) => (id.kind === 'spiffe' ? id.trustDomain : mesh)));
  if (of.size > 0 && ![...of].some((each) => domains.has(each) || each === mesh)) {
    return wrong(
      refuse('wrong-mesh', `the client is of mesh ${someOf([...of])}, the SNI names mesh ${mesh}: ${why} (${code})`, 'chain'),
      alert,
    );
  }
  return untrusted(`the client certificate does not lead to the CA of mesh ${mesh}: ${why} (${code})`, alert);
}

/**
 * Refuses a client whose first URI name is no SPIFFE id, where trust domains decide: Envoy's SPIFFE
 * validator reads that name alone.
 */
function firstNameProblem(uris: readonly string[], { trustDomains }: PeerFacts): Wrong | null {
  const [first] = uris;
  if (trustDomains === undefined || first === undefined || claimsSpiffe(first) || !uris.some(claimsSpiffe)) return null;
  return untrusted(
    `the first URI name of the client certificate, ${shown(first)}, is no SPIFFE id: with trust domains it has to be one`,
    'certificate-unknown',
    'names',
  );
}

/** Returns the trust domains that clients of a mesh may belong to. */
function domainsOf(mesh: MeshName, { trustDomains }: PeerFacts): ReadonlySet<string> {
  return new Set(trustDomains === undefined ? [mesh] : trustDomains.map(({ name }) => name));
}

/** Refuses a chain to the CA of one trust domain for a client of another. */
function bundleProblem(certificate: X509Certificate, trustDomain: string, { trustDomains, chain }: PeerFacts): Wrong | null {
  const domain = trustDomains?.find(({ name }) => name === trustDomain);
  if (domain === undefined) return null;
  const bundle = bundleOf(domain);
  const error = chainError(chain ?? sentChain(certificate), bundle);
  if (error === null) return null;
  return untrusted(
    `the client certificate is of trust domain ${trustDomain} and does not lead to a CA of it (${error})`,
    'certificate-unknown',
  );
}

const bundles = new WeakMap<TrustedDomain, readonly X509Certificate[]>();

function bundleOf(domain: TrustedDomain): readonly X509Certificate[] {
  const known = bundles.get(domain);
  if (known !== undefined) return known;
  const read = readBundle(domain.trust);
  const certificates = read.kind === 'bundle' ? read.certificates : [];
  bundles.set(domain, certificates);
  return certificates;
}

/**
 * Quotes only a few names: a certificate that leads to no trusted CA may hold any number of them.
 */
function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 4).map((name) => name.slice(0, 100));
  return names.length > 4 ? `${shown.join(', ')} and ${names.length - 4} more` : shown.join(', ');
}

/** Checks the leaf itself, independent of its signer. */
function leafProblem(certificate: X509Certificate, der: DerCertificate, nowMs: number): Wrong | null {
  const iso = (ms: number): string => new Date(ms).toISOString();
  if (nowMs < der.notBefore) {
    return untrusted(`the client certificate is valid from ${iso(der.notBefore)}, it is ${iso(nowMs)}`, 'certificate-expired');
  }
  if (nowMs > der.notAfter) {
    return untrusted(`the client certificate expired ${iso(der.notAfter)}, it is ${iso(nowMs)}`, 'certificate-expired');
  }
  // X509-SVID section 4: a leaf is no CA and signs no certificates.
  if (certificate.ca || der.isCa) return untrusted('the client certificate is a CA certificate', 'unsupported-certificate');
  const { keyUsage, extendedKeyUsage } = der;
  if (keyUsage !== null) {
    if (!keyUsage.has('digitalSignature'))
      return untrusted('the key usage of the client certificate has no digitalSignature', 'unsupported-certificate');
    if (keyUsage.has('keyCertSign') || keyUsage.has('cRLSign')) {
      return untrusted('the key usage of the client certificate lets it sign certificates', 'unsupported-certificate');
    }
  }
  if (extendedKeyUsage !== null && !extendedKeyUsage.includes(OID.clientAuth)) {
    return untrusted('the extended key usage of the client certificate has no clientAuth', 'unsupported-certificate');
  }
  return keyProblem(certificate);
}

const MIN_RSA_BITS = 2_048;
const CURVES: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1'];

function keyProblem(certificate: X509Certificate): Wrong | null {
  const key = publicKeyOf(certificate);
  if (key === null) return untrusted('the key of the client certificate cannot be read', 'bad-certificate');
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      if (modulusLength !== undefined && modulusLength >= MIN_RSA_BITS) return null;
      return untrusted(
        `the client certificate has an RSA key of ${modulusLength ?? 'unknown'} bits (at least ${MIN_RSA_BITS})`,
        'bad-certificate',
      );
    case 'ec':
      if (namedCurve !== undefined && CURVES.includes(namedCurve)) return null;
      return untrusted(
        `the client certificate has a key on ${namedCurve ?? 'a curve of its own'} (P-256, P-384 or P-521)`,
        'bad-certificate',
      );
    case 'ed25519':
      return null;
    default:
      return untrusted(
        `the client certificate has a key of type ${key.asymmetricKeyType ?? 'unknown'}`,
        'unsupported-certificate',
      );
  }
}

/** Reading a key can throw: the client may have invented its parameters. */
function publicKeyOf(certificate: X509Certificate): X509Certificate['publicKey'] | null {
  try {
    return certificate.publicKey;
  } catch {
    return null;
  }
}

type Names = { readonly kind: 'names'; readonly uris: readonly string[] } | { readonly kind: 'bad'; readonly why: string };

/**
 * Reads names as plain text only: visible ASCII, without the characters that other readers of the
 * certificate, and of our log, use to join and quote names.
 */
function readNames(altNames: readonly GeneralName[]): Names {
  const uris: string[] = [];
  for (const { kind, bytes } of altNames) {
    if (kind !== 'uri' && kind !== 'dns' && kind !== 'email') continue;
    const text = bytes.toString('latin1');
    if (!/^[\x21-\x7e]*$/.test(text) || /[,"'\\]/.test(text)) {
      return {
        kind: 'bad',
        why: `a ${kind.toUpperCase()} name of the client certificate contains a character that is not allowed`,
      };
    }
    if (kind === 'uri') uris.push(text);
  }
  return { kind: 'names', uris };
}

/**
 * Kuma issues one id for each service of the data plane. All of them must belong to this mesh, byte
 * for byte.
 */
function identityOf(
  mesh: MeshName,
  claimed: readonly string[],
  domains: ReadonlySet<string>,
): Wrong | { readonly kind: 'ids'; readonly ids: SpiffeId[]; readonly trustDomain: string } {
  const ids: SpiffeId[] = [];
  let trustDomain = '';
  if (claimed.length === 0) return untrusted('the client certificate has no spiffe:// URI name', 'certificate-unknown', 'names');
  for (const uri of claimed) {
    const parsed = parseSpiffeId(uri);
    if (parsed.kind === 'invalid') {
      return untrusted(
        `the client certificate has a bad SPIFFE id, ${shown(uri)}: ${parsed.why}`,
        'certificate-unknown',
        'names',
      );
    }
    if (!domains.has(parsed.trustDomain) || (trustDomain !== '' && trustDomain !== parsed.trustDomain)) {
      return wrong(
        refuse('wrong-mesh', `the client certificate has the id ${shown(uri)}, the SNI names mesh ${mesh}`, 'names'),
        'certificate-unknown',
      );
    }
    trustDomain = parsed.trustDomain;
    ids.push(parsed.id);
  }
  return { kind: 'ids', ids, trustDomain };
}

/** A fault of a client certificate: the sentence for the operator, and the alert for the client. */
interface Wrong {
  readonly kind: 'wrong';
  readonly refusal: Refusal;
  readonly alert: CertificateAlert;
}

function wrong(refusal: Refusal, alert: CertificateAlert): Wrong {
  return { kind: 'wrong', refusal, alert };
}

function untrusted(detail: string, alert: CertificateAlert, check: CertificateCheck = 'chain'): Wrong {
  return wrong(refuse('client-not-trusted', detail, check), alert);
}

const MAX_SHOWN = 256;
const MAX_SUMMARY_IDS = 8;

function rejected({ refusal, alert }: Wrong, certificate: X509Certificate, claimed: readonly string[]): Verification {
  const summary = {
    spiffeIds: claimed.slice(0, MAX_SUMMARY_IDS).map(shown),
    issuer: oneLine(certificate.issuer),
    expiry: expiryOf(certificate),
  };
  return { kind: 'rejected', refusal, certificate: summary, alert };
}

function expiryOf(certificate: X509Certificate): string {
  const time = Date.parse(certificate.validTo);
  return Number.isNaN(time) ? '' : new Date(time).toISOString();
}

function shown(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/**
 * Joins the parts of a Name. Node gives one line for each part, with control characters escaped;
 * undefined where the Name is empty.
 */
function oneLine(name: string | undefined): string {
  return shown((name ?? '').split('\n').join(', '));
}

/**
 * Faults of a chain: a sentence, and the alert that Envoy sends for it. The code of OpenSSL stays
 * in the message, so that operators can search for it.
 */
const CHAIN_ERRORS: Readonly<Record<string, { readonly why: string; readonly alert: CertificateAlert }>> = {
  UNABLE_TO_GET_ISSUER_CERT: { why: 'its issuer is unknown here', alert: 'unknown-ca' },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: { why: 'its issuer is unknown here', alert: 'unknown-ca' },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: {
    why: 'its issuer is unknown here, or an intermediate certificate is missing',
    alert: 'unknown-ca',
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: { why: 'it is self-signed', alert: 'unknown-ca' },
  SELF_SIGNED_CERT_IN_CHAIN: { why: 'it leads to another CA', alert: 'unknown-ca' },
  CERT_SIGNATURE_FAILURE: { why: 'its signature is not of the CA that it names', alert: 'decrypt-error' },
  CERT_NOT_YET_VALID: { why: 'it, or a certificate above it, is not valid yet', alert: 'certificate-expired' },
  CERT_HAS_EXPIRED: { why: 'it, or a certificate above it, expired', alert: 'certificate-expired' },
  CERT_CHAIN_TOO_LONG: { why: 'the chain is too long', alert: 'unknown-ca' },
  INVALID_CA: { why: 'a certificate above it is no CA', alert: 'unknown-ca' },
  PATH_LENGTH_EXCEEDED: { why: 'a CA above it does not allow a chain of this length', alert: 'unknown-ca' },
  INVALID_PURPOSE: { why: 'it, or a certificate above it, is not meant for TLS clients', alert: 'unsupported-certificate' },
  CERT_UNTRUSTED: { why: 'a certificate above it is not trusted for TLS clients', alert: 'bad-certificate' },
  CERT_REJECTED: { why: 'a certificate above it is marked as rejected', alert: 'bad-certificate' },
  // Node has no code of its own for these faults.
  UNSPECIFIED: { why: 'a key or hash is too weak, or an extension or name constraint forbids it', alert: 'certificate-unknown' },
};
