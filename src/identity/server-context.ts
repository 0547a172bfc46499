import { constants, createHash } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SecureContext, SecureContextOptions, TlsOptions } from 'node:tls';
import type { MeshCredentials } from '../model/credentials.ts';

/**
 * The list is explicit, so that every supported Node and OpenSSL agrees: AEAD with forward secrecy,
 * keys and hashes of at least 112 bits.
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
 * Returns the options of the TLS server of a mesh that resumes no session. It receives sockets
 * whose hello was already read. Three options are not obvious
 * (docs/decisions/client-verification.md):
 * - `rejectUnauthorized: false`: the server lets every client through its handshake, and
 *   verifyClient is the gate. No byte may be used before it has decided.
 * - The certificate and the trust come through the SNICallback only. Node ignores
 *   `allowPartialTrustChain` among a server's own options, and a CA may be an intermediate without
 *   its root. The callback ignores the name: SNI never chooses the trust.
 * - The server itself has no certificate and no trust, so that a hello without a name cannot
 *   complete a handshake.
 */
export function meshServerOptions(credentials: MeshCredentials): TlsOptions {
  const context = createMeshContext(credentials);
  return {
    ...protocolOptions(credentials),
    // Without this empty list Node would trust the public CAs.
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
 * Returns the options that the server and its context must share: OpenSSL reads some of them from
 * one, some from the other.
 */
function protocolOptions({ mesh, generation }: MeshCredentials): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ecdhCurve: CURVES,
    // This server resumes nothing: a resumed session would skip the client's certificate. The
    // servers with a ticket key are made of it (resumption.ts).
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    sessionIdContext: createHash('sha256').update(`${mesh}\0${generation}`).digest('hex').slice(0, 32),
  };
}
