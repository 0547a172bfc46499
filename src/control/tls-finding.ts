/** Says in sentences what is wrong with an endpoint, and what to write into its resource. */
import type { X509Certificate } from 'node:crypto';
import { oneLine } from '../base/plain-text.ts';
import { socketReason } from '../base/tls-words.ts';
import type { SocketError } from '../base/tls-words.ts';
import { WrongName } from '../traffic/originate.ts';
import type { TlsOrigination } from '../model/cluster.ts';
import type { EndpointFinding, FindingKind } from '../model/probed-destination.ts';
import type { Attempt } from './tls-probe.ts';

/** The names of the fields in the kind of resource that the destination comes from. */
export interface TlsFields {
  readonly address: string;
  readonly enabled: string;
  readonly caCert: string;
  readonly serverName: string;
  readonly names: string;
  readonly clientCert: string;
  readonly versions: string;
}

export const EXTERNAL_SERVICE_FIELDS: TlsFields = {
  address: 'networking.address',
  enabled: 'networking.tls.enabled',
  caCert: 'networking.tls.caCert',
  serverName: 'networking.tls.serverName',
  names: 'networking.tls.serverName',
  clientCert: 'networking.tls.clientCert and networking.tls.clientKey',
  versions: '',
};

export const MESH_EXTERNAL_SERVICE_FIELDS: TlsFields = {
  address: 'spec.endpoints[].address',
  enabled: 'spec.tls.enabled',
  caCert: 'spec.tls.verification.caCert',
  serverName: 'spec.tls.verification.serverName',
  names: 'spec.tls.verification.subjectAltNames',
  clientCert: 'spec.tls.verification.clientCert and spec.tls.verification.clientKey',
  versions: 'spec.tls.version',
};

export interface FailedProbe {
  readonly first: Attempt;
  /** The same server without verification; null where it was not asked. */
  readonly loose: Attempt | null;
  readonly tls: TlsOrigination;
  readonly fields: TlsFields;
  readonly nowMs: number;
}

/** Returns null for an attempt that went well. */
export function findingOf(probed: FailedProbe): EndpointFinding | null {
  const { first, tls, fields } = probed;
  const { error } = first;
  if (error === null) return tls.trust.kind === 'none' ? unverified(fields) : null;
  if (first.at === 'connect') return connectFinding(error, fields);
  if (error instanceof WrongName) return wrongName(probed, error);
  const { code = '' } = error;
  if (first.at === 'after' && !CLIENT.test(code)) return ended(probed);
  if (code === 'ETIMEDOUT')
    return { kind: 'timeout', says: 'it takes the connection, and does not answer the TLS handshake in time', write: '' };
  if (NOT_TLS.has(code) || NOT_TLS.has(probed.loose?.error?.code ?? '')) return notTls(fields);
  if (CERTIFICATE[code] !== undefined) return certificateFinding(probed, CERTIFICATE[code]);
  if (CLIENT.test(code)) return clientFinding(probed, code);
  return handshakeFinding(probed, error);
}

export function connectFinding(error: SocketError, { address }: Pick<TlsFields, 'address'>): EndpointFinding {
  const { code = '' } = error;
  if (code === 'ECONNREFUSED')
    return {
      kind: 'refused',
      says: 'nothing listens there: the connection is refused',
      write: `${address}: the address and port of the service`,
    };
  if (code === 'ETIMEDOUT')
    return { kind: 'timeout', says: 'no answer came in time: a firewall may drop it, or the address is wrong', write: '' };
  return { kind: 'unreachable', says: `the connection failed: ${oneLine(socketReason(error))}`, write: '' };
}

function unverified({ caCert }: TlsFields): EndpointFinding {
  return {
    kind: 'unverified',
    says: 'TLS is set up, and the server is not verified: any server in between could answer',
    write: `${caCert}: the CA of the service`,
  };
}

function ended({ fields }: FailedProbe): EndpointFinding {
  return {
    kind: 'ended',
    says: 'TLS is set up, and the server ends the connection at once: some servers refuse the certificate of their client so',
    write: `${fields.clientCert}: a pair that the service accepts, if it wants one`,
  };
}

function notTls({ enabled }: TlsFields): EndpointFinding {
  return {
    kind: 'not-tls',
    says: 'the server does not speak TLS on this port',
    write: `${enabled}: false, or the port that speaks TLS`,
  };
}

export function speaksTls({ enabled }: TlsFields): EndpointFinding {
  return {
    kind: 'speaks-tls',
    says: 'the server speaks TLS on this port, and the resource has no TLS: an HTTP server answers 400 to plain requests there',
    write: `${enabled}: true`,
  };
}

function wrongName({ loose, fields, tls }: FailedProbe, { message }: Error): EndpointFinding {
  const names = loose?.tls?.chain[0]?.subjectAltName ?? '';
  const [first = ''] = names.split(', ').map((name) => name.replace(/^(DNS|IP Address):/, ''));
  const what = tls.serverName === null || fields.names === fields.serverName ? fields.serverName : fields.names;
  return {
    kind: 'name-mismatch',
    says: oneLine(message),
    write: first === '' ? '' : `${what}: ${oneLine(first)}, if that is the service that you mean`,
  };
}

const NOT_TLS: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_HTTP_REQUEST',
]);

const CERTIFICATE: Readonly<Record<string, FindingKind>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknown-ca',
  UNABLE_TO_GET_ISSUER_CERT: 'unknown-ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown-ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown-ca',
  CERT_SIGNATURE_FAILURE: 'unknown-ca',
  INVALID_PURPOSE: 'purpose',
};

function certificateFinding({ loose, fields, nowMs, tls }: FailedProbe, kind: FindingKind): EndpointFinding {
  const chain = loose?.tls?.chain ?? [];
  const { caCert } = fields;
  const ours = `our clock has ${new Date(nowMs).toISOString()}`;
  const [leaf] = chain;
  const last = chain.at(-1);
  if (leaf === undefined || last === undefined)
    return {
      kind,
      says: `the certificate of the server is refused (${kind}), and the server does not show it a second time`,
      write: '',
    };
  if (kind === 'expired') {
    const old = chain.find((each) => each.validToDate.getTime() < nowMs) ?? leaf;
    return { kind, says: `the certificate ${subject(old)} expired at ${old.validToDate.toISOString()}; ${ours}`, write: '' };
  }
  if (kind === 'not-yet-valid') {
    const young = chain.find((each) => each.validFromDate.getTime() > nowMs) ?? leaf;
    return {
      kind,
      says: `the certificate ${subject(young)} is valid from ${young.validFromDate.toISOString()} on; ${ours}: one of the two clocks is wrong, or it was issued for later`,
      write: '',
    };
  }
  if (kind === 'purpose')
    return {
      kind,
      says: `the certificate ${subject(leaf)} is not one for servers (its key usage, or a CA in place of a server)`,
      write: '',
    };
  if (kind === 'self-signed')
    return {
      kind,
      says: `the certificate ${subject(leaf)} is self-signed, and is not among those that the resource trusts`,
      write: `${caCert}: this certificate itself, once you know that it is the right one`,
    };
  const trusts = tls.trust.kind === 'system' ? 'the CAs of this system' : `the CAs of ${caCert}`;
  const sent = `the server sends ${chain.length === 1 ? 'its own certificate only' : `${chain.length} certificates`}, issued by ${issuer(last)}`;
  if (chain.length === 1)
    return {
      kind: 'chain-incomplete',
      says: `${sent}, which is not among ${trusts}: the server leaves out an intermediate CA, or the resource trusts another CA`,
      write: `${caCert}: the certificate of ${issuer(last)}; better, have the server send its whole chain`,
    };
  return {
    kind: 'unknown-ca',
    says: `${sent}, which is not among ${trusts}`,
    write: `${caCert}: the certificate of ${issuer(last)}`,
  };
}

/** Alerts about the certificate of the client. */
const CLIENT =
  /ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)|UNKNOWN_CA|ACCESS_DENIED)$/;

function clientFinding({ tls, fields }: FailedProbe, code: string): EndpointFinding {
  if (tls.clientCertificate === null)
    return {
      kind: 'client-certificate-wanted',
      says: 'the server wants a certificate of its client, and the resource has none',
      write: `${fields.clientCert}: the pair that the service has given to you`,
    };
  return {
    kind: 'client-certificate-refused',
    says: `the server refuses our certificate (${code.replace(/^ERR_SSL_/, '')})`,
    write: `${fields.clientCert}: a pair that the service accepts`,
  };
}

function handshakeFinding({ loose, tls, fields }: FailedProbe, error: SocketError): EndpointFinding {
  const { code = '' } = error;
  const spoken = loose?.tls ?? null;
  if (code.includes('NO_APPLICATION_PROTOCOL'))
    return {
      kind: 'alpn',
      says: `the server takes none of the protocols that are offered (ALPN ${tls.alpn.join(', ')})`,
      write: '',
    };
  const isOther = spoken !== null && !between(spoken.protocol, tls);
  if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|WRONG_SSL_VERSION|NO_PROTOCOLS/.test(code) || isOther) {
    const speaks = spoken === null ? '' : `; the server speaks ${spoken.protocol}`;
    const write = fields.versions === '' ? '' : `${fields.versions}: a range that includes the version of the server`;
    return {
      kind: 'version',
      says: `no version of TLS is common: ${tls.minVersion} to ${tls.maxVersion} are offered${speaks}`,
      write,
    };
  }
  const does = spoken === null ? '' : ` A handshake without verification works (${spoken.protocol}, ${spoken.cipher}).`;
  return { kind: 'tls-failed', says: `the handshake failed: ${oneLine(socketReason(error))}.${does}`, write: '' };
}

const VERSIONS: readonly string[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

function between(protocol: string, { minVersion, maxVersion }: TlsOrigination): boolean {
  const at = VERSIONS.indexOf(protocol);
  return at >= VERSIONS.indexOf(minVersion) && at <= VERSIONS.indexOf(maxVersion);
}

function subject({ subject: text }: X509Certificate): string {
  return nameText(text);
}

function issuer({ issuer: text }: X509Certificate): string {
  return nameText(text);
}

const MAX_NAME = 200;

function nameText(text: string): string {
  return JSON.stringify(oneLine(text.split('\n').join(', ')).slice(0, MAX_NAME));
}
