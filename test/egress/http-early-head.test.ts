// The head of a request reaches the service before the first byte of its body, so that a service
// may answer first, and a client may wait for the answer.
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { SHOP, startHttpZone } from './http-zone.ts';
import { until } from './until.ts';
import { listen } from './virtual-host.ts';
import { gone } from './zone.ts';
import type { Zone } from './zone.ts';

interface Client {
  /** Returns the answer so far. */
  readonly text: () => string;
  /** Sends a head and no byte of its body. */
  begin(method?: string): void;
  body(text: string): void;
  end(): void;
  leave(): void;
}

type MakeClient = (zone: Zone) => Promise<Client>;

/** A client of HTTP/1.1 whose body has a length, or is chunked. */
const http1 =
  (length: number | null): MakeClient =>
  async (zone) => {
    const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    const framing = length === null ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
    return {
      text: () => text,
      begin: (method = 'POST') => void socket.write(`${method} /x HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`),
      body: (piece) => void socket.write(length === null ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece),
      end: () => void (length === null && socket.write('0\r\n\r\n')),
      leave: () => socket.destroy(),
    };
  };

const http2 =
  (length: number | null): MakeClient =>
  async (zone) => {
    const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
    const session = connectHttp2('https://a', { createConnection: () => socket });
    session.on('error', () => {});
    let text = '';
    let stream: ReturnType<typeof session.request>;
    return {
      text: () => text,
      begin(method = 'POST') {
        const framing = length === null ? {} : { 'content-length': length };
        stream = session.request({ ':method': method, ':path': '/x', ...framing }, { endStream: false });
        stream.on('error', () => {});
        stream.on('response', (headers) => (text += `:status ${headers[':status']}\n`));
        stream.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      },
      body: (piece) => void stream.write(piece),
      end: () => void stream.end(),
      leave: () => session.destroy(),
    };
  };

const LENGTH = 10;
const CLIENTS: Readonly<Record<string, { readonly make: MakeClient; readonly length: number | null }>> = {
  'HTTP/1.1 with a length': { make: http1(LENGTH), length: LENGTH },
  'HTTP/1.1 in chunks': { make: http1(null), length: null },
  'HTTP/2 with a length': { make: http2(LENGTH), length: LENGTH },
  'HTTP/2 without a length': { make: http2(null), length: null },
};

interface Seen {
  /** All bytes of one connection, without the names that differ between runs. */
  text: string;
  readonly socket: Socket;
}

/** A bare service that does what a test asks for. */
async function startService(t: Test): Promise<{ readonly port: number; readonly seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((socket) => {
    const one = { text: '', socket };
    seen.push(one);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      one.text = (one.text + chunk.toString('latin1')).replace(/x-request-id: [0-9a-f-]{36}/g, 'x-request-id: *');
    });
  });
  const service = await listen(server);
  t.teardown(async () => {
    for (const { socket } of seen) socket.destroy();
    await service[Symbol.asyncDispose]();
  });
  return { port: service.port, seen };
}

interface Place {
  readonly client: Client;
  readonly seen: readonly Seen[];
  /** Returns all bytes that arrived. */
  readonly sent: () => string;
  readonly hasHead: () => boolean;
}

for (const [name, { make, length }] of Object.entries(CLIENTS)) {
  t.test(name, async (t) => {
    const test = (what: string, run: (t: Test, at: Place) => Promise<void>): Promise<unknown> =>
      t.test(what, async (t) => {
        const { port, seen } = await startService(t);
        await using zone = await startHttpZone(t, port);
        const sent = (): string => seen.map(({ text }) => text).join('');
        await run(t, { client: await make(zone), seen, sent, hasHead: () => sent().endsWith('\r\n\r\n') });
      });

    await test('the service answers before the first byte of the body', async (t, { client, seen, sent, hasHead }) => {
      client.begin();
      await until('the head is at the service', hasHead);
      const framing = length === null ? 'transfer-encoding: chunked' : `content-length: ${length}`;
      t.match(sent(), new RegExp(`^POST /x HTTP/1.1\r\nhost: shop.partner.test\r\n([^\r]+\r\n)*${framing}\r\n\r\n$`));
      const head = sent();
      const { socket } = seen.at(-1)!;
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      await until('the client has the head of the answer', () => /200/.test(client.text()));
      t.notMatch(client.text(), /begun/);
      socket.write('5\r\nbegun\r\n');
      await until('the client has a byte of the answer', () => /begun/.test(client.text()));
      client.body('01234');
      await until('the first piece arrives', () => sent().includes('01234'));
      client.body('56789');
      client.end();
      const body = length === null ? '5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n' : '0123456789';
      await until('the body arrives', () => sent().length >= head.length + body.length);
      socket.write('5\r\nended\r\n0\r\n\r\n');
      await until('the client has the whole answer', () => /ended/.test(client.text()));
      t.equal(sent(), head + body, 'nothing twice');
      client.leave();
    });

    await test('a connection carries one such request after another', async (t, { client, seen, sent, hasHead }) => {
      for (let i = 0; i < 5; i++) {
        const before = sent();
        client.begin();
        await until('the head is at the service', () => sent().length > before.length && hasHead());
        const whole = sent() + (length === null ? 'a\r\n0123456789\r\n0\r\n\r\n' : '0123456789');
        client.body('0123456789');
        client.end();
        await until('the body arrives', () => sent().length >= whole.length);
        t.equal(sent(), whole);
        seen[0]!.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n#${i}`);
        await until('the client has the answer', () => client.text().includes(`#${i}`));
      }
      t.equal(seen.length, 1, 'all on one connection');
      client.leave();
    });

    await test('a client that leaves takes the connection along', async (t, { client, seen, sent, hasHead }) => {
      client.begin();
      await until('the head is at the service', hasHead);
      const head = sent();
      client.leave();
      await gone(seen.at(-1)!.socket);
      t.equal(sent(), head, 'and nothing follows');
    });

    await test('a whole answer before the first byte', async (t, { client, seen, sent, hasHead }) => {
      client.begin();
      await until('the head is at the service', hasHead);
      const head = sent();
      const { socket } = seen.at(-1)!;
      socket.write('HTTP/1.1 413 No\r\nContent-Length: 5\r\n\r\nlarge');
      await until('the client has it', () => /413[^]*large/.test(client.text()));
      await gone(socket);
      t.equal(sent(), head, 'half a request is not continued');
      client.leave();
    });

    if (length !== null) return;
    for (const method of ['POST', 'GET', 'DELETE']) {
      await test(`${method}: a body that ends without a byte, and the next request`, async (t, {
        client,
        seen,
        sent,
        hasHead,
      }) => {
        for (const round of ['first', 'second']) {
          const before = sent().length;
          client.begin(method);
          await until('the head is at the service', () => sent().length > before && hasHead());
          const head = sent();
          client.end();
          await until('the end arrives', () => sent().length >= head.length + 5);
          t.equal(sent(), `${head}0\r\n\r\n`);
          seen.at(-1)!.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${round.length}\r\n\r\n${round}`);
          await until('the client has the answer', () => client.text().includes(round));
        }
        t.equal(seen.length, 1, 'on the same connection');
        client.leave();
      });
    }
  });
}

t.test('a body that is there goes out together with its head', async (t) => {
  const service = await startService(t);
  await using zone = await startHttpZone(t, service.port);
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  socket.write('POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n');
  await until('it arrives', () => service.seen[0]?.text.endsWith('0\r\n\r\n') === true);
  t.match(service.seen[0]?.text, /^POST [^]*\r\n\r\n2\r\nab\r\n0\r\n\r\n$/);
  socket.destroy();
});

t.test('a service of HTTP/2 sees the head before the first byte too', async (t) => {
  const server = createHttp2();
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.write('begun');
    stream.on('data', (chunk: Buffer) => stream.write(chunk));
    stream.on('end', () => stream.end());
  });
  await using service = await listen(server);
  await using zone = await startHttpZone(t, service.port, { protocol: 'http2' });
  for (const [name, { make }] of Object.entries(CLIENTS)) {
    const client = await make(zone);
    client.begin();
    await until('the answer begins', () => /begun/.test(client.text()));
    client.body('0123456789');
    client.end();
    await until('the body comes back', () => /0123456789/.test(client.text()));
    t.pass(name);
    client.leave();
  }
});
