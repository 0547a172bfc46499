import { Socket } from 'node:net';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { probeTlsReads, readTlsInto } from '../../src/traffic/tls-onread.ts';

t.test('this Node decrypts into memory of the caller', async (t) => {
  t.equal(await probeTlsReads(systemClock()), true);
});

t.test('a socket without a handle stays as it is', async (t) => {
  const socket = new Socket();
  const before = Object.getOwnPropertySymbols(socket).map((key) => (socket as unknown as Record<symbol, unknown>)[key]);
  t.equal(readTlsInto(socket, { buffer: () => Buffer.alloc(1), callback: () => true }), false);
  const after = Object.getOwnPropertySymbols(socket).map((key) => (socket as unknown as Record<symbol, unknown>)[key]);
  t.strictSame(after, before);
});
