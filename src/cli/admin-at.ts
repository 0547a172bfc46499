import type { ParsedOptions } from './options.ts';
import { adminUrl } from './values.ts';

/** The admin listener of a running egress, as a command reaches it. */
export interface AdminAt {
  /** The part of the address that all pages share, see `adminUrl`. */
  readonly url: string;
  /** Paths of PEM files; null without TLS. */
  readonly tls: {
    /** Null trusts the authorities that Node knows. */
    readonly ca: string | null;
    readonly cert: string | null;
    readonly key: string | null;
  } | null;
}

const TLS_OPTIONS = ['admin-ca', 'admin-cert', 'admin-key'] as const;

/** Reads the address `text` with the options of TLS. Throws where they do not go together. */
export function adminAt(given: ParsedOptions, text: string): AdminAt {
  const url = adminUrl(text);
  if (!url.startsWith('https:')) {
    const alien = TLS_OPTIONS.find((name) => given.source(name) === `--${name}`);
    if (alien !== undefined) throw new Error(`--${alien} goes with --admin https://HOST:PORT`);
    return { url, tls: null };
  }
  const [ca, cert, key] = TLS_OPTIONS.map((name) => given.text(name));
  if ((cert === null) !== (key === null)) throw new Error('--admin-cert and --admin-key: allowed are both or none of them');
  return { url, tls: { ca: ca ?? null, cert: cert ?? null, key: key ?? null } };
}
