/**
 * Reads the admin listener that a zone control plane has sent, as Kuma does: mutual TLS 1.3, no
 * SNI, a new connection for each request, which stays open.
 */
import { Agent, request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import { generateKey, issueCertificate, meshCaSubject, selfSigned } from '../../identity/issue.ts';
import type { CertificateAndKey } from '../../identity/issue.ts';

export interface InspectAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

/** The authority "Envoy Admin CA" and the client that it made. */
export interface AdminClient {
  /** PEM of the CA that the listener `kuma:envoy:admin` trusts. */
  readonly caCert: string;
  /**
   * Issues what Kuma gives a proxy for its admin listener: a certificate for an address, which is
   * verified.
   */
  issueServer(address: string): Promise<CertificateAndKey>;
  /**
   * `address` is `127.0.0.2:9901` or `[::1]:9901`. Rejects where TLS fails, the certificate is for
   * another address, or 5 s pass.
   */
  inspect(address: string, options?: { readonly path?: string; readonly client?: CertificateAndKey }): Promise<InspectAnswer>;
  /** Ends the connections that were left open. */
  close(): void;
}

const TOTAL_TIMEOUT_MS = 5_000;
const TEN_YEARS_MS = 3_650 * 24 * 3_600_000;

/** Over 60 lines: one object over one authority; each of its methods is short. */
export async function createAdminClient(options: { readonly nowMs: number }): Promise<AdminClient> {
  const { nowMs } = options;
  const ca = selfSigned({
    key: await generateKey('ec'),
    subject: meshCaSubject('Envoy Admin CA'),
    serial: 0n,
    notBefore: nowMs - 10_000,
    notAfter: nowMs + TEN_YEARS_MS,
    ca: { pathLength: null },
    keyUsage: ['keyCertSign', 'cRLSign'],
  });

  async function issue(
    names: { readonly dns: readonly string[] } | { readonly ips: readonly string[] },
    eku: 'serverAuth' | 'clientAuth',
  ) {
    const key = await generateKey('ec');
    const cert = issueCertificate({
      caCert: ca.cert,
      caKey: ca.key,
      publicKey: key,
      notBefore: nowMs - 10_000,
      notAfter: nowMs + TEN_YEARS_MS - 1_000,
      keyUsage: ['digitalSignature', 'keyEncipherment'],
      eku: [eku],
      ...names,
    });
    return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
  }
  const ownCertificate = await issue({ dns: ['kuma-cp'] }, 'clientAuth');
  const agents = new Set<Agent>();

  return {
    caCert: ca.cert,
    issueServer: (address) => issue(isIP(address) === 0 ? { dns: [address] } : { ips: [address] }, 'serverAuth'),
    inspect(address, { path = '/config_dump', client = ownCertificate } = {}) {
      // Each request has an agent of its own: the idle connection is not used again.
      const agent = new Agent({ keepAlive: true });
      agents.add(agent);
      const { hostname, port } = new URL(`https://${address}`);
      const host = hostname.replace(/^\[(.*)\]$/, '$1');
      return answerOf(
        {
          agent,
          host,
          port: port === '' ? 443 : port,
          path,
          servername: '',
          minVersion: 'TLSv1.3',
          ca: ca.cert,
          cert: client.cert,
          key: client.key,
          headers: { 'user-agent': 'Go-http-client/1.1', 'accept-encoding': 'gzip' },
          timeout: TOTAL_TIMEOUT_MS,
        },
        `${address}${path}`,
      );
    },
    close() {
      for (const agent of agents) agent.destroy();
      agents.clear();
    },
  };
}

function answerOf(options: RequestOptions, asked: string): ReturnType<AdminClient['inspect']> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      );
    });
    request.on('timeout', () => request.destroy(new Error(`inspect ${asked}: no answer within ${TOTAL_TIMEOUT_MS} ms`)));
    request.on('error', reject);
    request.end();
  });
}
