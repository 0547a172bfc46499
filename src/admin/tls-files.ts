/**
 * The certificate, key and client CA of the admin listener. The files are read for each connection
 * and each change, so that a rotation counts at once; the last good ones stay where new ones cannot
 * be used.
 */
import type { X509Certificate } from 'node:crypto';
import type { Problem } from '../base/problem.ts';
import { OID, readCertificate } from '../identity/der.ts';
import { readBundle, readPrivateKey, readTrust } from '../identity/pem.ts';
import { pairUseProblem, trustProblem, validityProblem } from '../resources/tls-material.ts';
import { exposure, readSmallFile } from './small-file.ts';

export interface TlsPaths {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string;
}

/** PEM texts that OpenSSL takes. The same object until one of them changes. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
  /** The first certificate of `cert`. */
  readonly leaf: X509Certificate;
  /** The certificates of `clientCa`. */
  readonly trusted: readonly X509Certificate[];
}

export interface TlsFilesOptions extends TlsPaths {
  /** Milliseconds since the Unix epoch. */
  readonly wall: () => number;
  /** Called with a sentence when there is a new doubt about the files, or a new failure. */
  readonly onDoubt: (sentence: string) => void;
}

/** `subject` is the option; times in milliseconds since the Unix epoch. */
interface Life {
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

interface Texts {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string;
  readonly keyMode: number;
}

type Made = { readonly material: TlsMaterial; readonly doubt: string | null } | { readonly problem: Problem };

/** The options of the command name the fields. */
const FIELDS = {
  certFile: '--admin-tls-cert-file',
  keyFile: '--admin-tls-key-file',
  clientCaFile: '--admin-client-ca-file',
} as const;

export class TlsFiles {
  readonly #options: TlsFilesOptions;
  #texts: Texts | null = null;
  #good: TlsMaterial | null = null;
  #reading: Promise<Problem | null> | null = null;
  #said: string | null = null;

  constructor(options: TlsFilesOptions) {
    this.#options = options;
  }

  /** Resolves with the reason why the files cannot be used; null where they can. */
  problem(): Promise<Problem | null> {
    // Callers at the same time share a read: a disk that hangs holds one thread of Node's pool.
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** Reads the files again. Null before they were good once. */
  async current(): Promise<TlsMaterial | null> {
    const problem = await this.problem();
    if (problem !== null)
      this.#doubt(
        `the TLS files of the admin listener cannot be used, the last good ones stay: ${problem.field} ${problem.file}: ${problem.message}`,
      );
    return this.#good;
  }

  /** Returns the lives of the certificate and of the last CA to end, as they were read last. */
  lives(): readonly Life[] {
    if (this.#good === null) return [];
    const { leaf, trusted } = this.#good;
    const last = trusted.reduce((a, b) => (Date.parse(b.validTo) > Date.parse(a.validTo) ? b : a), trusted[0] ?? leaf);
    return [lifeOf(FIELDS.certFile, leaf), lifeOf(FIELDS.clientCaFile, last)];
  }

  async #read(): Promise<Problem | null> {
    const texts = await this.#textsNow();
    if ('severity' in texts) return texts;
    if (this.#good !== null && this.#texts !== null && isSame(texts, this.#texts)) return null;
    const made = materialOf(texts, this.#options);
    if ('problem' in made) return made.problem;
    this.#texts = texts;
    this.#good = made.material;
    this.#doubt(made.doubt);
    return null;
  }

  async #textsNow(): Promise<Texts | Problem> {
    const { certFile, keyFile, clientCaFile } = this.#options;
    const [cert, key, clientCa] = await Promise.all([certFile, keyFile, clientCaFile].map((path) => readSmallFile(path)));
    if (cert?.kind !== 'read') return problemOf(this.#options, 'certFile', cert?.why ?? '');
    if (key?.kind !== 'read') return problemOf(this.#options, 'keyFile', key?.why ?? '');
    if (clientCa?.kind !== 'read') return problemOf(this.#options, 'clientCaFile', clientCa?.why ?? '');
    return { cert: cert.text, key: key.text, clientCa: clientCa.text, keyMode: key.mode };
  }

  #doubt(sentence: string | null): void {
    if (sentence !== null && sentence !== this.#said) this.#options.onDoubt(sentence);
    this.#said = sentence;
  }
}

function lifeOf(subject: string, { validFrom, validTo }: X509Certificate): Life {
  return { subject, notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
}

function isSame(a: Texts, b: Texts): boolean {
  return a.cert === b.cert && a.key === b.key && a.clientCa === b.clientCa;
}

function problemOf(paths: TlsPaths, which: keyof TlsPaths, message: string): Problem {
  return { severity: 'error', file: paths[which], line: 0, column: 0, field: FIELDS[which], message };
}

/** Never quotes a text. */
function materialOf(texts: Texts, options: TlsFilesOptions): Made {
  const wrong = (which: keyof TlsPaths, message: string): Made => ({ problem: problemOf(options, which, message) });
  const nowMs = options.wall();
  const chain = readBundle(texts.cert);
  if (chain.kind === 'bad') return wrong('certFile', chain.why);
  const [leaf] = chain.certificates;
  if (leaf === undefined) return wrong('certFile', 'there is no PEM certificate in it');
  const key = readPrivateKey(texts.key);
  if (key === null) return wrong('keyFile', 'there is no PEM private key in it, or it has a passphrase');
  if (!leaf.checkPrivateKey(key))
    return wrong('keyFile', `the key does not belong to the first certificate of ${options.certFile}`);
  if (!isForServers(leaf))
    return wrong('certFile', 'its certificate is not one for servers: its extended key usage lacks serverAuth');
  const unfit = pairUseProblem(chain.pem, texts.key, leaf, 'client');
  if (unfit !== null) return wrong('certFile', `it ${unfit}`);
  const trust = readTrust(texts.clientCa, nowMs);
  if (trust.kind === 'bad') return wrong('clientCaFile', trust.why);
  if (!trust.certificates.some((ca) => ca.checkIssued(ca)))
    return wrong('clientCaFile', 'it has no root CA: OpenSSL wants the chain up to the root in it');
  const distrust = trustProblem(trust.pem);
  if (distrust !== null) return wrong('clientCaFile', `it ${distrust}`);
  const outOfDate = validityProblem(leaf, nowMs);
  const doubt =
    outOfDate === null
      ? exposure('the key file', options.keyFile, texts.keyMode)
      : `the certificate of the admin listener (${options.certFile}) ${outOfDate}: clients will refuse it`;
  return { material: { cert: chain.pem, key: texts.key, clientCa: trust.pem, leaf, trusted: trust.certificates }, doubt };
}

function isForServers({ raw }: X509Certificate): boolean {
  const read = readCertificate(raw);
  if (read.kind !== 'certificate') return false;
  const { extendedKeyUsage } = read.certificate;
  return extendedKeyUsage === null || extendedKeyUsage.includes(OID.serverAuth);
}
