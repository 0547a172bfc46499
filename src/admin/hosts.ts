import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { textView } from './views.ts';
import type { View } from './views.ts';

/** Returns the refusal of a request by its Host header; null for an allowed one. */
export type HostCheck = (request: IncomingMessage) => View | null;

/**
 * Admits IP addresses, localhost and these names. A page in a browser can send requests to this
 * port, and, under a name that it points here (DNS rebinding), also read the answer. Such a request
 * has that name as its host.
 */
export function createHostCheck(names: readonly string[]): HostCheck {
  const allowed = new Set(['localhost', ...names.map((host) => host.toLowerCase())]);
  return ({ headersDistinct }) => {
    const hosts = headersDistinct.host ?? [];
    const [host] = hosts;
    if (host === undefined || hosts.length !== 1) return textView(400, 'one Host header is needed');
    const name = hostName(host);
    if (name !== null && (isIP(name) !== 0 || allowed.has(name))) return null;
    return textView(421, 'this host is not allowed: use an IP address or localhost, or allow the name');
  };
}

/** Returns the host without its port, in lower case and without brackets; null where it is none. */
function hostName(host: string): string | null {
  const [, bracketed, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::[0-9]{1,5})?$/.exec(host) ?? [];
  if (bracketed !== undefined) return bracketed.includes(':') ? bracketed : null;
  return plain?.toLowerCase() ?? null;
}
