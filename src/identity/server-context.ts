import { constants, createHash } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SecureContext, SecureContextOptions, TlsOptions } from 'node:tls';
import type { MeshCredentials } from '../model/credentials.ts';

/**
 * Written out, so that every Node and OpenSSL that this runs on agrees: AEAD with forward secrecy,
 * keys and hashes of 112 bits and more.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  '@SECLEVEL=2',
].join(':');

const CURVES = 'X25519:P-256:P-384';

/**
 * Options of the one TLS server of a mesh, which is fed with sockets whose hello was read. Three
 * things here are not obvious (docs/decisions/client-verification.md):
 * - `rejectUnauthorized: false`: the server lets every client through its handshake, and
 *   verifyClient is the gate. Nothing else may be done with the socket before.
 * - The certificate and the trust come by the SNICallback only. Node ignores
 *   `allowPartialTrustChain` among a server's own options, and a CA
 * may be an intermediate without its root. The name is not looked at: trust is never chosen by it.
 * - The server itself has no certificate and trusts nobody, so that a hello without a name cannot
 *   complete a handshake.
 */
export function meshServerOptions(credentials: MeshCredentials): TlsOptions {
  const context = createMeshContext(credentials);
  return {
    ...protocolOptions(credentials),
    // An empty list; without one Node would trust the public CAs.
    ca: [],
    requestCert: true,
    rejectUnauthorized: false,
    SNICallback: (_name, done) => done(null, context),
  };
}

/** Throws where OpenSSL refuses the certificate, the key or the trust. */
export function createMeshContext(credentials: MeshCredentials): SecureContext {
  return createSecureContext({
    ...protocolOptions(credentials),
    cert: credentials.cert,
    key: credentials.key,
    ca: credentials.trust,
    allowPartialTrustChain: true,
  });
}

/**
 * What the server and its context must have alike: OpenSSL takes some of it from the one, some from
 * the other.
 */
function protocolOptions({ mesh, generation }: MeshCredentials): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ecdhCurve: CURVES,
    // A resumed session would skip the client's certificate; sidecars offer one by default and get
    // a full handshake.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    sessionIdContext: createHash('sha256').update(`${mesh}\0${generation}`).digest('hex').slice(0, 32),
  };
}
