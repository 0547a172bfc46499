import { constants } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SecureContext, SecureContextOptions } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { TlsTarget } from '../base/connect-tls.ts';
import { Refused, refuse } from '../base/refusal.ts';
import type { Endpoint, NameMatcher, TlsOrigination } from '../model/cluster.ts';
import type { ContentHash } from '../model/names.ts';

export interface OriginationDeps {
  secret(hash: ContentHash): string | undefined;
  /** Reads the PEM bundle of the operating system; null where it has none. */
  systemTrust(): string | null;
  /** The check of the server's names from identity/: it returns null, or a sentence. */
  checkServerName(certificate: X509Certificate, names: readonly NameMatcher[]): string | null;
}

/** A certificate that leads to its CA but belongs to another server. */
export class WrongName extends Error {}

/**
 * Contexts kept ready. A context costs 34 KB and 0.3 to 14 ms, so there is one for each content,
 * never one for each connection.
 */
const MAX_CONTEXTS = 1_000;

/**
 * Sets up TLS of connections to external services: trust, names and client certificates from the
 * cluster.
 */
export class Origination {
  readonly #deps: OriginationDeps;
  /** Keyed by content, so that a reload finds unchanged contexts again. */
  readonly #contexts = new LRUCache<string, SecureContext>({ max: MAX_CONTEXTS });
  readonly #ofEndpoint = new WeakMap<TlsOrigination, SecureContext>();

  constructor(deps: OriginationDeps) {
    this.#deps = deps;
  }

  connectionOptions(tls: TlsOrigination, endpoint: Endpoint): TlsTarget {
    const { names, trust } = tls;
    return {
      secureContext: this.#context(tls),
      ...(tls.serverName === null ? {} : { servername: tls.serverName }),
      ...(tls.alpn.length === 0 ? {} : { ALPNProtocols: [...tls.alpn] }),
      rejectUnauthorized: trust.kind !== 'none',
      // Node's own check would fall back to the CN and accept partial wildcards. A certificate that
      // cannot be read in raw form never passes.
      checkServer: (certificate) => {
        if (names === null) return undefined;
        const problem = certificate === null ? 'its certificate cannot be read' : this.#deps.checkServerName(certificate, names);
        return problem === null
          ? undefined
          : new WrongName(`the server is not ${tls.serverName ?? describe(endpoint)}: ${problem}`);
      },
    };
  }

  #context(tls: TlsOrigination): SecureContext {
    const mine = this.#ofEndpoint.get(tls);
    if (mine !== undefined) return mine;
    const key = contextKey(tls);
    const context = this.#contexts.get(key) ?? contextOf(this.#contextOptions(tls));
    this.#contexts.set(key, context);
    this.#ofEndpoint.set(tls, context);
    return context;
  }

  #contextOptions(tls: TlsOrigination): SecureContextOptions {
    const options: SecureContextOptions = {
      minVersion: tls.minVersion,
      maxVersion: tls.maxVersion,
      secureOptions: tls.allowRenegotiation ? 0 : constants.SSL_OP_NO_RENEGOTIATION,
      // OpenSSL's default level 2 forbids TLS 1.0 and 1.1, which a MeshExternalService may ask for
      // by name.
      ...(tls.minVersion === 'TLSv1' || tls.minVersion === 'TLSv1.1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
      allowPartialTrustChain: true,
      ...(tls.trust.kind === 'none' ? {} : { ca: this.#trust(tls) }),
    };
    if (tls.clientCertificate === null) return options;
    const { cert, key } = tls.clientCertificate;
    return { ...options, cert: this.#secret(cert), key: this.#secret(key) };
  }

  #trust(tls: TlsOrigination): string {
    if (tls.trust.kind === 'bundle') return this.#secret(tls.trust.ca);
    const bundle = this.#deps.systemTrust();
    if (bundle === null) throw new Refused(refuse('upstream-tls-failed', 'this system has no bundle of certificate authorities'));
    return bundle;
  }

  #secret(hash: ContentHash): string {
    const pem = this.#deps.secret(hash);
    if (pem === undefined) throw new Refused(refuse('upstream-tls-failed', `the secret ${hash.slice(0, 12)} is not there`));
    return pem;
  }
}

/**
 * Certificates of files were tried at load; a control plane may send some that OpenSSL does not
 * accept.
 */
function contextOf(options: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(options);
  } catch (cause) {
    const { reason, code } = cause as { readonly reason?: string; readonly code?: string };
    const why = `its certificates cannot be used for TLS: ${reason ?? code ?? 'OpenSSL does not take them'}`;
    throw new Refused(refuse('upstream-tls-failed', why), { cause });
  }
}

function contextKey({ trust, clientCertificate, minVersion, maxVersion, allowRenegotiation }: TlsOrigination): string {
  return JSON.stringify([trust, clientCertificate, minVersion, maxVersion, allowRenegotiation]);
}

function describe({ address, port }: Endpoint): string {
  return `${address.kind === 'ip' ? address.ip : address.name}:${port}`;
}
