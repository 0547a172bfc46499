// First flights of a real sidecar: TLS 1.2, ALPN `kuma`, and from the second connection on the
// ticket of the first.
import { Buffer } from 'node:buffer';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { parseClientHello } from '../../src/wire/client-hello.ts';
import { LIVE } from '../data.ts';
import { speakTcp } from './client.ts';
import { live } from './recorded-zone.ts';
import { startRecordedZone } from './zone.ts';

const FOLDER = 'behaviour/sidecar-clienthello';
const [SERVER_HELLO, CERTIFICATE, KEY_EXCHANGE, CERTIFICATE_REQUEST, DONE] = [2, 11, 12, 13, 14];
const [ALPN, TICKET] = [16, 35];

function hellos(): readonly (readonly [name: string, bytes: Buffer])[] {
  const names = readdirSync(new URL(FOLDER, LIVE)).sort();
  return names.map((name) => [name, Buffer.from(live(`${FOLDER}/${name}`).trim(), 'hex')] as const);
}

t.test('what a sidecar sends goes to the other zone as it is, its ticket with it', async (t) => {
  await using zone = await startRecordedZone(t);
  for (const [name, bytes] of hellos()) {
    const seen = await speakTcp(zone.at, (socket) => void socket.write(bytes), { stays: true });
    t.equal(seen.got[0], 22, `${name}: the other zone answers`);
    const arrived = [...zone.services.zone2.connections, ...zone.services.zone3.connections].map(({ firstBytes }) => firstBytes);
    t.ok(
      arrived.some((other) => other.equals(bytes)),
      `${name}: ${bytes.length} bytes arrived as they were`,
    );
  }
});

t.test('a sidecar that offers a ticket of another egress gets a whole handshake, and a ticket of this one', async (t) => {
  await using zone = await startRecordedZone(t);
  const own = hellos().filter(([name]) => name.includes('es-zone2'));
  t.equal(own.length, 2);
  for (const [name, bytes] of own) {
    // An external service of this zone, with a name of the same length.
    const sent = Buffer.from(bytes.toString('latin1').replace('es-zone2', 'es-zone1'), 'latin1');
    t.match(parseClientHello(sent), { kind: 'hello', hello: { serverName: 'es-zone1{mesh=default}', alpn: ['kuma'] } });
    const { got } = await speakTcp(zone.at, (socket) => void socket.write(sent), { stays: true });
    const flight = readFlight(got);
    t.same(flight.types, [SERVER_HELLO, CERTIFICATE, KEY_EXCHANGE, CERTIFICATE_REQUEST, DONE], `${name}: all of a handshake`);
    t.equal(flight.version, 0x0303, 'of TLS 1.2');
    t.ok(flight.extensions.includes(TICKET), 'a ticket is promised');
    t.notOk(flight.extensions.includes(ALPN), 'no protocol is chosen, as with Envoy');
  }
});

/**
 * Reads a server's first flight of TLS 1.2: the types of its messages, and the content of the
 * ServerHello.
 */
function readFlight(flight: Buffer): { readonly types: number[]; readonly version: number; readonly extensions: number[] } {
  const pieces: Buffer[] = [];
  for (let at = 0; at < flight.length; at += 5 + flight.readUInt16BE(at + 3))
    pieces.push(flight.subarray(at + 5, at + 5 + flight.readUInt16BE(at + 3)));
  const messages = Buffer.concat(pieces);
  const types: number[] = [];
  for (let at = 0; at < messages.length; at += 4 + messages.readUIntBE(at + 1, 3)) types.push(messages.readUInt8(at));
  const extensions: number[] = [];
  const end = 4 + messages.readUIntBE(1, 3);
  // Version, random, session id, suite, compression, the length of the extensions.
  for (let at = 38 + 1 + messages.readUInt8(38) + 5; at < end; at += 4 + messages.readUInt16BE(at + 2))
    extensions.push(messages.readUInt16BE(at));
  return { types, version: messages.readUInt16BE(4), extensions };
}
