import { STATUS_CODES } from 'node:http';
import type { Refusal, RefusalCode } from '../../base/refusal.ts';
import type { ResponseFlag } from '../../model/request-record.ts';
import { UNSERVED } from '../../routing/check-head.ts';
import type { UnservedHead } from '../../routing/check-head.ts';
import { SERVER } from './headers.ts';

/** An answer that the egress gives itself, with Envoy's text. */
export interface LocalReply {
  readonly status: number;
  /** Empty for no body. */
  readonly body: string;
  /** True ends the client's connection with it. */
  readonly close?: boolean;
  /**
   * True gives the client a second to read the answer before the connection ends, as Envoy does.
   */
  readonly lingers?: boolean;
  /** Extra headers; names and values alternate. */
  readonly headers?: readonly string[];
  /** Status of gRPC where it differs from Envoy's mapping of `status`. */
  readonly grpcStatus?: number;
  /** Why the answer was given, for the record of the request. */
  readonly cause: ReplyCause;
}

export interface ReplyCause {
  readonly code: RefusalCode;
  readonly flag: ResponseFlag | '';
  /** Envoy's response code details. */
  readonly details: string;
}

const RESET = 'upstream connect error or disconnect/reset before headers. reset reason: ';

export type ResetReason =
  | 'remote connection failure'
  | 'connection timeout'
  | 'connection termination'
  | 'remote reset'
  | 'remote refused stream reset'
  | 'overflow'
  | 'protocol error';

type ReplyName = UnservedHead['answer'] | 'denied' | 'requestTimeout' | 'noEndpoint' | 'timeout';

function cause(code: RefusalCode, flag: ResponseFlag | '', details: string): { readonly cause: ReplyCause } {
  return { cause: { code, flag, details } };
}

const codec = cause('malformed-request', 'DPE', 'codec_error');
const rbac = cause('denied', '', 'rbac_access_denied_matched_policy[none]');

export const REPLIES: Readonly<Record<ReplyName, LocalReply>> = {
  badRequest: { status: UNSERVED.badRequest, body: 'Bad Request', close: true, lingers: true, ...codec },
  noHost: {
    status: UNSERVED.noHost,
    body: '',
    close: true,
    lingers: true,
    ...cause('malformed-request', 'DPE', 'missing_host_header'),
  },
  denied: { status: 403, body: 'RBAC: access denied', lingers: true, ...rbac },
  upgrade: {
    status: UNSERVED.upgrade,
    body: '',
    close: true,
    lingers: true,
    ...cause('malformed-request', '', 'upgrade_failed'),
  },
  notFound: { status: UNSERVED.notFound, body: '', lingers: true, ...cause('no-route', 'NR', 'route_not_found') },
  requestTimeout: {
    status: 408,
    body: 'request header timeout',
    close: true,
    lingers: true,
    ...cause('request-timeout', '', 'request_header_timeout'),
  },
  upgradeRequired: {
    status: UNSERVED.upgradeRequired,
    body: 'Upgrade Required',
    close: true,
    lingers: true,
    ...cause('malformed-request', 'DPE', 'low_version'),
  },
  headTooLarge: {
    status: UNSERVED.headTooLarge,
    body: 'Request Header Fields Too Large',
    close: true,
    lingers: true,
    ...cause('malformed-request', 'DPE', 'request_headers_too_large'),
  },
  notImplemented: { status: UNSERVED.notImplemented, body: 'Not Implemented', close: true, lingers: true, ...codec },
  noEndpoint: { status: 503, body: 'no healthy upstream', ...cause('no-endpoint', 'UH', 'no_healthy_upstream') },
  timeout: {
    status: 504,
    body: 'upstream request timeout',
    ...cause('request-timeout', 'UT', 'response_timeout'),
  },
};

export function resetReply(reason: ResetReason): LocalReply {
  const { code, flag } = RESET_CAUSES[reason];
  return {
    status: reason === 'protocol error' ? 502 : 503,
    body: `${RESET}${reason}`,
    ...(reason === 'overflow' ? { headers: ['x-envoy-overloaded', 'true'] } : {}),
    ...cause(code, flag, resetDetails(reason, false)),
  };
}

/** Returns Envoy's details of a request whose service did not finish its answer. */
export function resetDetails(reason: ResetReason, begun: boolean): string {
  return `upstream_reset_${begun ? 'after' : 'before'}_response_started{${reason.replaceAll(' ', '_')}}`;
}

export const RESET_CAUSES: Readonly<Record<ResetReason, { readonly code: RefusalCode; readonly flag: ResponseFlag }>> = {
  'remote connection failure': { code: 'connect-refused', flag: 'UF' },
  'connection timeout': { code: 'connect-timeout', flag: 'UF' },
  'connection termination': { code: 'endpoint-failed', flag: 'UC' },
  'remote reset': { code: 'endpoint-failed', flag: 'UR' },
  'remote refused stream reset': { code: 'endpoint-failed', flag: 'UR' },
  overflow: { code: 'over-limit', flag: 'UO' },
  'protocol error': { code: 'endpoint-failed', flag: 'UPE' },
};

export interface WireReply {
  readonly status: number;
  /** Names and values alternate. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** Makes the answer as it is sent. A gRPC client reads the status in headers of a 200. */
export function wireReply(reply: LocalReply, to: { readonly isGrpc: boolean; readonly wallMs: number }): WireReply {
  const date = ['date', new Date(to.wallMs).toUTCString(), 'server', SERVER];
  const more = reply.headers ?? [];
  if (to.isGrpc) {
    const status = String(reply.grpcStatus ?? grpcStatusOf(reply.status));
    const message = reply.body === '' ? [] : ['grpc-message', percentEncoded(reply.body)];
    return {
      status: 200,
      headers: ['content-type', 'application/grpc', 'grpc-status', status, ...message, ...more, ...date, 'content-length', '0'],
      body: '',
    };
  }
  const length = ['content-length', String(Buffer.byteLength(reply.body))];
  const type = reply.body === '' ? [] : ['content-type', 'text/plain'];
  const head = reply.body === '' ? [...more, ...date, ...length] : [...length, ...type, ...more, ...date];
  return { status: reply.status, headers: head, body: reply.body };
}

/** Writes an answer as bytes of HTTP/1.1, for connections on which no codec can write any more. */
export function rawReply(reply: LocalReply, wallMs: number): string {
  const { status, headers, body } = wireReply(reply, { isGrpc: false, wallMs });
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i] ?? ''}: ${headers[i + 1] ?? ''}\r\n`;
  return `${text}connection: close\r\n\r\n${body}`;
}

/** Envoy's table, `Grpc::Utility::httpToGrpcStatus`. */
function grpcStatusOf(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/**
 * Encodes gRPC's `grpc-message`: escapes characters outside of printable ASCII, and the percent
 * sign.
 */
function percentEncoded(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) =>
      byte < 0x20 || byte > 0x7e || byte === 0x25
        ? `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
        : String.fromCharCode(byte),
    )
    .join('');
}

/** Returns Envoy's answer for the reason of a refusal. */
export function replyTo({ code }: Refusal): LocalReply {
  switch (code) {
    case 'denied':
    case 'unsupported-policy':
    case 'wrong-mesh':
    case 'client-not-trusted':
      return REPLIES.denied;
    case 'no-route':
    case 'policy-changed':
      return REPLIES.notFound;
    case 'no-endpoint':
    case 'dns-failed':
    case 'forbidden-address':
      return REPLIES.noEndpoint;
    default:
      return resetReply(RESETS[code] ?? 'remote connection failure');
  }
}

const RESETS: Readonly<Partial<Record<Refusal['code'], ResetReason>>> = {
  'over-limit': 'overflow',
  'connect-timeout': 'connection timeout',
};
