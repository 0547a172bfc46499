/**
 * Loads undici's HTTP/1.1 client without the rest of the package. The whole package takes twice the
 * memory and replaces the global dispatcher of `fetch`, which belongs to the program that embeds
 * the egress.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type * as Undici from 'undici';

const require = createRequire(import.meta.url);

export const Http1Client: typeof Undici.Client = require('undici/lib/dispatcher/client.js') as typeof Undici.Client;
export const clientErrors: typeof Undici.errors = require('undici/lib/core/errors.js') as typeof Undici.errors;

interface Parser {
  /** -1 without one. */
  contentLength: number;
  /** Names and values alternate. */
  readonly headers: readonly Buffer[];
  onHeadersComplete(status: number, upgrade: boolean, keepsAlive: boolean): number;
}

const { kParser } = require('undici/lib/core/symbols.js') as { readonly kParser: symbol };

/**
 * Makes the client accept a 100 of the service like every other interim answer. By default the
 * client ends the connection, because it has not asked for one; some services send it anyway. It
 * also reads a length with a space behind it, of which the client makes another number.
 */
export function takeContinue(socket: Socket): void {
  const parser = (socket as unknown as Record<symbol, Parser | undefined>)[kParser];
  if (parser === undefined) throw new Error('undici has another parser: a 100 of a service would end its connection');
  const given = parser.onHeadersComplete.bind(parser);
  parser.onHeadersComplete = (status, upgrade, keepsAlive) => {
    if (parser.contentLength !== -1) parser.contentLength = lengthIn(parser.headers) ?? parser.contentLength;
    return given(status === 100 ? 102 : status, upgrade, keepsAlive);
  };
}

function lengthIn(headers: readonly Buffer[]): number | null {
  const at = headers.findIndex(
    (name, i) => i % 2 === 0 && name.length === 14 && /^content-length$/i.test(name.toString('latin1')),
  );
  return at < 0 ? null : Number(headers[at + 1]?.toString('latin1').trim());
}
