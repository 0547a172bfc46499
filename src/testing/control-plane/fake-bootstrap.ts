/**
 * Answers `POST /bootstrap` as a control plane's DP server does: the document, or the refusals that
 * a real one gave.
 */
import { Buffer } from 'node:buffer';
import { X509Certificate } from 'node:crypto';
import { addressKey } from '../../model/endpoint-view.ts';
import { formatYaml } from '../../resources/format-yaml.ts';
import { bootstrapDocument } from './bootstrap-document.ts';
import type { AskedBootstrap } from './bootstrap-document.ts';
import type { KumaVersion } from './fake-node.ts';

export interface FakeBootstrapRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

export interface FakeBootstrapAnswer {
  readonly status: number;
  /** Absent sends no such header. */
  readonly contentType?: string;
  readonly body: string;
}

export interface FakeBootstrapFacts {
  readonly version: KumaVersion;
  readonly port: number;
  readonly caCert: string;
  /** The certificate of the server; a proxy may dial its names. */
  readonly serverCert: string;
  /** Null for the host that the proxy dialled. */
  readonly xdsHost: string | null;
  readonly reloadableTokens: boolean;
  readonly delta: boolean;
  /** A recorded document to answer with; null makes one. */
  readonly recorded: string | null;
  readonly zoneEgresses: readonly string[];
}

const PLAIN = 'text/plain; charset=utf-8';
const NO_TOKEN =
  "Dataplane Token is required. Generate token using 'kumactl generate dataplane-token > /path/file' and provide it via --dataplane-token-file=/path/file argument to Kuma DP";
const NOT_A_CA =
  "A data plane proxy is trying to verify the control plane using the certificate which is not a certificate authority (basic constraint 'CA' is set to 'false').\n" +
  "Provide CA that was used to sign a certificate used in the control plane by using 'kuma-dp run --ca-cert-file=file' or via KUMA_CONTROL_PLANE_CA_CERT_FILE";
const DEFAULT_ADMIN_PORT = 9_901;

export function answerBootstrap(asked: FakeBootstrapRequest, facts: FakeBootstrapFacts): FakeBootstrapAnswer {
  if (asked.path !== '/bootstrap') return { status: 404, contentType: PLAIN, body: '404 page not found\n' };
  const request = parsed(asked.body);
  if (request === null) return { status: 400, body: '' };
  const dialled = hostOf(asked.headers['host']);
  const wrongHost = facts.xdsHost === null ? wrongHostText(dialled, facts.serverCert) : null;
  if (wrongHost !== null) return { status: 400, contentType: PLAIN, body: wrongHost };
  const { name = '', proxyType = '', dataplaneToken = '', dataplaneTokenPath = '', dataplaneResource = '' } = request;
  const known = facts.version === '3.0' ? ['dataplane'] : ['dataplane', 'ingress', 'egress'];
  if (name === '' || !known.includes(proxyType)) return { status: 500, body: '' };
  if (dataplaneToken === '' && dataplaneTokenPath === '') return { status: 422, contentType: PLAIN, body: NO_TOKEN };
  let adminPort = DEFAULT_ADMIN_PORT;
  if (dataplaneResource === '') {
    if (!facts.zoneEgresses.includes(name)) return { status: 404, body: '' };
  } else {
    const resource = readResource(dataplaneResource, proxyType === 'dataplane' ? 'Dataplane' : 'ZoneEgress');
    if (resource === null) return { status: 500, body: '' };
    if (resource.wrong !== null) return { status: 422, contentType: PLAIN, body: resource.wrong };
    adminPort = resource.adminPort;
  }
  const caCert = (request.caCert ?? '') === '' ? facts.serverCert : (request.caCert ?? '');
  const isCa = readCa(caCert);
  if (isCa === null) return { status: 500, body: '' };
  if (!isCa) return { status: 400, contentType: PLAIN, body: NOT_A_CA };

  const { version, port, reloadableTokens, delta } = facts;
  const xdsHost = facts.xdsHost ?? dialled;
  const yaml =
    facts.recorded === null
      ? formatYaml(bootstrapDocument(request, { version, xdsHost, xdsPort: port, caCert, adminPort, reloadableTokens, delta }))
      : moved(facts.recorded, { xdsHost, port, caCert, token: dataplaneToken });
  // Kuma compares the whole header.
  if (asked.headers['accept'] !== 'application/json') return { status: 200, contentType: 'text/x-yaml', body: yaml };
  const networking = {
    ...(version === '2.9' ? { isUsingTransparentProxy: false } : {}),
    corefileTemplate: null,
    address: '',
  };
  const body = {
    bootstrap: Buffer.from(yaml).toString('base64'),
    kumaSidecarConfiguration: { networking, metrics: { aggregate: [] } },
  };
  return { status: 200, contentType: 'application/json', body: JSON.stringify(body) };
}

/**
 * Rewrites a recorded document so that it leads to this control plane and has the token of the
 * request.
 */
function moved(
  recorded: string,
  to: { readonly xdsHost: string; readonly port: number; readonly caCert: string; readonly token: string },
): string {
  const inlineBytes = Buffer.from(to.caCert).toString('base64');
  const authority = addressKey(to.xdsHost, to.port);
  const text = recorded
    .replace(
      /(clusterName: ads_cluster\n[\s\S]*?socketAddress:\n\s*address: )\S+(\n\s*portValue: )\d+/,
      `$1${to.xdsHost}$2${to.port}`,
    )
    .replace(/(\n\s*sni: )\S+/, `$1${to.xdsHost}`)
    .replace(/(\n\s*(?:- )?matcher:\n\s*exact: )\S+/g, `$1${to.xdsHost}`)
    .replace(/(targetUri: )\S+/g, `$1${authority}`)
    .replace(/(inlineBytes: )\S+/g, `$1${inlineBytes}`);
  return to.token === '' ? text : text.replace(/(key: authorization\n\s*value: )\S+/g, `$1${to.token}`);
}

function parsed(body: string): AskedBootstrap | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

/** Returns null where a control plane could not read it at all. */
function readResource(
  text: string,
  type: 'Dataplane' | 'ZoneEgress',
): { readonly wrong: string | null; readonly adminPort: number } | null {
  let resource: {
    readonly type?: string;
    readonly networking?: {
      readonly address?: string;
      readonly port?: number;
      readonly admin?: { readonly port?: number };
      readonly listeners?: readonly { readonly port?: number }[];
    };
  } | null;
  try {
    resource = JSON.parse(text) as typeof resource;
  } catch {
    return null;
  }
  if (resource?.type !== type) return null;
  const { address = '', admin, listeners = [] } = resource.networking ?? {};
  const port = type === 'Dataplane' ? (listeners[0]?.port ?? 0) : (resource.networking?.port ?? 0);
  const adminPort = admin?.port ?? DEFAULT_ADMIN_PORT;
  if (port < 1 || port > 65_535) return { wrong: 'networking.port: port must be in the range [1, 65535]', adminPort };
  if (address === '0.0.0.0' || address === '::')
    return { wrong: 'networking.address.address: must not be 0.0.0.0 or ::', adminPort };
  if (adminPort === port) return { wrong: 'networking.admin.port: must differ from port', adminPort };
  return { wrong: null, adminPort };
}

/** Tells whether it is a CA certificate; null where it is no certificate. */
function readCa(pem: string): boolean | null {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return null;
  }
}

function hostOf(header: string | readonly string[] | undefined): string {
  const host = typeof header === 'string' ? header : '';
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

function wrongHostText(host: string, serverCert: string): string | null {
  const names = (new X509Certificate(serverCert).subjectAltName ?? '')
    .split(', ')
    .map((name) => name.replace(/^(DNS|IP Address):/, ''))
    .sort();
  if (names.includes(host)) return null;
  return (
    `A data plane proxy is trying to connect to the control plane using "${host}" address, but the certificate in the control plane has the following SANs ` +
    `[${names.map((name) => JSON.stringify(name)).join(' ')}]. Either change the --cp-address in kuma-dp to one of those or execute the following steps:\n` +
    `1) Generate a new certificate with the address you are trying to use. It is recommended to use trusted Certificate Authority, but you can also generate self-signed certificates using 'kumactl generate tls-certificate --type=server --hostname=${host}'\n` +
    '2) Set KUMA_GENERAL_TLS_CERT_FILE and KUMA_GENERAL_TLS_KEY_FILE or the equivalent in Kuma CP config file to the new certificate.\n' +
    '3) Restart the control plane to read the new certificate and start kuma-dp.'
  );
}
