import type { AccessLogFormat, AccessLogTarget, FormatOperator, FormatPiece, FormatValue } from '../model/access-log.ts';
import { hexEscape } from '../base/plain-text.ts';
import { valuesOf } from '../wire/flat-headers.ts';
import type { FlatHeaders } from '../wire/flat-headers.ts';
import { formatTime } from './format-time.ts';

/** The facts of one session or request that a line of an access log can have. */
export interface AccessFacts {
  readonly type: 'TcpConnectionEnd' | 'TcpUpstreamConnected' | 'DownstreamEnd';
  readonly connectionId: string;
  /** Empty for a session. */
  readonly streamId: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly writtenAt: number;
  /** Null while it lasts. */
  readonly durationMs: number | null;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly protocol: string;
  /** 0 without an answer. */
  readonly status: number;
  /** Envoy's response flags, separated by commas. */
  readonly flags: string;
  readonly details: string;
  readonly terminationDetails: string;
  readonly transportFailure: string;
  readonly endpoint: string;
  readonly upstreamProtocol: string;
  readonly cluster: string;
  readonly attempts: number;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly tlsVersion: string;
  readonly sni: string;
  readonly uris: readonly string[];
  readonly issuer: string;
  /** ISO 8601. */
  readonly expiry: string;
  /** -1 without an answer. */
  readonly serviceTimeMs: number;
  /** The head as it was sent to the service, or as it came. Null for a session. */
  readonly request: AccessHead | null;
  readonly response: FlatHeaders | null;
  readonly hostname: string;
}

export interface AccessHead {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly authority: string;
  readonly headers: FlatHeaders;
}

/** The most characters of one value, so that a client cannot make lines of any length. */
const MOST = 8_192;
/** Controls above 0x7f count too: a terminal takes 0x9b for the beginning of an order. */
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;
const ALL_CONTROLS = new RegExp(CONTROLS, 'g');

/** Tells whether a log is about this client; the first URI SAN of its certificate decides. */
export function isAboutClient({ clients }: AccessLogTarget, [first = '']: readonly string[]): boolean {
  if (clients === undefined) return true;
  return clients.type === 'exact' ? first === clients.value : first.startsWith(clients.value);
}

/** Writes the line of one session or request, as Envoy writes it for the same format. Pure. */
export function accessLine(format: AccessLogFormat, facts: AccessFacts): string {
  const omits = format.omitEmpty === true;
  if (format.kind === 'text') return textOf(format.pieces, facts, omits);
  return `${JSON.stringify(valueOf(format.value, facts, omits) ?? {})}\n`;
}

function textOf(pieces: readonly FormatPiece[], facts: AccessFacts, omits: boolean): string {
  let text = '';
  for (const piece of pieces) {
    if (typeof piece === 'string') text += piece;
    else text += cut(piece, facts) ?? (omits ? '' : '-');
  }
  return text;
}

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** Undefined leaves the value out. */
function valueOf(value: FormatValue, facts: AccessFacts, omits: boolean): Json | undefined {
  switch (value.kind) {
    case 'constant':
      return value.value;
    case 'text': {
      const [only, ...more] = value.pieces;
      if (only === undefined || typeof only === 'string' || more.length > 0) return textOf(value.pieces, facts, omits);
      // An operator alone keeps its type.
      const found = operatorValue(only, facts);
      if (found === null) return omits ? undefined : null;
      return typeof found === 'number' ? found : shortened(only, found);
    }
    case 'list':
      return value.items.map((item) => valueOf(item, facts, omits) ?? null);
    case 'map': {
      const made: (readonly [string, Json])[] = [];
      for (const [name, item] of value.entries) {
        const found = valueOf(item, facts, omits);
        if (found !== undefined) made.push([name, found]);
      }
      return Object.fromEntries(made);
    }
    default:
      return value satisfies never;
  }
}

function cut(operator: FormatOperator, facts: AccessFacts): string | null {
  const found = operatorValue(operator, facts);
  return found === null ? null : shortened(operator, String(found));
}

/** Control characters would begin a new line, or speak to a terminal. */
function shortened({ most = MOST }: FormatOperator, text: string): string {
  const whole = text.length > most ? text.slice(0, most) : text;
  return CONTROLS.test(whole) ? whole.replace(ALL_CONTROLS, hexEscape) : whole;
}

type Evaluate = (facts: AccessFacts, argument: string) => string | number | null;

const known = (text: string): string | null => (text === '' ? null : text);

function operatorValue({ name, argument = '' }: FormatOperator, facts: AccessFacts): string | number | null {
  return OPERATORS[name]?.(facts, argument) ?? null;
}

const OPERATORS: Readonly<Record<string, Evaluate>> = {
  ACCESS_LOG_TYPE: ({ type }) => type,
  BYTES_RECEIVED: ({ bytesReceived }) => bytesReceived,
  BYTES_SENT: ({ bytesSent }) => bytesSent,
  CONNECTION_ID: ({ connectionId }) => connectionId,
  CONNECTION_TERMINATION_DETAILS: ({ terminationDetails }) => known(terminationDetails),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: remoteAddress,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: ({ clientAddress }) => known(clientAddress),
  DOWNSTREAM_DIRECT_REMOTE_PORT: ({ clientPort }) => clientPort || null,
  DOWNSTREAM_PEER_CERT_V_END: ({ expiry }, argument) =>
    expiry === '' ? null : formatTime(Date.parse(expiry), argument, '%b %e %H:%M:%S %Y GMT'),
  DOWNSTREAM_PEER_ISSUER: ({ issuer }) => known(issuer),
  DOWNSTREAM_PEER_URI_SAN: ({ uris }) => known(uris.join(',')),
  DOWNSTREAM_REMOTE_ADDRESS: remoteAddress,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ({ clientAddress }) => known(clientAddress),
  DOWNSTREAM_REMOTE_PORT: ({ clientPort }) => clientPort || null,
  DOWNSTREAM_TLS_VERSION: ({ tlsVersion }) => known(tlsVersion),
  DURATION: ({ durationMs }) => (durationMs === null ? null : Math.floor(durationMs)),
  EMIT_TIME: ({ writtenAt }, argument) => formatTime(writtenAt, argument),
  HOSTNAME: ({ hostname }) => known(hostname),
  PROTOCOL: ({ protocol }) => known(protocol),
  REQ: ({ request }, argument) => (request === null ? null : headerOf(argument, (name) => ofRequest(request, name))),
  REQUESTED_SERVER_NAME: ({ sni }) => serverName(sni),
  RESP: ({ response, status }, argument) =>
    response === null ? null : headerOf(argument, (name) => (name === ':status' ? String(status) : firstOf(response, name))),
  RESPONSE_CODE: ({ status }) => status,
  RESPONSE_CODE_DETAILS: ({ details }) => known(details),
  RESPONSE_DURATION: ({ serviceTimeMs }) => (serviceTimeMs < 0 ? null : Math.floor(serviceTimeMs)),
  RESPONSE_FLAGS: ({ flags }) => known(flags),
  RESPONSE_FLAGS_LONG: ({ flags }) =>
    known(
      flags
        .split(',')
        .map((flag) => LONG_FLAGS[flag] ?? flag)
        .join(','),
    ),
  RESPONSE_TX_DURATION: ({ durationMs, serviceTimeMs }) =>
    serviceTimeMs < 0 || durationMs === null ? null : Math.floor(durationMs - serviceTimeMs),
  START_TIME: ({ startedAt }, argument) => formatTime(startedAt, argument),
  START_TIME_LOCAL: ({ startedAt }, argument) => formatTime(startedAt, argument),
  STREAM_ID: ({ streamId, connectionId }) => streamId || connectionId,
  UPSTREAM_CLUSTER: ({ cluster }) => known(cluster),
  UPSTREAM_CLUSTER_RAW: ({ cluster }) => known(cluster),
  UPSTREAM_HOST: ({ endpoint }) => known(endpoint),
  UPSTREAM_HOST_NAME: ({ endpoint }) => known(endpoint),
  UPSTREAM_PROTOCOL: ({ upstreamProtocol }) => known(upstreamProtocol),
  UPSTREAM_REMOTE_ADDRESS: ({ endpoint }) => known(endpoint),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ({ endpoint }) => known(endpoint.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')),
  UPSTREAM_REMOTE_PORT: ({ endpoint }) => Number(/:(\d+)$/.exec(endpoint)?.[1] ?? 0) || null,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: ({ attempts }) => attempts,
  UPSTREAM_TRANSPORT_FAILURE_REASON: ({ transportFailure }) => known(transportFailure),
};

/** The operators that have a value here. */
export const EVALUATED_OPERATORS: readonly string[] = Object.keys(OPERATORS);

function remoteAddress({ clientAddress, clientPort }: AccessFacts): string | null {
  if (clientAddress === '') return null;
  return clientAddress.includes(':') ? `[${clientAddress}]:${clientPort}` : `${clientAddress}:${clientPort}`;
}

/** `X-A?X-B` is the second header where the first is missing. */
function headerOf(argument: string, valueOfHeader: (name: string) => string | null): string | null {
  const [first = '', second] = argument.toLowerCase().split('?');
  return valueOfHeader(first) ?? (second === undefined ? null : valueOfHeader(second));
}

function ofRequest({ method, path, authority, headers }: AccessHead, name: string): string | null {
  switch (name) {
    case ':method':
      return known(method);
    case ':path':
      return known(path);
    case ':authority':
    case 'host':
      return known(authority);
    case ':scheme':
      return 'https';
    default:
      return firstOf(headers, name);
  }
}

function firstOf(headers: FlatHeaders, name: string): string | null {
  const [first] = valuesOf(headers, name);
  return first ?? null;
}

/** Envoy writes a name that is no host name with other characters in place of those. */
function serverName(sni: string): string | null {
  if (sni === '' || /^[\w.-]+$/.test(sni)) return known(sni);
  return `invalid:${sni.replace(/[^\w.-]/g, '_')}`;
}

const LONG_FLAGS: Readonly<Record<string, string>> = {
  DC: 'DownstreamConnectionTermination',
  DI: 'DelayInjected',
  DPE: 'DownstreamProtocolError',
  DT: 'DurationTimeout',
  FI: 'FaultInjected',
  NC: 'NoClusterFound',
  NR: 'NoRouteFound',
  RL: 'RateLimited',
  SI: 'StreamIdleTimeout',
  UC: 'UpstreamConnectionTermination',
  UF: 'UpstreamConnectionFailure',
  UH: 'NoHealthyUpstream',
  UMSDR: 'UpstreamMaxStreamDurationReached',
  UO: 'UpstreamOverflow',
  UPE: 'UpstreamProtocolError',
  UR: 'UpstreamRemoteReset',
  URX: 'UpstreamRetryLimitExceeded',
  UT: 'UpstreamRequestTimeout',
};
