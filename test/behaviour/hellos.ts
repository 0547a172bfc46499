// Hand-made first flights, of clients that no TLS library would be.
import { Buffer } from 'node:buffer';
import { extension, helloMessage, nameExtension, record, records, sized } from '../wire/fixtures/hello-bytes.ts';

const SUITES = Buffer.from('c02bc02fcca9cca8c02cc030', 'hex');
const GROUPS = extension(10, sized(2, Buffer.from('001d00170018', 'hex')));
const FORMATS = extension(11, sized(1, Buffer.of(0)));
const SIGNATURES = extension(13, sized(2, Buffer.from('040308040401050308050501', 'hex')));

/**
 * Makes a hello of TLS 1.2 that a server would answer. `length` is that of the handshake message,
 * reached by padding.
 */
export function helloFor(name: string | Buffer | null, length?: number): Buffer {
  const extensions = [...(name === null ? [] : [nameExtension(name)]), GROUPS, FORMATS, SIGNATURES];
  const message = (padding: readonly Buffer[]): Buffer =>
    helloMessage({ suites: SUITES, sessionId: Buffer.alloc(0), extensions: [...extensions, ...padding] });
  if (length === undefined) return message([]);
  const missing = length - message([extension(21)]).length;
  return message([extension(21, Buffer.alloc(missing))]);
}

export const inOneRecord = (message: Buffer): Buffer => record(22, message);
export const inRecordsOf = (message: Buffer, size: number): Buffer =>
  records(message, Array<number>(Math.ceil(message.length / size)).fill(size));
