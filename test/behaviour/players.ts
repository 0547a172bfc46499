// What plays a recorded case against an egress of the test: the connection, its words, its record.
import type { ConnectionOptions } from 'node:tls';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import type { SessionRecord } from '../../src/egress.ts';
import { speakTcp, speakTls } from './client.ts';
import type { At, Seen, TlsPlay } from './client.ts';
import { helloFor, inOneRecord } from './hellos.ts';
import { wordsOfSeen } from './words.ts';
import type { Limit } from './words.ts';

/** Where cases are played. */
export interface Stage {
  readonly at: At;
  /** Returns the record of the session from this port of a client. */
  record(port: number): Promise<SessionRecord>;
}

export interface Outcome {
  readonly words: string;
  readonly record: SessionRecord;
}

export type Case<On extends Stage> = (on: On) => Promise<Outcome>;
/** Null is a client without a certificate. */
export type Client<On extends Stage> = (on: On) => CertificateAndKey | null;

export const TLS12: ConnectionOptions = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' };
export const PING: TlsPlay = { play: ({ tls }) => void tls.write('ping\n'), wants: 'ping\n' };
const LINGERING: Limit = { ms: 1_000, word: '1 s' };

export async function outcomeOf(on: Stage, seen: Seen, words: string = wordsOfSeen(seen)): Promise<Outcome> {
  return { words, record: await on.record(seen.port) };
}

interface Extras {
  readonly tlsOptions?: ConnectionOptions;
  readonly limit?: Limit;
}

export function tls<On extends Stage>(sni: string, client: Client<On>, play: TlsPlay, extras: Extras = {}): Case<On> {
  return async (on) => {
    const seen = await speakTls(on.at, { servername: sni, ...client(on), ...extras.tlsOptions }, play);
    return outcomeOf(on, seen, wordsOfSeen(seen, extras.limit));
  };
}

/** Sends a line and expects it back; waits for the refusal of a refused connection. */
export function echo<On extends Stage>(sni: string, client: Client<On>, extras?: Extras): Case<On> {
  return tls(sni, client, PING, extras);
}

/** Makes a handshake and sends no byte after it. */
export function silent<On extends Stage>(sni: string, client: Client<On>, extras?: Extras): Case<On> {
  return tls(sni, client, {}, extras);
}

export function http<On extends Stage>(sni: string, lines: readonly string[], client: Client<On>, extras?: Extras): Case<On> {
  const text = lines.join('\r\n') + (lines.includes('') ? '' : '\r\n\r\n');
  return tls(sni, client, { play: (play) => void play.tls.write(text) }, extras);
}

/** A client whose last request is refused sees the end a second later, unless it ends first. */
export function refusedHttp<On extends Stage>(sni: string, lines: readonly string[], client: Client<On>): Case<On> {
  return http(sni, lines, client, { limit: LINGERING });
}

/** Sends bytes without TLS. */
export function send<On extends Stage>(bytes: string | Buffer, options: { readonly stays?: boolean } = {}): Case<On> {
  return async (on) => outcomeOf(on, await speakTcp(on.at, (socket) => void socket.write(bytes), options));
}

/** Sends a hello with this server name, or with none. */
export function hello<On extends Stage>(name: string | Buffer | null): Case<On> {
  return send(inOneRecord(helloFor(name)));
}

/** Returns the names of the certificate that the egress shows, with the name of its issuer. */
export function shownCertificate<On extends Stage>(sni: string, client: Client<On>): Case<On> {
  return async (on) => {
    let words = '';
    const seen = await speakTls(
      on.at,
      { servername: sni, ...client(on) },
      {
        play({ tls }) {
          const { subjectaltname = '', issuer } = tls.getPeerCertificate();
          const uris = [...subjectaltname.matchAll(/URI:([^,"]+)/g)].map(([, uri]) => uri);
          words = `${uris.join(', ')}; issuer ${[issuer.O, issuer.OU, issuer.CN].join('/')}`;
          tls.write('ping\n');
        },
        wants: 'ping\n',
      },
    );
    return outcomeOf(on, seen, words);
  };
}
