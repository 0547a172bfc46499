import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { systemClock } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { whenUnanswered } from '../base/unanswered.ts';
import { EXIT_UNAVAILABLE, EXIT_USAGE } from './exit-codes.ts';
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
  url: string,
  clock: Clock,
  timeoutMs: number = TIMEOUT_MS,
  options: RequestOptions = {},
): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const request = requestTo(url, options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > MAX_BYTES) request.destroy(new Error(`the answer is larger than ${MAX_BYTES} bytes`));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    const deadline = clock.after(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)));
    request.on('close', () => deadline.cancel());
    request.on('error', reject);
    whenUnanswered(request, reject);
    request.end();
  });
}

/** `url` may lead to a unix socket. The caller ends the request. */
function requestTo(url: string, options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest {
  const unix = adminTarget(url);
  if (unix === null) return httpRequest(url, { agent: false, ...options }, onResponse);
  const headers = { host: 'localhost', ...options.headers };
  return httpRequest({ agent: false, ...options, ...unix, headers }, onResponse);
}

/** A change over the admin listeners. `token` is null where none is needed, as on a socket. */
export interface WantedChange {
  readonly url: string;
  readonly target: string;
  readonly token: string | null;
}

/** Posts a change. Rejects as `askAdmin` does. */
export function askChange({ url, target, token }: WantedChange, timeoutMs: number = TIMEOUT_MS): Promise<AdminAnswer> {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  return askAdmin(`${url}${target}`, systemClock(), timeoutMs, { method: 'POST', headers });
}

/** Makes a change and returns the answer. Throws `Stopped` where it is refused. */
export async function change(wanted: WantedChange): Promise<string> {
  const { url } = wanted;
  const { status, body } = await askChange(wanted).catch((error: unknown) => {
    throw noAnswer(url, error);
  });
  if (status !== 200) throw refusedBy(url, status, body);
  return body;
}

/**
 * Returns the text of an admin page. Throws `Stopped` where nothing answers, or the egress refuses
 * the query.
 */
export async function pageOf(url: string, target: string): Promise<string> {
  const { status, body } = await askAdmin(`${url}${target}`, systemClock()).catch((error: unknown) => {
    throw noAnswer(url, error);
  });
  if (status !== 200) throw refusedBy(url, status, body);
  return body;
}

/** A page without an end. */
export interface FollowedPage {
  /** Resolves when the egress has ended it; rejects with `Stopped` where it cannot be read. */
  readonly ended: Promise<void>;
  stop(): void;
}

/** Calls `onLine` with each line that is not empty. */
export function followPage(url: string, target: string, onLine: (line: string) => void): FollowedPage {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const request = requestTo(`${url}${target}`, { timeout: FOLLOW_SILENCE_MS }, (response) => {
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
    response.on('end', () => (response.statusCode === 200 ? resolve() : reject(refusedBy(url, response.statusCode ?? 0, text))));
    response.on('error', (error) => reject(noAnswer(url, error)));
  });
  // An egress sends an empty line at least.
  request.on('timeout', () => request.destroy(new Error(`nothing came for ${FOLLOW_SILENCE_MS / 1_000} s`)));
  request.on('error', (error) => reject(noAnswer(url, error)));
  whenUnanswered(request, (error) => reject(noAnswer(url, error)));
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

export function noAnswer(url: string, error: unknown): Stopped {
  return new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(url)}: ${error instanceof Error ? error.message : String(error)}`);
}

export function refusedBy(url: string, status: number, body: string): Stopped {
  if (status === 400) return new Stopped(EXIT_USAGE, body.trim());
  return new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(url)}: ${status}: ${body.trim()}`);
}

/** Returns null for a text that is no JSON. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
