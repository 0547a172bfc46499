/**
 * Decides whether a request may change something. A browser is what an attacker can send from
 * afar: it cannot reach a unix socket, it adds no token by itself (no cookie is ever set, so there
 * is none for SameSite to hold back), and a page cannot send the header of a token to another
 * origin without a preflight, which is never answered with consent. It does show a client
 * certificate to any page that asks, so there its origin alone keeps it out.
 */
import type { IncomingMessage } from 'node:http';
import type { CertificateNow } from '../client-certificate.ts';
import type { HostCheck } from '../hosts.ts';
import { textView } from '../views.ts';
import type { View } from '../views.ts';
import type { TokenFile } from './token-file.ts';
import type { TokenTries } from './token-tries.ts';

/** The way by which a request came in. */
export type Entrance =
  /** Without TLS: `from` is the address of the client. */
  | { readonly kind: 'tcp'; readonly from: string }
  /** With TLS: `certificate` judges that of the client at the moment of the call. */
  | { readonly kind: 'tls'; readonly from: string; readonly certificate: () => Promise<CertificateNow> }
  /** A unix socket that only its owner may open; `owner` is shown. */
  | { readonly kind: 'socket'; readonly owner: string }
  /** A client with the certificate that a control plane names; `name` is shown. */
  | { readonly kind: 'certificate'; readonly name: string };

export type Guarded =
  | { readonly kind: 'admitted'; readonly by: string }
  | { readonly kind: 'refused'; readonly by: string; readonly why: string; readonly view: View };

export interface GuardOptions {
  /** Null admits no change over TCP without a certificate. */
  readonly tokens: TokenFile | null;
  readonly tries: TokenTries;
  readonly hostRefusal: HostCheck;
}

export async function guardChange(options: GuardOptions, request: IncomingMessage, entrance: Entrance): Promise<Guarded> {
  const by = callerOf(entrance);
  const refused = (status: number, why: string, more: Partial<View> = {}): Guarded => ({
    kind: 'refused',
    by,
    why,
    view: { ...textView(status, why), ...more },
  });
  // The listener of a control plane has the names that its network knows it by.
  const host = entrance.kind === 'certificate' ? null : options.hostRefusal(request);
  if (host !== null) return { kind: 'refused', by, why: host.body.trimEnd(), view: host };
  if (!isOwnOrigin(request, entrance.kind === 'tls' ? 'https' : 'http'))
    return refused(403, 'changes are not taken from web pages of another origin');
  if (entrance.kind === 'socket' || entrance.kind === 'certificate') return { kind: 'admitted', by };
  const shown = entrance.kind === 'tls' ? await entrance.certificate() : null;
  if (shown?.kind === 'verified') {
    // A browser shows its certificate for any page. What names no origin, in old ones, is a form.
    if (request.headers['content-type'] !== undefined) return refused(403, NO_FORM);
    return { kind: 'admitted', by: `certificate ${shown.name} from ${entrance.from}` };
  }
  const { tokens, tries } = options;
  if (tokens === null) return refused(403, shown === null ? HOW_TO_ALLOW : wantsCertificate(shown, ''));
  const token = bearerOf(request);
  if (token === null)
    return refused(401, shown === null ? HOW_TO_SEND : wantsCertificate(shown, OR_A_TOKEN), { headers: CHALLENGE });
  // The try counts before its outcome is known, so that many at the same time count too. A right
  // token passes in any case: others behind the same address must not lock its holder out.
  const mayTry = tries.take(entrance.from);
  const found = await tokens.find(token);
  if (found.kind !== 'found' && !mayTry) return refused(429, 'too many wrong tokens came from this address: try again later');
  switch (found.kind) {
    case 'found':
      if (mayTry) tries.giveBack(entrance.from);
      return { kind: 'admitted', by: `token ${found.name} from ${entrance.from}` };
    case 'unreadable':
      return refused(503, 'the token file cannot be read: the log has the reason');
    case 'wrong':
      return refused(401, 'this token is not in the token file', { headers: CHALLENGE });
    default:
      return found satisfies never;
  }
}

export const HOW_TO_ALLOW =
  'changes are not allowed on this listener: use the socket of --admin-socket, name a file of tokens with --admin-token-file, or let clients show certificates with --admin-tls-cert-file';
const HOW_TO_SEND = 'a change needs a token of the token file: send the header `Authorization: Bearer TOKEN`';
const OR_A_TOKEN = ', or a token: the header `Authorization: Bearer TOKEN`';
const NO_FORM = 'a change has no content-type: only forms of web pages send one';

function wantsCertificate(shown: Exclude<CertificateNow, { kind: 'verified' }>, other: string): string {
  const what = `a change needs a client certificate that leads to --admin-client-ca-file${other}`;
  return shown.kind === 'none' ? what : `the client certificate is not taken: ${shown.why}; ${what}`;
}

const CHALLENGE: Readonly<Record<string, string>> = { 'www-authenticate': 'Bearer' };

function callerOf(entrance: Entrance): string {
  switch (entrance.kind) {
    case 'tcp':
    case 'tls':
      return entrance.from;
    case 'socket':
      return `the admin socket of ${entrance.owner}`;
    case 'certificate':
      return `certificate ${entrance.name}`;
    default:
      return entrance satisfies never;
  }
}

/**
 * Refuses what a browser sends for a page of another origin. A client that is no browser sends
 * neither header.
 */
function isOwnOrigin({ headers, headersDistinct }: IncomingMessage, scheme: 'http' | 'https'): boolean {
  const [site, ...moreSites] = headersDistinct['sec-fetch-site'] ?? [];
  if (moreSites.length > 0 || (site !== undefined && site !== 'same-origin')) return false;
  const [origin, ...moreOrigins] = headersDistinct.origin ?? [];
  if (origin === undefined) return true;
  return (
    moreOrigins.length === 0 && headers.host !== undefined && origin.toLowerCase() === `${scheme}://${headers.host.toLowerCase()}`
  );
}

const MAX_TOKEN = 1_024;

function bearerOf({ headersDistinct }: IncomingMessage): string | null {
  const [header, ...more] = headersDistinct.authorization ?? [];
  if (header === undefined || more.length > 0 || header.length > MAX_TOKEN) return null;
  return /^Bearer +([\x21-\x7e]+)$/i.exec(header)?.[1] ?? null;
}
