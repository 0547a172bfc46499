// A client of requests that goes while its connection is not read: no event shows it, the sweep
// finds it. Its session has served a request, so that its record must not claim that it left early.
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import { SHOP, startHttpZone } from './http-zone.ts';
import { until } from './until.ts';
import { listen } from './virtual-host.ts';

t.test('a client that resets while nothing reads it has a record like one that closes', async (t) => {
  // The service takes no byte of a body, so that the egress stops reading the client.
  const taken: Socket[] = [];
  await using service = await listen(createServer({ pauseOnConnect: true }, (socket) => taken.push(socket)));
  // The sweep looks every 20 ms.
  await using zone = await startHttpZone(t, service.port, { traffic: { halfClosedTimeoutMs: 80 } });
  const below = zone.raw();
  const client = await zone.connect(SHOP, zone.mesh.client('frontend'), { socket: below });
  client.write('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n');
  const chunk = Buffer.alloc(65_536);
  let sent = 0;
  const more = (): void => {
    while (client.write(chunk)) sent++;
    sent++;
  };
  client.on('drain', more);
  more();
  let [before, same] = [-1, 0];
  await until('the client cannot send any more', () => {
    same = sent === before ? same + 1 : 0;
    before = sent;
    return same === 50;
  });
  below.resetAndDestroy();
  client.destroy();
  const record = await zone.record(() => true);
  t.equal(record.reason, 'closed');
  t.ok(record.connectMs >= 0, 'the request was sent');
  t.ok(record.bytesUp > 0);
  // A socket that reads nothing does not notice its end.
  for (const socket of taken) socket.destroy();
});
