import { Buffer } from 'node:buffer';
import { X509Certificate } from 'node:crypto';
import type { JsonValue } from '@bufbuild/protobuf';
import { textAt } from '../messages/plain-value.ts';

/** A part of the bootstrap that an egress cannot use: its place, and what is allowed. */
export class Unusable extends Error {}

/** Reads the PEM of a data source with at least one certificate; null without a data source. */
export function bundleIn(source: JsonValue | undefined, field: string): string | null {
  const bytes = textAt(source, 'inlineBytes');
  const pem = bytes === null ? textAt(source, 'inlineString') : Buffer.from(bytes, 'base64').toString('utf8');
  if (pem === null) {
    if (textAt(source, 'filename') !== null) throw new Unusable(`${field}.filename: allowed is inlineBytes or inlineString`);
    return null;
  }
  try {
    new X509Certificate(pem);
    return pem;
  } catch (cause) {
    throw new Unusable(`${field}: is no certificate that can be read`, { cause });
  }
}
