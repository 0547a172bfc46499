import * as checked from '../../base/shape.ts';

export interface OtlpOptions {
  /**
   * `http://` or `https://` of a collector that takes OTLP over HTTP; `/v1/traces` and `/v1/logs`
   * are added to it.
   */
  readonly endpoint: string;
  /**
   * Share of the sessions and requests whose spans are sent, from 0 to 1. Log records of those that
   * did not end well are always sent. Default: 0.01.
   */
  readonly sample?: number;
  /** File of headers, one `name: value` a line, e.g. with a token. Default: none. */
  readonly headersFile?: string;
  /** Attributes of the resource beside `service.name`, `service.version` and the zone. */
  readonly attributes?: Readonly<Record<string, string>>;
}

export const DEFAULT_SHARE = 0.01;

/** Sending to a collector cannot begin; the message is one sentence for an operator. */
export class OtlpError extends Error {
  constructor(message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'OtlpError';
  }
}

/** Returns why the text is no endpoint; null for a good one. The text itself may hold a secret. */
export function endpointProblem(text: string): string | null {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    return 'allowed is a URL such as http://collector:4318 or https://HOST/PATH';
  if (url.username !== '' || url.password !== '')
    return 'allowed is a URL without a user and a password; they are shown in logs, and the file of headers is not';
  if (url.search !== '' || url.hash !== '') return 'allowed is a URL without ? and #; /v1/traces and /v1/logs are added to it';
  const added = /\/v1\/(?:traces|logs|metrics)(?=\/*$)/.exec(url.pathname)?.[0];
  if (added !== undefined) return `allowed is a URL without ${added} at its end; /v1/traces and /v1/logs are added to it`;
  return null;
}

/** Returns the URL of one signal. */
export function signalUrl(endpoint: string, signal: 'traces' | 'logs'): URL {
  return new URL(`${endpoint.replace(/\/+$/, '')}/v1/${signal}`);
}

const endpoint: checked.Check = (value, at) => {
  checked.name(value, at);
  const problem = endpointProblem(String(value));
  if (problem !== null) throw new TypeError(`${at}: ${problem}`);
};

const share: checked.Check = (value, at) => {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1)) throw new TypeError(`${at}: allowed is a number from 0 to 1`);
};

export const checkOtlp: checked.Check = checked.options<OtlpOptions>(
  { endpoint, sample: share, headersFile: checked.name, attributes: checked.byName(checked.text) },
  ['endpoint'],
);
