/**
 * The HTTP/1.1 client of undici, without the rest of the package: the whole of it takes twice the
 * memory, and puts a dispatcher of its own under the `fetch` of the process, which is not this
 * egress's where it is embedded.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type * as Undici from 'undici';

const require = createRequire(import.meta.url);

export const Http1Client: typeof Undici.Client = require('undici/lib/dispatcher/client.js') as typeof Undici.Client;
export const clientErrors: typeof Undici.errors = require('undici/lib/core/errors.js') as typeof Undici.errors;

interface Parser {
  onHeadersComplete(status: number, upgrade: boolean, keepsAlive: boolean): number;
}

const { kParser } = require('undici/lib/core/symbols.js') as { readonly kParser: symbol };

/**
 * Takes a 100 of the service as every other answer before the answer. By itself the client ends the
 * connection, because it has asked for none; services send it all the same.
 */
export function takeContinue(socket: Socket): void {
  const parser = (socket as unknown as Record<symbol, Parser | undefined>)[kParser];
  if (parser === undefined) throw new Error('undici has another parser: a 100 of a service would end its connection');
  const given = parser.onHeadersComplete.bind(parser);
  parser.onHeadersComplete = (status, upgrade, keepsAlive) => given(status === 100 ? 102 : status, upgrade, keepsAlive);
}
