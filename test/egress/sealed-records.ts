// Makes TLS 1.3 records of a peer that breaks the rules, encrypted with the secrets from Node's
// `keylog`. RFC 8446 5.2, 7.1 and 7.2, for TLS_AES_128_GCM_SHA256.
import { createCipheriv, createHmac } from 'node:crypto';

export const CIPHER = 'TLS_AES_128_GCM_SHA256';
export const APPLICATION_DATA = 23;
const HANDSHAKE = 22;
const ALERT = 21;

export class Sealer {
  #secret: Buffer;
  #sequence: number;

  /** `sent`: number of earlier records under this secret. */
  constructor(secret: Buffer, sent: number) {
    this.#secret = secret;
    this.#sequence = sent;
  }

  seal(type: number, content: Buffer): Buffer {
    const key = expand(this.#secret, 'key', 16);
    const nonce = expand(this.#secret, 'iv', 12);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#sequence++) >>> 0, 8);
    const header = Buffer.from([APPLICATION_DATA, 3, 3, 0, 0]);
    header.writeUInt16BE(content.length + 1 + 16, 3);
    const cipher = createCipheriv('aes-128-gcm', key, nonce).setAAD(header);
    const body = Buffer.concat([cipher.update(content), cipher.update(Buffer.from([type])), cipher.final()]);
    return Buffer.concat([header, body, cipher.getAuthTag()]);
  }

  data(text: string): Buffer {
    return this.seal(APPLICATION_DATA, Buffer.from(text));
  }

  /** Makes a warning without a meaning. */
  warning(): Buffer {
    return this.seal(ALERT, Buffer.from([1, 90]));
  }

  ticket(): Buffer {
    const body = Buffer.alloc(4 + 4 + 1 + 2 + 16 + 2);
    body.writeUInt32BE(7_200, 0);
    body.writeUInt16BE(16, 9);
    return this.seal(HANDSHAKE, Buffer.concat([Buffer.from([4, 0, 0, body.length]), body]));
  }

  /** Makes a key update that asks for an answer, and continues with new keys. */
  keyUpdate(): Buffer {
    const record = this.seal(HANDSHAKE, Buffer.from([24, 0, 0, 1, 1]));
    this.#secret = expand(this.#secret, 'traffic upd', 32);
    this.#sequence = 0;
    return record;
  }
}

/** Computes HKDF-Expand-Label with an empty context. */
function expand(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])]);
  return createHmac('sha256', secret).update(info).digest().subarray(0, length);
}

/** Returns the secret of a line of `keylog`, if the label matches. */
export function secretOf(line: Buffer, label: 'CLIENT_TRAFFIC_SECRET_0' | 'SERVER_TRAFFIC_SECRET_0'): Buffer | null {
  const [name, , secret] = String(line).trim().split(' ');
  return name === label && secret !== undefined ? Buffer.from(secret, 'hex') : null;
}
