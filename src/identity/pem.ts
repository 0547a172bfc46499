import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { certificateBlocks } from '../base/certificate-blocks.ts';

export type Bundle =
  | { readonly kind: 'bundle'; readonly certificates: readonly X509Certificate[]; readonly pem: string }
  | { readonly kind: 'bad'; readonly why: string };

const MAX_CERTIFICATES = 1_000;

/**
 * Reads every certificate of a PEM text. Returns them, and the text with all else removed. An empty
 * text is an error: it would trust no client at all.
 */
export function readBundle(text: string): Bundle {
  const { blocks, isCutOff } = certificateBlocks(text);
  if (isCutOff) return bad('a certificate in it is cut off or damaged');
  if (blocks.length === 0) return bad(text.trim() === '' ? 'it is empty' : 'there is no PEM certificate in it');
  if (blocks.length > MAX_CERTIFICATES) return bad(`it has ${blocks.length} certificates (limit ${MAX_CERTIFICATES})`);
  const certificates: X509Certificate[] = [];
  for (const [i, block] of blocks.entries()) {
    const certificate = parsed(() => new X509Certificate(block));
    if (certificate === null) return bad(`certificate ${i + 1} of ${blocks.length} in it cannot be read`);
    certificates.push(certificate);
  }
  return { kind: 'bundle', certificates, pem: certificates.map((certificate) => certificate.toString()).join('') };
}

/**
 * Reads a bundle that client certificates may lead to: it holds only CAs, and not all of them are
 * expired.
 */
export function readTrust(text: string, nowMs: number): Bundle {
  const bundle = readBundle(text);
  if (bundle.kind === 'bad') return bundle;
  const { certificates } = bundle;
  const leaf = certificates.findIndex(({ ca }) => !ca);
  if (leaf !== -1) return bad(`certificate ${leaf + 1} of ${certificates.length} in it is no CA certificate`);
  const expiries = certificates.map(({ validTo }) => Date.parse(validTo));
  if (expiries.every((expiry) => expiry <= nowMs)) {
    return bad(`every CA certificate in it expired, the last ${new Date(Math.max(...expiries)).toISOString()}`);
  }
  return bundle;
}

/**
 * Returns null where the text is no private key, or is one with a passphrase. It never quotes the
 * text.
 */
export function readPrivateKey(text: string): KeyObject | null {
  return parsed(() => createPrivateKey(text));
}

/** OpenSSL's own messages would not help an operator. */
function parsed<Value>(parse: () => Value): Value | null {
  try {
    return parse();
  } catch {
    return null;
  }
}

function bad(why: string): Bundle {
  return { kind: 'bad', why };
}
