// A relay between a client and a server that passes bytes on, and adds some of its own.
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { closed } from '../traffic/closed.ts';

export interface Relay {
  readonly port: number;
  /** Adds bytes to the latest connection: towards the server, or towards the client. */
  inject(direction: 'up' | 'down', bytes: Buffer): void;
  /** Returns the last bytes of the server. */
  lastAnswer(): Buffer;
  /** Resolves when the server has closed its side of the last connection. */
  over(): Promise<void>;
  close(): Promise<void>;
}

/** Passes bytes on; `behindHandshake` is added to the client's second flight, in the same write. */
export async function startRelay(to: () => number, options: { readonly behindHandshake?: () => Buffer } = {}): Promise<Relay> {
  const open = new Set<Socket>();
  let last: { readonly client: Socket; readonly server: Socket } | null = null;
  let lastAnswer: Buffer = Buffer.alloc(0);
  const listener: Server = createServer({ noDelay: true }, (client) => {
    const server = connectTcp(to(), '127.0.0.1').setNoDelay(true);
    last = { client, server };
    let flights = 0;
    let answered = true;
    for (const each of [client, server]) {
      open.add(each);
      each.on('error', () => {});
      each.on('close', () => open.delete(each));
    }
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
    client.on('data', (bytes: Buffer) => {
      // A flight begins with the first bytes after an answer.
      if (answered) flights++;
      answered = false;
      const more = flights === 2 ? options.behindHandshake?.() : undefined;
      server.write(more === undefined ? bytes : Buffer.concat([bytes, more]));
    });
    server.on('data', (bytes: Buffer) => {
      answered = true;
      lastAnswer = bytes;
      client.write(bytes);
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    inject: (direction, bytes) => void (direction === 'up' ? last?.server : last?.client)?.write(bytes),
    lastAnswer: () => lastAnswer,
    over: async () => {
      if (last !== null) await closed(last.server);
    },
    async close() {
      for (const each of open) each.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
