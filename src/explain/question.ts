import { valuesOf } from '../wire/flat-headers.ts';
import type { AskedRequest } from './facts.ts';
import type { Trace } from './trace.ts';

/** A question to a running egress: about a remembered session, or about a described connection. */
export type Question =
  | { readonly id: string }
  | {
      /** Null for a hello without a server name. */
      readonly sni: string | null;
      /**
       * URI names of the client's certificate, which are not verified: at least a SPIFFE id. Absent
       * means no certificate.
       */
      readonly from?: readonly string[];
      /** For an HTTP service, the request in question. Absent asks only about the connection. */
      readonly method?: string;
      /** Begins with a slash. Absent means `/`. */
      readonly path?: string;
      /** Lines of the form `name: value`; `host` is the authority. */
      readonly headers?: readonly string[];
    };

/** A described connection whose endpoints are dialled. */
export type ProbeQuestion = Extract<Question, { readonly sni: string | null }>;

export type Answer =
  | { readonly kind: 'trace'; readonly trace: Trace }
  /** Names that no client can have. */
  | { readonly kind: 'bad-question'; readonly why: string }
  /** The maximum of questions is being dialled. */
  | { readonly kind: 'busy'; readonly why: string }
  /** The session is not among the remembered ones. */
  | { readonly kind: 'no-record'; readonly why: string };

/** Returns null for a question about the connection only; a sentence for an invalid request. */
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
