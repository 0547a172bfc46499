// Memory of pieces of bodies: it is given back once they are written, and what others have is left
// alone.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { freeWhatIsWritten } from '../../src/traffic/free-memory.ts';

t.test('each piece is free once it is written, and has arrived as it was', async (t) => {
  const arrived: Buffer[] = [];
  const server = createServer((socket) => socket.on('data', (chunk) => arrived.push(chunk)).on('end', () => socket.end()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  freeWhatIsWritten(socket);

  const whole = Buffer.from(new ArrayBuffer(100_000)).fill('a');
  const shared = Buffer.from(new ArrayBuffer(100_000)).fill('b');
  const part = shared.subarray(10, 20);
  const many = Array.from({ length: 50 }, () => Buffer.from(new ArrayBuffer(65_536)).fill('c'));
  socket.write('head', 'latin1');
  const { length } = whole;
  const done = new Promise<unknown>((resolve) => socket.write(whole, resolve));
  socket.write(part);
  for (const each of many) socket.write(each);
  t.notOk(await done, 'the one who writes is still called');
  t.equal(whole.buffer.byteLength, 0, 'the memory is given back');
  const end = once(socket, 'end');
  socket.end('tail');
  socket.resume();
  await end;
  t.equal(shared.buffer.byteLength, 100_000, 'memory that others look at stays');
  t.ok(
    many.every(({ buffer }) => buffer.byteLength === 0),
    'that of pieces which had to wait is given back too',
  );
  const expected = `head${'a'.repeat(length)}${'b'.repeat(10)}${'c'.repeat(50 * 65_536)}tail`;
  t.ok(Buffer.concat(arrived).equals(Buffer.from(expected)), 'every byte arrived as it was written');
  socket.destroy();
  server.close();
  await once(server, 'close');
});
