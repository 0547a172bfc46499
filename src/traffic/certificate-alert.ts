import { createCipheriv, createHmac } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { certificateAlert, certificateAlertRecord } from '../wire/alert.ts';
import type { CertificateAlert } from '../wire/alert.ts';

/** A client with a refused certificate, whose handshake the TLS library considers done. */
export interface Refusing {
  readonly alert: CertificateAlert;
  readonly protocol: string;
  readonly socket: TLSSocket;
  /** The line `SERVER_TRAFFIC_SECRET_0` of `keylog`. */
  readonly secret: Buffer | null;
}

/**
 * Sends a client the alert for its refused certificate (docs/decisions/refusals-on-the-wire.md).
 * Never throws. Where no alert can be sent, the client sees an orderly end of TLS, like every
 * client that is refused after its handshake.
 */
export function tellOfCertificate(refusing: Refusing, say: (record: Uint8Array) => void): void {
  try {
    const record = recordOf(refusing);
    if (record !== null) say(record);
  } catch {
    // The session record has the reason, and the client is refused with or without the alert.
  }
}

function recordOf({ alert, protocol, socket, secret }: Refusing): Uint8Array | null {
  // In TLS 1.2 the server has not changed its cipher yet, except in a resumed session. That one was
  // judged before its handshake.
  if (protocol === 'TLSv1.2') return socket.isSessionReused() ? null : certificateAlertRecord(alert);
  if (protocol !== 'TLSv1.3' || secret === null) return null;
  return seal(socket.getCipher().standardName, hexIn(secret), certificateAlert(alert));
}

/** Reads the last of the three words of the line. */
function hexIn(line: Buffer): Buffer {
  return Buffer.from(line.toString('latin1', line.lastIndexOf(' ') + 1).trim(), 'hex');
}

interface Suite {
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';
  readonly hash: 'sha256' | 'sha384';
  readonly keyBytes: number;
}

const SUITES: Readonly<Record<string, Suite>> = {
  TLS_AES_128_GCM_SHA256: { cipher: 'aes-128-gcm', hash: 'sha256', keyBytes: 16 },
  TLS_AES_256_GCM_SHA384: { cipher: 'aes-256-gcm', hash: 'sha384', keyBytes: 32 },
  TLS_CHACHA20_POLY1305_SHA256: { cipher: 'chacha20-poly1305', hash: 'sha256', keyBytes: 32 },
};

const APPLICATION_DATA = 23;
const ALERT = 21;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/**
 * Encrypts the first record under a secret of TLS 1.3 (RFC 8446 5.2, 5.3 and 7.3): the nonce of
 * record 0 is the IV itself. Null for an unknown suite.
 */
function seal(suiteName: string, secret: Buffer, content: Uint8Array): Uint8Array | null {
  const suite = SUITES[suiteName];
  if (suite === undefined) return null;
  const { cipher, hash, keyBytes } = suite;
  const key = expand(hash, secret, { label: 'key', length: keyBytes });
  const nonce = expand(hash, secret, { label: 'iv', length: NONCE_BYTES });
  const header = Uint8Array.of(APPLICATION_DATA, 3, 3, 0, content.length + 1 + TAG_BYTES);
  // All three names are AEAD ciphers; Node's types have a signature for each.
  const sealing = createCipheriv(cipher as 'aes-128-gcm', key, nonce, { authTagLength: TAG_BYTES });
  sealing.setAAD(header);
  const body = [sealing.update(content), sealing.update(Uint8Array.of(ALERT)), sealing.final()];
  for (const bytes of [key, nonce, secret]) bytes.fill(0);
  return Buffer.concat([header, ...body, sealing.getAuthTag()]);
}

/**
 * Computes HKDF-Expand-Label with an empty context, for at most one block of the hash (RFC 8446
 * 7.1).
 */
function expand(hash: Suite['hash'], secret: Buffer, { label, length }: { label: string; length: number }): Buffer {
  const name = `tls13 ${label}`;
  const info = Buffer.from(`\0${String.fromCharCode(length, name.length)}${name}\0\x01`, 'latin1');
  return createHmac(hash, secret).update(info).digest().subarray(0, length);
}
