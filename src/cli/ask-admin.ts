import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { systemClock } from '../base/clock.ts';
import { connectTls, hostProblem } from '../base/connect-tls.ts';
import type { TlsTarget } from '../base/connect-tls.ts';
import { errorCode } from '../base/error-code.ts';
import { whenUnanswered } from '../base/unanswered.ts';
import type { AdminAt } from './admin-at.ts';
import { EXIT_UNAVAILABLE, EXIT_USAGE } from './exit-codes.ts';
import { fileText } from './file-text.ts';
import { Stopped } from './load-folder.ts';
import { adminTarget, shownAdmin } from './values.ts';

export interface AdminAnswer {
  readonly status: number;
  readonly body: string;
}

const TIMEOUT_MS = 10_000;
const FOLLOW_SILENCE_MS = 30_000;
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Gets an admin page. Rejects where nothing answers at the address, and with the error of the
 * answer.
 */
export function askAdmin(
  at: AdminAt,
  target: string,
  { timeoutMs = TIMEOUT_MS, ...options }: RequestOptions & { readonly timeoutMs?: number | undefined } = {},
): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const request = requestTo(at, target, options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > MAX_BYTES) request.destroy(new Error(`the answer is larger than ${MAX_BYTES} bytes`));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    const deadline = systemClock().after(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)));
    request.on('close', () => deadline.cancel());
    request.on('error', reject);
    whenUnanswered(request, reject);
    request.end();
  });
}

/** The caller ends the request. Throws `Stopped` where a file for TLS cannot be read. */
function requestTo(
  { url, tls }: AdminAt,
  target: string,
  options: RequestOptions,
  onResponse: (response: IncomingMessage) => void,
): ClientRequest {
  const unix = adminTarget(`${url}${target}`);
  if (unix !== null)
    return httpRequest({ agent: false, ...options, ...unix, headers: { host: 'localhost', ...options.headers } }, onResponse);
  if (tls === null) return httpRequest(`${url}${target}`, { agent: false, ...options }, onResponse);
  const wanted = tlsTarget(new URL(url), tls);
  // Without an agent, because an agent connects by itself.
  return httpsRequest(
    `${url}${target}`,
    { ...options, agent: undefined, createConnection: () => connectTls(wanted) },
    onResponse,
  );
}

function tlsTarget({ hostname, port }: URL, { ca, cert, key }: NonNullable<AdminAt['tls']>): TlsTarget {
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    host,
    port: port === '' ? 443 : Number(port),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === null ? {} : { ca: fileText(ca) }),
    ...(cert === null || key === null ? {} : { cert: fileText(cert), key: fileText(key) }),
    checkServer: (certificate) => hostProblem(certificate, host),
  };
}

/** A change over the admin listeners. `token` is null where none is needed, as on a socket. */
export interface WantedChange {
  readonly at: AdminAt;
  readonly target: string;
  readonly token: string | null;
}

/** Posts a change. Rejects as `askAdmin` does. */
export function askChange({ at, target, token }: WantedChange, timeoutMs: number = TIMEOUT_MS): Promise<AdminAnswer> {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  return askAdmin(at, target, { timeoutMs, method: 'POST', headers });
}

/** Makes a change and returns the answer. Throws `Stopped` where it is refused. */
export async function change(wanted: WantedChange): Promise<string> {
  const { at } = wanted;
  const { status, body } = await askChange(wanted).catch((error: unknown) => {
    throw noAnswer(at, error);
  });
  if (status !== 200) throw refusedBy(at, status, body);
  return body;
}

/**
 * Returns the text of an admin page. Throws `Stopped` where nothing answers, or the egress refuses
 * the query.
 */
export async function pageOf(at: AdminAt, target: string): Promise<string> {
  const { status, body } = await askAdmin(at, target).catch((error: unknown) => {
    throw noAnswer(at, error);
  });
  if (status !== 200) throw refusedBy(at, status, body);
  return body;
}

/** A page without an end. */
export interface FollowedPage {
  /** Resolves when the egress has ended it; rejects with `Stopped` where it cannot be read. */
  readonly ended: Promise<void>;
  stop(): void;
}

/** Calls `onLine` with each line that is not empty. */
export function followPage(at: AdminAt, target: string, onLine: (line: string) => void): FollowedPage {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const request = requestTo(at, target, { timeout: FOLLOW_SILENCE_MS }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (piece: string) => {
      text += piece;
      if (text.length > MAX_BYTES) request.destroy(new Error(`a line is longer than ${MAX_BYTES} bytes`));
      if (response.statusCode !== 200) return;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) if (line !== '' && !tries(() => onLine(line), reject)) request.destroy();
    });
    response.on('end', () => (response.statusCode === 200 ? resolve() : reject(refusedBy(at, response.statusCode ?? 0, text))));
    response.on('error', (error) => reject(noAnswer(at, error)));
  });
  // An egress sends an empty line at least.
  request.on('timeout', () => request.destroy(new Error(`nothing came for ${FOLLOW_SILENCE_MS / 1_000} s`)));
  request.on('error', (error) => reject(noAnswer(at, error)));
  whenUnanswered(request, (error) => reject(noAnswer(at, error)));
  request.end();
  return {
    ended,
    stop() {
      resolve();
      request.destroy();
    },
  };
}

/** Returns whether `act` ended well; `failed` gets what it threw. */
function tries(act: () => void, failed: (error: unknown) => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

/** Returns the failure of a question that had no answer. */
export function noAnswer(at: AdminAt, error: unknown): Stopped {
  if (error instanceof Stopped) return error;
  const advice = ADVICE[errorCode(error)];
  // Node writes OpenSSL's own text with places in its library around it.
  const message = error instanceof Error ? error.message : String(error);
  const why = /:(?:SSL|PEM|x509 certificate) routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? message;
  return new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(at.url)}: ${why}${advice === undefined ? '' : `: ${advice}`}`);
}

const NO_TLS = 'a port without TLS is asked by http://';
const GIVE_CA = 'give the CA of its certificate by --admin-ca';

const ADVICE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: GIVE_CA,
  SELF_SIGNED_CERT_IN_CHAIN: GIVE_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: GIVE_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: GIVE_CA,
  EPROTO: NO_TLS,
  ERR_OSSL_PEM_NO_START_LINE: 'allowed in the files of --admin-cert and --admin-key is PEM',
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: 'the key of --admin-key is not that of the certificate of --admin-cert',
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
};

export function refusedBy(at: AdminAt, status: number, body: string): Stopped {
  if (status === 400) return new Stopped(EXIT_USAGE, body.trim());
  return new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(at.url)}: ${status}: ${body.trim()}`);
}

/** Returns null for a text that is no JSON. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
