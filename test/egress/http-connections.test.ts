// Connections of HTTP clients: heads that do not come, and an egress that passes bytes unchanged.
import t from 'tap';
import { SHOP, answerOf, readAll, startHttpZone, startRawService } from './http-zone.ts';

t.test('a head that does not come in time ends its connection, a whole one before it is answered', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port, {
    traffic: { setupTimeoutMs: 4_000, allowedResolved: ['127.0.0.0/8'] },
  });
  const whole = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
  const [half, second, preface] = await Promise.all(
    ['GET /slow HTTP/1.1\r\nHost: a\r\n', `${whole}GET /slow HTTP/1.1\r\n`, 'PRI * HTTP/2.0\r\n\r\nS'].map((text) =>
      readAll(zone, text),
    ),
  );
  t.match(half, /^HTTP\/1\.1 408 /);
  t.match(second, /^HTTP\/1\.1 200 OK\r\n[^]*at \/xHTTP\/1\.1 408 /);
  t.equal(preface, '', 'a preface that stays half');
  t.strictSame(
    service.arrived.map(({ head }) => head),
    ['GET /x HTTP/1.1'],
  );
});

t.test('with http off, bytes pass as they are, whatever they say', async (t) => {
  const service = await startRawService(t, () => answerOf('ab'));
  await using zone = await startHttpZone(t, service.port, { traffic: { http: false, allowedResolved: ['127.0.0.0/8'] } });
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const answer = new Promise<string>((resolve) => socket.once('data', (chunk: Buffer) => resolve(chunk.toString())));
  socket.write('BREW /x HTTP/1.0\r\nHost: b\r\nX-A: 1\r\n\r\n');
  t.equal(await answer, answerOf('ab'));
  const lost = zone.egress.problems().filter(({ message }) => message.includes('http is off'));
  t.equal(lost.length, 1, 'what is lost is said once for the service');
  t.match(lost, [
    {
      severity: 'warning',
      line: /[1-9]/,
      message: /^shop: http is off, so this egress does not do these: .*the name of the endpoint in Host, .*403/,
    },
  ]);
  t.match(service.arrived, [{ head: 'BREW /x HTTP/1.0\r\nHost: b\r\nX-A: 1', whole: true }]);
  socket.destroy();
});

t.test('however many requests a connection carries, it is listened to once', async (t) => {
  const service = await startRawService(t);
  await using zone = await startHttpZone(t, service.port);
  const warnings: string[] = [];
  const listen = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`);
  process.on('warning', listen);
  t.teardown(() => process.removeListener('warning', listen));
  const request = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
  for (const last of [
    'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    'GET / HTTP/3.0\r\n\r\n',
    'CONNECT a:1 HTTP/1.1\r\n\r\n',
  ]) {
    const text = await readAll(zone, `${request.repeat(40)}${last}`);
    t.equal(text.split('at /x').length, 41);
  }
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  socket.end(request.repeat(40));
  socket.destroy();
  // Node emits a warning in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(warnings, []);
});
