import type { ControlPlaneOptions } from './control-plane-options.ts';

/** Why there is no bootstrap yet: text for people, `code` for programs. */
export interface BootstrapProblem {
  readonly code:
    | 'bad-ca'
    | 'no-token'
    | 'no-connection'
    | 'not-trusted'
    | 'not-found-yet'
    | 'no-endpoint'
    | 'refused'
    | 'server-error'
    | 'bad-answer';
  readonly message: string;
  /** True where the problem may pass by itself, by kuma-dp's rules. */
  readonly isRetried: boolean;
}

/** Thrown when the egress cannot start; the message is for the operator. */
export class BootstrapError extends Error {
  readonly code: BootstrapProblem['code'];
  /** Number of attempts. */
  readonly attempts: number;

  constructor(problem: BootstrapProblem, attempts: number, tookMs: number, options?: ErrorOptions) {
    const given = problem.isRetried ? ` (given up after ${attempts} tries in ${Math.round(tookMs / 1_000)} s)` : '';
    super(`${problem.message}${given}`, options);
    this.code = problem.code;
    this.attempts = attempts;
  }
}

/** The longest quote of an answer. */
const MAX_QUOTED = 2_000;

/**
 * Explains an answer other than 200. Texts of a control plane are passed on, because they contain
 * advice.
 */
export function statusProblem(
  status: number,
  body: string,
  { url, name, mesh, resource }: ControlPlaneOptions,
): BootstrapProblem {
  const text = quoted(body);
  const kind = mesh === undefined ? 'ZoneEgress' : `Dataplane of mesh ${JSON.stringify(mesh)} with the name`;
  const said = `${url} refused the bootstrap (${status})`;
  if (status === 404 && text === '')
    return {
      code: 'not-found-yet',
      isRetried: true,
      message:
        `the control plane has no ${kind} ${JSON.stringify(name)} yet: create it there, or bring it with --dataplane-file; ` +
        'on Kubernetes the log of kuma-cp says why none was made of the Pod',
    };
  if (status === 404)
    return {
      code: 'no-endpoint',
      // The API server of a control plane may stand in front of the right server for a moment; any
      // other server is the wrong one.
      isRetried: text === '404: Page Not Found',
      message: `${url} has no /bootstrap: give --cp-address the data plane server of the zone control plane (port 5678), not its API (5681) and not the global one`,
    };
  if (status >= 400 && status < 500) {
    const silent =
      status === 400
        ? 'it could not read the request: is this version of the control plane supported (2.9 to 3.0)?'
        : 'without a word';
    return { code: 'refused', isRetried: false, message: `${said}: ${text === '' ? silent : text}` };
  }
  if (status >= 500) {
    const also = resource === null ? 'an empty name' : `a resource that is no ${mesh === undefined ? 'ZoneEgress' : 'Dataplane'}`;
    const about = `its log says why; ${also} or a CA certificate that it cannot read end like this${mesh === undefined ? OF_3_0 : ''}`;
    return { code: 'server-error', isRetried: true, message: `${said}: ${text === '' ? about : text}` };
  }
  return { code: 'server-error', isRetried: true, message: `${said}: allowed is 200` };
}

/** Explains a control plane of 3.0, which sends no text to a ZoneEgress. */
const OF_3_0 =
  ', and with Kuma 3.0 every ZoneEgress: there an egress is a Dataplane of one mesh with a ZoneEgress listener (start with --proxy-type=dataplane, ' +
  '--dataplane-file and a dataplane token; see docs/kuma-3.0.md)';

/** Codes of Node and OpenSSL. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_CA',
]);

export function connectProblem(url: string, error: unknown): BootstrapProblem {
  const { code = '', message = String(error) } = error as { readonly code?: string; readonly message?: string };
  const base = `request to the bootstrap server ${url}: `;
  if (UNTRUSTED.has(code))
    return {
      code: 'not-trusted',
      isRetried: true,
      message: `${base}its certificate is not signed by a trusted CA (${code}): give --ca-cert-file the CA of the control plane`,
    };
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return {
      code: 'not-trusted',
      isRetried: true,
      message: `${base}its certificate is not valid at this time (${code}): compare the clocks`,
    };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return { code: 'not-trusted', isRetried: true, message: `${base}its certificate is for another name: ${quoted(message)}` };
  if (code === 'EPROTO')
    return {
      code: 'no-connection',
      isRetried: true,
      message: `${base}it does not speak TLS as expected: is the port right (5678)?`,
    };
  return { code: 'no-connection', isRetried: true, message: `${base}${quoted(message === '' ? code : message)}` };
}

/** Keeps line breaks, and drops characters that would move a terminal's cursor. */
function quoted(text: string): string {
  const clean = text.replace(/[^\P{Cc}\n]/gu, '').trim();
  return clean.length > MAX_QUOTED ? `${clean.slice(0, MAX_QUOTED)} …` : clean;
}
