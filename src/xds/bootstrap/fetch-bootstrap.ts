import { Buffer } from 'node:buffer';
import { X509Certificate } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { connectTls, hostProblem } from '../../base/connect-tls.ts';
import type { TlsTarget } from '../../base/connect-tls.ts';
import { whenUnanswered } from '../../base/unanswered.ts';
import { parseBootstrap } from './bootstrap.ts';
import type { Bootstrap } from './bootstrap.ts';
import { BootstrapError, connectProblem, statusProblem } from './bootstrap-problem.ts';
import type { BootstrapProblem } from './bootstrap-problem.ts';
import { bootstrapRequest } from './bootstrap-request.ts';
import type { ControlPlaneOptions } from './control-plane-options.ts';

export interface FetchBootstrapOptions {
  readonly controlPlane: ControlPlaneOptions;
  /** Version of this package. */
  readonly version: string;
  /** In Go's spelling: `linux`, `darwin`. */
  readonly operatingSystem: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** Called once for each attempt that is followed by another. */
  readonly onRetry: (problem: BootstrapProblem & { readonly attempt: number; readonly retryInMs: number }) => void;
}

/** Bounds one attempt, connection included, as in kuma-dp. */
const ATTEMPT_TIMEOUT_MS = 10_000;
/** A bootstrap has some 10 KiB. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * Asks the control plane for the bootstrap until it answers. Problems that may pass (no connection,
 * 404 for a ZoneEgress that does not exist yet, 5xx) are retried every `retryBackoffMs` for
 * `retryMaxMs`, the last time at the very end; any other throws a BootstrapError at once. An abort
 * rejects with the reason of the signal.
 */
export async function fetchBootstrap(options: FetchBootstrapOptions): Promise<Bootstrap> {
  const { clock, controlPlane, signal, onRetry } = options;
  const { caCert } = controlPlane;
  if (caCert !== undefined && !isCertificate(caCert)) {
    const message = 'the CA certificate of the control plane (--ca-cert-file) has no certificate that can be read';
    throw new BootstrapError({ code: 'bad-ca', isRetried: false, message }, 0, 0);
  }
  const start = clock.now();
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const outcome = await tryOnce(options);
    if (outcome.kind === 'read') return outcome.bootstrap;
    signal?.throwIfAborted();
    const { problem } = outcome;
    const tookMs = clock.now() - start;
    const leftMs = controlPlane.retryMaxMs - tookMs;
    if (!problem.isRetried || leftMs <= 0) throw new BootstrapError(problem, attempt, tookMs);
    const retryInMs = Math.min(controlPlane.retryBackoffMs, leftMs);
    onRetry({ ...problem, attempt, retryInMs });
    await wait(clock, retryInMs, signal);
  }
}

type Outcome =
  { readonly kind: 'read'; readonly bootstrap: Bootstrap } | { readonly kind: 'failed'; readonly problem: BootstrapProblem };

async function tryOnce({ controlPlane, version, operatingSystem, clock, signal }: FetchBootstrapOptions): Promise<Outcome> {
  let token: string | null;
  try {
    token = await controlPlane.token();
  } catch (error) {
    // A token file that is being rewritten may be readable a moment later.
    return failed({ code: 'no-token', isRetried: true, message: messageOf(error) });
  }
  const body = JSON.stringify(bootstrapRequest(controlPlane, { version, operatingSystem, token }));
  let answer: Answer;
  try {
    answer = await post(controlPlane, body, clock, signal);
  } catch (error) {
    return failed(connectProblem(controlPlane.url, error));
  }
  // A control plane that quotes the request in its refusal must not bring the token into a log.
  const text = token === null ? answer.body : answer.body.replaceAll(token, '[token]');
  if (answer.status !== 200) return failed(statusProblem(answer.status, text, controlPlane));
  const parsed = parseBootstrap(answer.body, version);
  if (parsed.kind === 'read') return token === null ? parsed : { kind: 'read', bootstrap: withoutToken(parsed.bootstrap, token) };
  return failed({ code: 'bad-answer', isRetried: false, message: parsed.why });
}

/** Removes the token from every place of the document, because the document is shown. */
function withoutToken(bootstrap: Bootstrap, token: string): Bootstrap {
  const text = JSON.stringify(bootstrap.document);
  if (!text.includes(token)) return bootstrap;
  return { ...bootstrap, document: JSON.parse(text.replaceAll(token, '[redacted]')) as Bootstrap['document'] };
}

function failed(problem: BootstrapProblem): Outcome {
  return { kind: 'failed', problem };
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Uses a connection of its own: the next attempt resolves the name and shakes hands anew. */
function post({ url, ...trust }: ControlPlaneOptions, body: string, clock: Clock, signal?: AbortSignal): Promise<Answer> {
  const to = new URL(url);
  const bytes = Buffer.from(body);
  const host = to.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = to.port === '' ? (to.protocol === 'https:' ? 443 : 80) : Number(to.port);
  const options: RequestOptions = {
    method: 'POST',
    path: '/bootstrap',
    host,
    port,
    agent: false,
    headers: {
      host: to.host,
      // This exact value: a control plane answers any other with YAML.
      accept: 'application/json',
      'content-type': 'application/json',
      'content-length': String(bytes.byteLength),
    },
    ...(signal === undefined ? {} : { signal }),
  };
  // Without an agent, because an agent connects by itself.
  const tls: RequestOptions = { ...options, agent: undefined, createConnection: () => connectTls(tlsOf(trust, host, port)) };
  return new Promise((resolve, reject) => {
    const request = to.protocol === 'https:' ? httpsRequest(tls) : httpRequest(options);
    const timer = clock.after(ATTEMPT_TIMEOUT_MS, () => {
      request.destroy(new Error(`no answer within ${ATTEMPT_TIMEOUT_MS / 1_000} s`));
    });
    const end = (error: Error | null, answer?: Answer): void => {
      timer.cancel();
      if (answer === undefined) reject(error ?? new Error('the connection ended before the answer was complete'));
      else resolve(answer);
    };
    request.on('error', end);
    whenUnanswered(request, end);
    request.on('response', (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) request.destroy(new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes (4 MiB)`));
        else chunks.push(chunk);
      });
      response.on('error', end);
      response.on('end', () => end(null, { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }));
      response.on('close', () => end(null));
    });
    request.end(bytes);
  });
}

function tlsOf({ caCert, systemTrust, skipVerify }: Omit<ControlPlaneOptions, 'url'>, host: string, port: number): TlsTarget {
  const ca = caCert ?? systemTrust;
  return {
    host,
    port,
    minVersion: 'TLSv1.2',
    rejectUnauthorized: !skipVerify,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(skipVerify || ca === null ? {} : { ca }),
    checkServer: (certificate) => (skipVerify ? undefined : hostProblem(certificate, host)),
  };
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

async function wait(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
