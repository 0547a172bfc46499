// gRPC's own library on both sides of the egress.
import { once } from 'node:events';
import { Client, credentials, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceError,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import t from 'tap';
import type { Test } from 'tap';
import { startHttpZone } from './http-zone.ts';
import { BOUND_MS } from './until.ts';
import { startSidecar } from './virtual-host.ts';

type Unary = ServerUnaryCall<Buffer, Buffer>;
type Sends = ServerWritableStream<Buffer, Buffer>;
type Takes = ServerReadableStream<Buffer, Buffer>;
type Both = ServerDuplexStream<Buffer, Buffer>;
type Done = sendUnaryData<Buffer>;

const same = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/shop/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

interface Service extends AsyncDisposable {
  readonly port: number;
  readonly cancelled: string[];
  /** The number of calls of `silent` that came. */
  readonly asked: number;
  /** Resolves with the next call that its client has cancelled. */
  whenCancelled(): Promise<void>;
}

async function startService(): Promise<Service> {
  const cancelled: string[] = [];
  let asked = 0;
  const waiting = new Set<() => void>();
  const gone = (name: string): void => {
    cancelled.push(name);
    for (const each of waiting) each();
    waiting.clear();
  };
  const handlers: UntypedServiceImplementation = {
    unary(call: Unary, done: Done) {
      const trailers = new Metadata();
      trailers.set('x-host', String(call.getHost()));
      done(null, Buffer.from(call.request).reverse(), trailers);
    },
    fails(_call: Unary, done: Done) {
      done({ code: status.FAILED_PRECONDITION, details: 'no 100 % \u00fcber' });
    },
    silent(call: Unary) {
      asked++;
      call.on('cancelled', () => gone('silent'));
    },
    sends(call: Sends) {
      for (let i = 0; i < 1_000; i++) call.write(Buffer.alloc(1_000, i));
      call.end();
    },
    takes(call: Takes, done: Done) {
      let bytes = 0;
      call.on('data', (chunk: Buffer) => (bytes += chunk.length));
      call.on('end', () => done(null, Buffer.from(String(bytes))));
    },
    both(call: Both) {
      call.on('data', (chunk: Buffer) => call.write(chunk));
      call.on('end', () => call.end());
      call.on('cancelled', () => gone('both'));
    },
  };
  const server = new Server();
  server.addService(
    {
      unary: method('unary', false, false),
      fails: method('fails', false, false),
      silent: method('silent', false, false),
      sends: method('sends', false, true),
      takes: method('takes', true, false),
      both: method('both', true, true),
    },
    handlers,
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return {
    port,
    cancelled,
    get asked() {
      return asked;
    },
    whenCancelled: () => new Promise((resolve) => waiting.add(resolve)),
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

async function withClient(t: Test, test: (client: Client, service: Service, metadata: Metadata) => Promise<void>): Promise<void> {
  await using service = await startService();
  await using zone = await startHttpZone(t, service.port, { protocol: 'grpc' });
  await using sidecar = await startSidecar(zone);
  const client = new Client(`127.0.0.1:${sidecar.port}`, credentials.createInsecure());
  await test(client, service, new Metadata());
  client.close();
}

const unary = (client: Client, name: string, body: Buffer, options = {}): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    client.makeUnaryRequest(`/shop/${name}`, same, same, body, new Metadata(), options, (error, answer) =>
      error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error),
    );
  });

const errorOf = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: unknown) => error as ServiceError,
  );

t.test('unary calls, many at once, and the name that the service reads', (t) =>
  withClient(t, async (client) => {
    const calls = Array.from({ length: 200 }, (_, i) => unary(client, 'unary', Buffer.from(`call ${i}`)));
    t.strictSame(
      (await Promise.all(calls)).map((answer) => answer.reverse().toString()),
      Array.from({ length: 200 }, (_, i) => `call ${i}`),
    );
    const call = client.makeUnaryRequest('/shop/unary', same, same, Buffer.from('a'), new Metadata(), {}, () => {});
    const [last] = (await once(call, 'status')) as [{ metadata: Metadata }];
    t.strictSame(last.metadata.get('x-host'), ['shop.partner.test'], 'trailers go through');
  }),
);

t.test('a status of the service goes through as it is', (t) =>
  withClient(t, async (client) => {
    t.match(await errorOf(unary(client, 'fails', Buffer.alloc(0))), {
      code: status.FAILED_PRECONDITION,
      details: 'no 100 % \u00fcber',
    });
    t.match(await errorOf(unary(client, 'unknown', Buffer.alloc(0))), { code: status.UNIMPLEMENTED });
  }),
);

t.test('a deadline that passes and a call that is given up end at the service too', (t) =>
  withClient(t, async (client, service) => {
    let over = service.whenCancelled();
    // On a busy machine a call may not come to the service before its deadline.
    for (let ms = 300; service.asked === 0; ms *= 2) {
      t.match(await errorOf(unary(client, 'silent', Buffer.alloc(0), { deadline: Date.now() + ms })), {
        code: status.DEADLINE_EXCEEDED,
      });
    }
    await over;
    over = service.whenCancelled();
    const call = client.makeBidiStreamRequest('/shop/both', same, same);
    call.on('error', () => {});
    call.write(Buffer.from('a'));
    await once(call, 'data');
    const ended = new Promise<{ code: number }>((resolve) => call.once('status', resolve));
    call.cancel();
    t.equal((await ended).code, status.CANCELLED);
    await over;
    t.strictSame([...new Set(service.cancelled)], ['silent', 'both']);
  }),
);

t.test('streams of the server, of the client, and of both', (t) =>
  withClient(t, async (client) => {
    const sent = client.makeServerStreamRequest('/shop/sends', same, same, Buffer.alloc(0));
    let i = 0;
    for await (const chunk of sent) {
      if (!(chunk as Buffer).equals(Buffer.alloc(1_000, i))) t.fail(`message ${i} is another`);
      i++;
    }
    t.equal(i, 1_000);

    const taken = new Promise<string>((resolve, reject) => {
      const call = client.makeClientStreamRequest('/shop/takes', same, same, (error, answer) =>
        error === null ? resolve(String(answer)) : reject(error),
      );
      for (let each = 0; each < 1_000; each++) call.write(Buffer.alloc(3_000));
      call.end();
    });
    t.equal(await taken, '3000000');

    const both = client.makeBidiStreamRequest('/shop/both', same, same, { deadline: Date.now() + BOUND_MS });
    for (let each = 0; each < 500; each++) {
      both.write(Buffer.from(`message ${each}`));
      const [answer] = (await once(both, 'data')) as [Buffer];
      if (answer.toString() !== `message ${each}`) t.fail(`message ${each} is another`);
    }
    both.end();
    const [{ code }] = (await once(both, 'status')) as [{ code: number }];
    t.equal(code, status.OK);
  }),
);

t.test('a service that is not there is UNAVAILABLE', async (t) => {
  const service = await startService();
  await service[Symbol.asyncDispose]();
  await using zone = await startHttpZone(t, service.port, { protocol: 'grpc' });
  await using sidecar = await startSidecar(zone);
  const client = new Client(`127.0.0.1:${sidecar.port}`, credentials.createInsecure());
  t.match(await errorOf(unary(client, 'unary', Buffer.alloc(0))), { code: status.UNAVAILABLE });
  client.close();
});
