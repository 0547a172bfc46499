import { valuesOf } from '../wire/flat-headers.ts';
import type { AskedRequest } from './facts.ts';
import type { Trace } from './trace.ts';

/**
 * What a running egress may be asked: about a session that it remembers, or about a connection that
 * somebody thinks of.
 */
export type Question =
  | { readonly id: string }
  | {
      /** Null: a hello that names no server. */
      readonly sni: string | null;
      /**
       * URI names of the client's certificate, taken at their word: a SPIFFE id at least. Absent:
       * the client has no certificate.
       */
      readonly from?: readonly string[];
      /** Of a service that speaks HTTP: what is asked for. Absent: the connection only. */
      readonly method?: string;
      /** Begins with a slash. Absent: `/`. */
      readonly path?: string;
      /** Lines as `name: value`; `host` is the authority. */
      readonly headers?: readonly string[];
    };

/** A connection that is only asked about, with its endpoints dialled. */
export type ProbeQuestion = Extract<Question, { readonly sni: string | null }>;

export type Answer =
  | { readonly kind: 'trace'; readonly trace: Trace }
  /** Names that cannot be those of a client. */
  | { readonly kind: 'bad-question'; readonly why: string }
  /** As many endpoints are dialled for others as may be at a time. */
  | { readonly kind: 'busy'; readonly why: string }
  /** The session is not among those that are remembered. */
  | { readonly kind: 'no-record'; readonly why: string };

/** Null where only the connection is asked about; a sentence where it is no request. */
export function askedRequest({
  method,
  path,
  headers,
}: Pick<ProbeQuestion, 'method' | 'path' | 'headers'>): AskedRequest | null | string {
  if (method === undefined && path === undefined && headers === undefined) return null;
  if (method !== undefined && !/^[A-Z][A-Z-]*$/.test(method))
    return `method ${JSON.stringify(method)}: allowed are capitals, as GET`;
  if (path !== undefined && !/^[/][\x21-\x7e]*$/.test(path))
    return `path ${JSON.stringify(path)}: it begins with a slash and has no space`;
  const flat: string[] = [];
  for (const line of headers ?? []) {
    const [, name = '', value = ''] = /^([\w!#$%&'*+.^`|~-]+):\s*(.*)$/.exec(line) ?? [];
    if (name === '') return `header ${JSON.stringify(line)}: wanted is name: value`;
    flat.push(name.toLowerCase(), value);
  }
  return { method: method ?? 'GET', path: path ?? '/', authority: valuesOf(flat, 'host')[0] ?? '', headers: flat };
}
