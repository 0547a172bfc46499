import { tcpPlace } from '../../model/access-log.ts';
import type { AccessLogClients, AccessLogFormat, AccessLogTarget, FormatPiece } from '../../model/access-log.ts';
import { serverName } from '../../model/names.ts';
import { jsonFormat, textFormat } from '../../resources/access-format.ts';
import type { ParsedFormat } from '../../resources/access-format.ts';
import type { AccessLog } from '#envoy/config/accesslog/v3/accesslog_pb.js';
import type { SubstitutionFormatString } from '#envoy/config/core/v3/substitution_format_string_pb.js';
import { FileAccessLogSchema } from '#envoy/extensions/access_loggers/file/v3/file_pb.js';
import type { FileAccessLog } from '#envoy/extensions/access_loggers/file/v3/file_pb.js';
import { ExpressionFilterSchema } from '#envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js';
import { typeOf, unpack } from '../messages/typed-config.ts';

/** An access log of a chain, which may be about one of its server names only. */
export interface ChainAccessLog {
  readonly target: AccessLogTarget;
  /** Null for all server names. */
  readonly serverName: string | null;
}

/**
 * Reads the access logs of a filter. A log restricts no client, so one that cannot be written is
 * left out, with a remark.
 */
export function readAccessLogs(logs: readonly AccessLog[], onConnect: boolean, remarks: string[]): readonly ChainAccessLog[] {
  return logs.flatMap((log): readonly ChainAccessLog[] => {
    const leftOut = (why: string): readonly [] => {
      remarks.push(`an access log of it is not written: ${why}`);
      return [];
    };
    const config = log.configType.case === 'typedConfig' ? log.configType.value : undefined;
    const file = unpack(config, FileAccessLogSchema);
    if (file === undefined)
      return leftOut(
        typeOf(config) === OTEL ? 'OpenTelemetry is not spoken here' : `it is of type ${typeOf(config) || log.name}`,
      );
    const filter = readFilter(log);
    if (filter === null) return leftOut('its filter is not evaluated');
    const format = readFormat(file);
    if (format.kind === 'invalid') return leftOut(`its format ${format.why}`);
    const to = isPipeOfKumaDp(file.path) ? tcpReceiver(format.parsed) : { path: file.path, format: format.parsed };
    if (to === null) return leftOut('it is of type Tcp, and its format names no address');
    const { clients, serverName: name } = filter;
    const more = { ...(clients === null ? {} : { clients }), ...(onConnect ? { onConnect } : {}) };
    return [{ target: { ...to, ...more }, serverName: name }];
  });
}

/** Envoy writes lines for receivers over TCP into a pipe, and kuma-dp sends them. */
function isPipeOfKumaDp(path: string): boolean {
  return /\/kuma-al-[^/]*\.sock$/.test(path);
}

/**
 * Returns the receiver and the line that kuma-dp finds in what Envoy writes: an object with
 * `address` and `message`, from older control planes a text with the address before a semicolon.
 */
function tcpReceiver(format: AccessLogFormat): Pick<AccessLogTarget, 'path' | 'format'> | null {
  const { omitEmpty } = format;
  const more = omitEmpty === undefined ? {} : { omitEmpty };
  if (format.kind === 'text') {
    const [first, ...pieces] = format.pieces;
    const [, address = '', rest = ''] = typeof first === 'string' ? (/^([^;\s]+);(.*)$/s.exec(first) ?? []) : [];
    const path = tcpPlace(address);
    return path === null ? null : { path, format: { kind: 'text', pieces: ownLine([rest, ...pieces]), ...more } };
  }
  const fields = new Map(format.value.kind === 'map' ? format.value.entries : []);
  const [address, message] = [fields.get('address'), fields.get('message')];
  const [text = '', ...others] = address?.kind === 'text' ? address.pieces : [];
  const path = typeof text === 'string' && others.length === 0 ? tcpPlace(text) : null;
  if (path === null || message === undefined) return null;
  if (message.kind !== 'text') return { path, format: { kind: 'json', value: message, ...more } };
  return { path, format: { kind: 'text', pieces: ownLine(message.pieces), ...more } };
}

/** A receiver tells lines apart by their ends. */
function ownLine(pieces: readonly FormatPiece[]): readonly FormatPiece[] {
  const last = pieces.at(-1);
  return typeof last === 'string' && last.endsWith('\n') ? pieces : [...pieces, '\n'];
}

/** Returns the access logs for one server name of the chain. */
export function logsFor(logs: readonly ChainAccessLog[], name: string): readonly AccessLogTarget[] {
  return logs.flatMap((log) => (log.serverName === null || serverName(log.serverName) === name ? [log.target] : []));
}

const OTEL = 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig';

interface Filter {
  readonly clients: AccessLogClients | null;
  readonly serverName: string | null;
}

/**
 * Reads the expressions of CEL that Kuma makes of the matches of a rule; null for another filter.
 */
function readFilter({ filter }: AccessLog): Filter | null {
  if (filter === undefined) return { clients: null, serverName: null };
  const by = filter.filterSpecifier;
  const config =
    by.case === 'extensionFilter' && by.value.configType.case === 'typedConfig' ? by.value.configType.value : undefined;
  const cel = unpack(config, ExpressionFilterSchema);
  if (cel === undefined) return null;
  let clients: AccessLogClients | null = null;
  let name: string | null = null;
  for (const term of termsOf(cel.expression)) {
    const [, isEqual, prefix] =
      /^connection\.uri_san_peer_certificate(?: == ("(?:[^"\\]|\\.)*")|\.startsWith\(("(?:[^"\\]|\\.)*")\))$/.exec(term) ?? [];
    const [, wanted] = /^connection\.requested_server_name == ("(?:[^"\\]|\\.)*")$/.exec(term) ?? [];
    const text = textIn(isEqual ?? prefix ?? wanted);
    if (text === null) return null;
    if (wanted === undefined) {
      if (clients !== null) return null;
      clients = { type: isEqual === undefined ? 'prefix' : 'exact', value: text };
    } else {
      if (name !== null) return null;
      name = text;
    }
  }
  return { clients, serverName: name };
}

/** Splits at `&&` outside of quotes. */
function termsOf(expression: string): readonly string[] {
  const terms: string[] = [''];
  for (const token of expression.match(/"(?:[^"\\]|\\.)*"|&&|[^"&]+|["&]/g) ?? []) {
    if (token === '&&') terms.push('');
    else terms.push(`${terms.pop() ?? ''}${token}`);
  }
  return terms.map((term) => term.trim());
}

/** Reads a text in quotes; Go's escapes of such names are those of JSON. */
function textIn(quoted: string | undefined): string | null {
  if (quoted === undefined) return null;
  try {
    const read: unknown = JSON.parse(quoted);
    return typeof read === 'string' ? read : null;
  } catch {
    return null;
  }
}

function readFormat({ accessLogFormat: by }: FileAccessLog): ParsedFormat<AccessLogFormat> {
  switch (by.case) {
    case undefined:
      return textFormat(DEFAULT, false);
    case 'format':
      return textFormat(by.value || DEFAULT, false);
    case 'jsonFormat':
    case 'typedJsonFormat':
      return jsonFormat(by.value, false);
    case 'logFormat':
      return ofSubstitution(by.value);
    default:
      return by satisfies never;
  }
}

function ofSubstitution({ format: by, omitEmptyValues }: SubstitutionFormatString): ParsedFormat<AccessLogFormat> {
  switch (by.case) {
    case 'textFormat':
      return textFormat(by.value, omitEmptyValues);
    case 'jsonFormat':
      return jsonFormat(by.value, omitEmptyValues);
    case 'textFormatSource':
      if (by.value.specifier.case === 'inlineString') return textFormat(by.value.specifier.value, omitEmptyValues);
      return { kind: 'invalid', why: 'is in a file, or an environment variable, of the proxy' };
    case undefined:
      return { kind: 'invalid', why: 'is missing' };
    default:
      return by satisfies never;
  }
}

/** Envoy's default, for connections too. */
const DEFAULT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';
