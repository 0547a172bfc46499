/**
 * The HTTP/1.1 client of undici, without the rest of the package: the whole of it takes twice the
 * memory, and puts a dispatcher of its own under the `fetch` of the process, which is not this
 * egress's where it is embedded.
 */
import { createRequire } from 'node:module';
import type * as Undici from 'undici';

const require = createRequire(import.meta.url);

export const Http1Client: typeof Undici.Client = require('undici/lib/dispatcher/client.js') as typeof Undici.Client;
export const clientErrors: typeof Undici.errors = require('undici/lib/core/errors.js') as typeof Undici.errors;
