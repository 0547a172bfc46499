import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import t from 'tap';
import { REFUSALS } from '../../src/base/refusal.ts';
import type { RefusalCode } from '../../src/base/refusal.ts';
import { alertFor, certificateAlert, certificateAlertRecord } from '../../src/wire/alert.ts';

const codes = Object.keys(REFUSALS) as RefusalCode[];

t.test('every refusal has an answer: a fatal alert record of seven bytes, or silence', async (t) => {
  for (const code of codes) {
    const alert = alertFor(code);
    if (alert === null) continue;
    t.same([...alert.subarray(0, 6)], [21, 3, 3, 0, 2, 2], code);
    t.equal(alert.length, 7, code);
  }
});

t.test(
  'a name without a route is unrecognized_name, a broken hello decode_error, and what is wrong on our side internal_error',
  async (t) => {
    const expected: Partial<Record<RefusalCode, number>> = {
      'no-sni': 112,
      'no-route': 112,
      'malformed-hello': 50,
      'hello-too-large': 50,
      'identity-unavailable': 80,
      'over-limit': 80,
      'no-endpoint': 80,
      'dns-failed': 80,
      'forbidden-address': 80,
      'connect-timeout': 80,
      'connect-refused': 80,
      'internal-error': 80,
      misconfigured: 80,
    };
    for (const code of codes) t.equal(alertFor(code)?.at(6), expected[code], code);
  },
);

t.test('what is not TLS, says nothing or has had its handshake gets no alert', async (t) => {
  const silent: RefusalCode[] = [
    'not-tls',
    'hello-timeout',
    'client-gone',
    'handshake-failed',
    'denied',
    'wrong-mesh',
    'idle-timeout',
  ];
  for (const code of silent) t.equal(alertFor(code), null, code);
});

t.test('a certificate that is missing has a word of its own in TLS 1.3 only', async (t) => {
  t.same([...certificateAlert('certificate-required')], [2, 116]);
  t.same([...certificateAlertRecord('certificate-required')], [21, 3, 3, 0, 2, 2, 40]);
  t.same([...certificateAlert('unknown-ca')], [2, 48]);
  t.same([...certificateAlertRecord('unknown-ca')], [21, 3, 3, 0, 2, 2, 48]);
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`a ${version} client of OpenSSL reads the alert by its name`, async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(alertFor('no-route') ?? ''));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = connect({ port, host: '127.0.0.1', servername: 'backend', minVersion: version, maxVersion: version });
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    t.equal(error.code, 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
    client.destroy();
    server.close();
    await once(server, 'close');
  });
}
