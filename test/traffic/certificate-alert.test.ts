// An alert that cannot be sent is no error: the client is refused in any case. The others are in
// test/egress/refused-certificates.test.ts.
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { tellOfCertificate } from '../../src/traffic/certificate-alert.ts';
import type { Refusing } from '../../src/traffic/certificate-alert.ts';

const SECRET = `SERVER_TRAFFIC_SECRET_0 ${'ab'.repeat(32)} ${'cd'.repeat(32)}\n`;

function said(refusing: Partial<Refusing>, suite: string | null = 'TLS_AES_128_GCM_SHA256', resumed = false): Uint8Array | null {
  const socket = {
    getCipher: () => (suite === null ? undefined : { standardName: suite }),
    isSessionReused: () => resumed,
  } as unknown as TLSSocket;
  let record: Uint8Array | null = null;
  tellOfCertificate({ alert: 'unknown-ca', protocol: 'TLSv1.3', socket, secret: Buffer.from(SECRET), ...refusing }, (bytes) => {
    record = bytes;
  });
  return record;
}

t.test('a record of TLS 1.3 has the length of a sealed alert, one of TLS 1.2 is in the clear', async (t) => {
  t.equal(said({})?.length, 5 + 2 + 1 + 16);
  t.same([...(said({ protocol: 'TLSv1.2', secret: null }) ?? [])], [21, 3, 3, 0, 2, 2, 48]);
});

t.test(
  'nothing is said without the secret, with a cipher that is not known, in a resumed session, or where something throws',
  async (t) => {
    t.equal(said({ secret: null }), null);
    t.equal(said({}, 'TLS_AES_128_CCM_8_SHA256'), null);
    t.equal(said({ protocol: 'TLSv1.2' }, 'x', true), null);
    t.equal(said({}, null), null, 'a socket that is gone');
    t.equal(said({ protocol: '' }), null);
  },
);
