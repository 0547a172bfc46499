// Frames of HTTP/2 as bytes, including those that no library sends.
import type { TLSSocket } from 'node:tls';

export const TYPES = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Encodes literal fields without a table; names and values alternate. */
export function fields(...texts: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  texts.forEach((text, i) => {
    if (i % 2 === 0) parts.push(Buffer.from([0]));
    const bytes = Buffer.from(text, 'latin1');
    parts.push(length(bytes.length), bytes);
  });
  return Buffer.concat(parts);
}

function length(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}

export const GET: readonly string[] = [':method', 'GET', ':path', '/x', ':scheme', 'https', ':authority', 'a'];

export function request(stream: number, texts: readonly string[], ends = true): Buffer {
  return frame(TYPES.headers, END_HEADERS | (ends ? END_STREAM : 0), stream, fields(...texts));
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Reads frames as they arrive; acknowledges settings. */
export class Frames {
  readonly seen: Frame[] = [];
  readonly socket: TLSSocket;
  ended = false;
  readonly #waiting = new Set<() => void>();
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      this.ended = true;
      this.#look();
    });
    socket.write(Buffer.concat([PREFACE, frame(TYPES.settings, 0, 0)]));
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9) {
      const size = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + size) break;
      const [type = 0, flags = 0] = this.#rest.subarray(3, 5);
      const stream = this.#rest.readUInt32BE(5) & 0x7fffffff;
      this.seen.push({ type, flags, stream, payload: this.#rest.subarray(9, 9 + size) });
      this.#rest = this.#rest.subarray(9 + size);
      if (type === TYPES.settings && flags === 0) this.socket.write(frame(TYPES.settings, 1, 0));
    }
    this.#look();
  }

  #look(): void {
    for (const each of this.#waiting) each();
  }

  /** Resolves when the condition holds, or when the connection has ended. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!holds() && !this.ended) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  of(stream: number, type: number): Frame | undefined {
    return this.seen.find((each) => each.stream === stream && each.type === type);
  }

  /** True for a stream that is complete, reset, or gone with its connection. */
  isOver(stream: number): boolean {
    return this.seen.some(
      (each) => each.stream === stream && (each.type === TYPES.reset || (each.type < 2 && (each.flags & END_STREAM) !== 0)),
    );
  }
}
