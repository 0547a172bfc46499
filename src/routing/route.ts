import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import { hexEscape, isPlain } from '../base/plain-text.ts';
import { serverName } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';

/**
 * Finds the route of a ClientHello: an exact match in constant time, ASCII case folded. A trailing
 * dot is no match, as in Envoy. `name` is the SNI as the client sent it (latin1), null without an
 * SNI.
 */
export function routeOf(snapshot: Snapshot, name: string | null): Route | Refusal {
  if (name === null) return refuse('no-sni', 'the ClientHello has no server name');
  const found = snapshot.routes.get(serverName(name));
  return found ?? refuse('no-route', `no route has the SNI ${inQuotes(name)}`);
}

/**
 * Formats a name for log lines and errors: printable ASCII, the rest as \xNN, cut at 255
 * characters.
 */
export function inQuotes(name: string): string {
  return `"${printable(name)}"`;
}

export function printable(name: string): string {
  if (name.length <= 255 && isPlain(name)) return name;
  const cut = name.length > 255 ? `${name.slice(0, 252)}...` : name;
  return cut.replace(/[^\x20-\x7e]|["\\]/g, hexEscape);
}

/** Inverts `printable` for names of at most 255 characters. */
export function unprintable(text: string): string {
  return text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
