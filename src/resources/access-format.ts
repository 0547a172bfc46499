import type { AccessLogFormat, FormatPiece, FormatValue } from '../model/access-log.ts';

/** Command operators of Envoy that have a value here, with the form of their argument. */
const EVALUATED: Readonly<Record<string, 'none' | 'needed' | 'optional'>> = {
  ACCESS_LOG_TYPE: 'none',
  BYTES_RECEIVED: 'none',
  BYTES_SENT: 'none',
  CONNECTION_ID: 'none',
  CONNECTION_TERMINATION_DETAILS: 'none',
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: 'none',
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: 'none',
  DOWNSTREAM_DIRECT_REMOTE_PORT: 'none',
  DOWNSTREAM_PEER_CERT_V_END: 'optional',
  DOWNSTREAM_PEER_ISSUER: 'none',
  DOWNSTREAM_PEER_URI_SAN: 'none',
  DOWNSTREAM_REMOTE_ADDRESS: 'none',
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: 'none',
  DOWNSTREAM_REMOTE_PORT: 'none',
  DOWNSTREAM_TLS_VERSION: 'none',
  DURATION: 'none',
  EMIT_TIME: 'optional',
  HOSTNAME: 'none',
  PROTOCOL: 'none',
  REQ: 'needed',
  REQUESTED_SERVER_NAME: 'optional',
  RESP: 'needed',
  RESPONSE_CODE: 'none',
  RESPONSE_CODE_DETAILS: 'optional',
  RESPONSE_DURATION: 'none',
  RESPONSE_FLAGS: 'none',
  RESPONSE_FLAGS_LONG: 'none',
  RESPONSE_TX_DURATION: 'none',
  START_TIME: 'optional',
  START_TIME_LOCAL: 'optional',
  STREAM_ID: 'none',
  UPSTREAM_CLUSTER: 'none',
  UPSTREAM_CLUSTER_RAW: 'none',
  UPSTREAM_HOST: 'none',
  UPSTREAM_HOST_NAME: 'none',
  UPSTREAM_PROTOCOL: 'none',
  UPSTREAM_REMOTE_ADDRESS: 'none',
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: 'none',
  UPSTREAM_REMOTE_PORT: 'none',
  UPSTREAM_REQUEST_ATTEMPT_COUNT: 'none',
  UPSTREAM_TRANSPORT_FAILURE_REASON: 'none',
};

/** Command operators of Envoy for what this egress does not know: their value is unknown. */
const UNKNOWN = new Set<string>(
  `BYTES_RETRANSMITTED CLUSTER_METADATA COMMON_DURATION COALESCE DOWNSTREAM_DETECTED_CLOSE_TYPE
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_LOCAL_PORT
  DOWNSTREAM_HANDSHAKE_DURATION DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_ENDPOINT_ID DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID
  DOWNSTREAM_REMOTE_ADDRESS_ENDPOINT_ID UPSTREAM_LOCAL_ADDRESS_ENDPOINT_ID UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN
  DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN
  DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256
  DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_FINGERPRINT_1
  DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT
  DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED
  DOWNSTREAM_WIRE_BYTES_SENT DYNAMIC_METADATA EMIT_TIME_LOCAL ENVIRONMENT FILE_CONTENT FILTER_CHAIN_NAME FILTER_STATE GRPC_STATUS
  GRPC_STATUS_NUMBER LISTENER_METADATA LOCAL_REPLY_BODY METADATA PATH QUERY_PARAM QUERY_PARAMS REQUEST_DURATION
  REQUEST_HEADERS_BYTES REQUEST_HEADER REQUEST_TX_DURATION RESPONSE_HEADERS_BYTES RESPONSE_HEADER RESPONSE_TRAILERS_BYTES ROUNDTRIP_DURATION
  ROUTE_NAME SAMPLED SPAN_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID TRAILER UNIQUE_ID UPSTREAM_CLUSTER_METADATA
  UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_POOL_READY_DURATION UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_FILTER_STATE
  UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_HOSTS_ATTEMPTED
  UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAMES_ATTEMPTED UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT
  UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_CLOSE_REASON
  UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_SUBJECT UPSTREAM_LOCAL_URI_SAN UPSTREAM_METADATA
  UPSTREAM_PEER_CERT UPSTREAM_PEER_CERT_V_END UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_EMAIL_SAN
  UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER UPSTREAM_PEER_OTHERNAME_SAN UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN
  UPSTREAM_SERVER_NAME UPSTREAM_TLS_CIPHER UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_WIRE_BYTES_RECEIVED
  UPSTREAM_WIRE_BYTES_SENT UPSTREAM_BYTES_RETRANSMITTED VIRTUAL_CLUSTER_NAME VIRTUAL_HOST_NAME CEL TYPED_CEL`.split(/\s+/),
);

export type ParsedFormat<Parsed> =
  { readonly kind: 'parsed'; readonly parsed: Parsed } | { readonly kind: 'invalid'; readonly why: string };

const OPERATOR = /%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d{1,9}))?%/y;

/** Reads a format string of Envoy: texts, `%%`, and command operators like `%REQ(:PATH):40%`. */
export function parseFormatText(text: string): ParsedFormat<readonly FormatPiece[]> {
  const pieces: FormatPiece[] = [];
  let plain = '';
  let at = 0;
  while (at < text.length) {
    const next = text.indexOf('%', at);
    plain += text.slice(at, next < 0 ? undefined : next);
    if (next < 0) break;
    if (text[next + 1] === '%') {
      plain += '%';
      at = next + 2;
      continue;
    }
    OPERATOR.lastIndex = next;
    const found = OPERATOR.exec(text);
    if (found === null)
      return invalid(
        `has at ${JSON.stringify(text.slice(next, next + 20))} no command operator such as %DURATION%: a percent sign is written as %%`,
      );
    const [whole, name = '', argument, most] = found;
    const problem = problemOf(name, argument);
    if (problem !== null) return invalid(problem);
    if (plain !== '') pieces.push(plain);
    plain = '';
    pieces.push({ name, ...(argument === undefined ? {} : { argument }), ...(most === undefined ? {} : { most: Number(most) }) });
    at = next + whole.length;
  }
  if (plain !== '') pieces.push(plain);
  return { kind: 'parsed', parsed: pieces };
}

function problemOf(name: string, argument: string | undefined): string | null {
  if (UNKNOWN.has(name)) return null;
  const form = EVALUATED[name];
  if (form === undefined) return `has %${name}%, which is no command operator of Envoy`;
  if (form === 'needed' && (argument ?? '') === '') return `has %${name}% without the name of a header: %${name}(USER-AGENT)%`;
  return form === 'none' && argument !== undefined ? `has %${name}(${argument})%, which takes nothing in brackets` : null;
}

/** Reads a value of JSON: a text is a format, other values stay as they are. */
export function parseFormatValue(value: unknown, path = ''): ParsedFormat<FormatValue> {
  if (typeof value === 'string') {
    const text = parseFormatText(value);
    if (text.kind === 'invalid') return path === '' ? text : invalid(`${path}: ${text.why}`);
    return { kind: 'parsed', parsed: { kind: 'text', pieces: text.parsed } };
  }
  if (typeof value === 'number' || typeof value === 'boolean' || value === null)
    return { kind: 'parsed', parsed: { kind: 'constant', value } };
  if (Array.isArray(value)) {
    const items: FormatValue[] = [];
    for (const [i, item] of (value as readonly unknown[]).entries()) {
      const read = parseFormatValue(item, `${path}[${i}]`);
      if (read.kind === 'invalid') return read;
      items.push(read.parsed);
    }
    return { kind: 'parsed', parsed: { kind: 'list', items } };
  }
  if (typeof value !== 'object') return invalid(`${path}: is no value of JSON`);
  const entries: (readonly [string, FormatValue])[] = [];
  // Envoy sorts the names.
  for (const [name, item] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    const read = parseFormatValue(item, path === '' ? name : `${path}.${name}`);
    if (read.kind === 'invalid') return read;
    entries.push([name, read.parsed]);
  }
  return { kind: 'parsed', parsed: { kind: 'map', entries } };
}

function invalid(why: string): { readonly kind: 'invalid'; readonly why: string } {
  return { kind: 'invalid', why };
}

/** Makes the format of a log of text. */
export function textFormat(text: string, omitEmpty: boolean): ParsedFormat<AccessLogFormat> {
  const read = parseFormatText(text);
  if (read.kind === 'invalid') return read;
  return { kind: 'parsed', parsed: { kind: 'text', pieces: read.parsed, ...(omitEmpty ? { omitEmpty } : {}) } };
}

/** Makes the format of a log of JSON. */
export function jsonFormat(value: object, omitEmpty: boolean): ParsedFormat<AccessLogFormat> {
  const read = parseFormatValue(value);
  if (read.kind === 'invalid') return read;
  return { kind: 'parsed', parsed: { kind: 'json', value: read.parsed, ...(omitEmpty ? { omitEmpty } : {}) } };
}
