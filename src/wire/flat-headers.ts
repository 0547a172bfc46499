/** Names and values alternate, as `node:http` gives them; names are in lower case. */
export type FlatHeaders = readonly string[];

/** Returns the values of a header in their order. */
export function valuesOf(headers: FlatHeaders, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) values.push(headers[i + 1] ?? '');
  return values;
}

/** The headers that the walk of a request looks at. The lists hold the values in their order. */
export interface HeadFields {
  readonly hosts: readonly string[];
  readonly transferEncodings: readonly string[];
  readonly contentLengths: readonly string[];
  readonly upgrades: readonly string[];
  readonly expects: readonly string[];
  /** Headers that `Connection` names, in lower case: they belong to this connection too. */
  readonly connectionNames: ReadonlySet<string>;
  /** The first, of a header that should stand once; empty where there is none. */
  readonly contentType: string;
  readonly requestId: string;
  /** The only one, in the form of W3C Trace Context; empty without it. */
  readonly traceparent: string;
  /** null: there is none. */
  readonly grpcStatus: string | null;
}

const NONE: readonly string[] = [];
/** Takes every version; a later one may have more fields. */
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,72})?$/;
const NO_NAMES: ReadonlySet<string> = new Set();

/** Reads a head in one pass, which costs less than a walk over the list for each name. */
export function fieldsOf(headers: FlatHeaders): HeadFields {
  const found: Partial<Record<'host' | 'transferEncoding' | 'contentLength' | 'upgrade' | 'expect' | 'connection', string[]>> =
    {};
  let contentType: string | null = null;
  let requestId: string | null = null;
  let traceparent: string | null = null;
  let grpcStatus: string | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] ?? '';
    switch (headers[i]) {
      case 'host':
        (found.host ??= []).push(value);
        break;
      case 'transfer-encoding':
        (found.transferEncoding ??= []).push(value);
        break;
      case 'content-length':
        (found.contentLength ??= []).push(value);
        break;
      case 'upgrade':
        (found.upgrade ??= []).push(value);
        break;
      case 'expect':
        (found.expect ??= []).push(value);
        break;
      case 'connection':
        (found.connection ??= []).push(value);
        break;
      case 'content-type':
        contentType ??= value;
        break;
      case 'x-request-id':
        requestId ??= value;
        break;
      case 'traceparent':
        traceparent = traceparent === null && TRACEPARENT.test(value) ? value : '';
        break;
      case 'grpc-status':
        grpcStatus ??= value;
        break;
      default:
    }
  }
  return {
    hosts: found.host ?? NONE,
    transferEncodings: found.transferEncoding ?? NONE,
    contentLengths: found.contentLength ?? NONE,
    upgrades: found.upgrade ?? NONE,
    expects: found.expect ?? NONE,
    connectionNames: found.connection === undefined ? NO_NAMES : namesIn(found.connection),
    contentType: contentType ?? '',
    requestId: requestId ?? '',
    traceparent: traceparent ?? '',
    grpcStatus,
  };
}

function namesIn(values: readonly string[]): ReadonlySet<string> {
  return new Set(values.flatMap((value) => value.split(',').map((each) => each.trim().toLowerCase())));
}
