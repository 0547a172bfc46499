// The fake serves HTTP in its client's version, and keeps what arrived.
import { connect as connectHttp2 } from 'node:http2';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import t from 'tap';
import { createFakeEgress, createFakeExternalService } from '../../src/testing/public.ts';

t.test('a request through the egress arrives with the name of the endpoint in Host', async (t) => {
  await using partner = await createFakeExternalService({ behaviour: 'http' });
  await using egress = await createFakeEgress({
    external: { shop: { protocol: 'http', to: { address: 'shop.partner.test', port: partner.port } } },
    dns: { 'shop.partner.test': ['127.0.0.1'] },
    permissions: [{ from: 'web', to: 'shop' }],
  });
  const socket = await egress.client({ service: 'web' }).connect('shop');
  socket.resume();
  socket.write('POST /a?b=1 HTTP/1.1\r\nHost: shop.mesh\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4\r\n\r\nbody');
  const request = await partner.requests.waitFor({ method: 'POST', path: /^\/a/ });
  t.match(request, { protocol: 'HTTP/1.1', path: '/a?b=1', host: 'shop.partner.test', body: 'body', headers: { 'x-a': '1, 2' } });
  t.equal(partner.requests.length, 1);
  socket.destroy();
});

t.test('HTTP/2 is served to who speaks it, and what no request has is refused', async (t) => {
  await using partner = await createFakeExternalService({ behaviour: 'http' });
  const session = connectHttp2(`http://127.0.0.1:${partner.port}`);
  const stream = session.request({ ':path': '/two', ':authority': 'two.test' });
  stream.setEncoding('utf8');
  let text = '';
  stream.on('data', (chunk: string) => (text += chunk));
  await once(stream, 'end');
  t.match(JSON.parse(text), { path: '/two', headers: { host: 'two.test' } });
  t.match(partner.requests.at(0), { protocol: 'HTTP/2', method: 'GET', host: 'two.test', body: '' });
  session.close();
  await t.rejects(partner.requests.waitFor({ hots: 'a' } as never), /unknown option "?hots"?, did you mean "?host"?|hots/);
  const silent = connectTcp(partner.port, '127.0.0.1');
  silent.end();
  silent.resume();
  await once(silent, 'close');
});

t.test('the history of requests has who asked, what was asked, and what arrived', async (t) => {
  await using egress = await createFakeEgress({
    external: { shop: { behaviour: 'http', protocol: 'http' } },
    permissions: [{ from: 'web', to: 'shop' }],
  });
  const socket = await egress.client({ service: 'web' }).connect('shop');
  socket.resume();
  socket.write('PUT /a?token=1 HTTP/1.1\r\nHost: shop.mesh\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody');
  const request = await egress.expectRequest({ from: 'web', destination: 'shop', path: '/a' });
  t.match(request, {
    method: 'PUT',
    authority: 'shop.mesh',
    status: 200,
    refused: false,
    spiffeIds: ['spiffe://default/web'],
    received: {
      path: '/a?token=1',
      host: request.host,
      body: 'body',
      headers: { 'x-a': '1', 'x-request-id': request.requestId },
    },
  });
  t.match(request.requestId, /^[0-9a-f-]{36}$/, 'the egress has made one');
  socket.write('GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n');
  t.match(await egress.expectRequest({ status: 400 }), { refused: true, received: null, from: ['web'] });
  t.equal(egress.requests.length, 2);
  await t.rejects(egress.expectRequest({ path: '/a', status: 201 }, { timeout: 1 }), {
    name: 'AssertionError',
    message:
      /expected a request with path "\/a", status 201: none in 1 ms\nnear: web -> PUT shop\.mesh\/a: 200\n {4}status: wanted 201, was 200/,
  });
  await t.rejects(async () => egress.expectRequest({ methd: 'GET' } as never), /methd/);
  socket.destroy();
  await t.rejects(egress.verify(), /unmet: a request with path "\/a", status 201/);
});
