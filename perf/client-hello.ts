/** A minimal TLS 1.2 ClientHello with this server name: on the passthrough path nothing after it has to be TLS. */
export function clientHelloFor(name: string): Buffer {
  const host = Buffer.from(name, 'latin1');
  const serverName = Buffer.concat([u16(host.length + 3), Buffer.from([0]), u16(host.length), host]);
  const extensions = Buffer.concat([u16(0), u16(serverName.length), serverName]);
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 1),
    Buffer.from([0]),
    u16(2),
    u16(0xc02f),
    Buffer.from([1, 0]),
    u16(extensions.length),
    extensions,
  ]);
  const handshake = Buffer.concat([Buffer.from([1, 0]), u16(body.length), body]);
  return Buffer.concat([Buffer.from([0x16, 3, 1]), u16(handshake.length), handshake]);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}
