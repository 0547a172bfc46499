/** What is remembered of a ticket changes nothing about which tickets can be opened. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { OpenedTickets } from '../../src/identity/opened-tickets.ts';
import { openTicket } from '../../src/identity/session-ticket.ts';
import { FIELD, der, integer, octets, seal } from '../egress/session-bytes.ts';

const SEQUENCE = 0x30;
const [key, other] = [new Uint8Array(randomBytes(48)), new Uint8Array(randomBytes(48))];

function session(version: number, certificate: Buffer): Buffer {
  const fields = [
    integer(1),
    der(0x02, Buffer.from([version >> 8, version & 255])),
    octets(Buffer.from([0xc0, 0x2f])),
    octets(Buffer.alloc(0)),
    octets(randomBytes(48)),
    der(FIELD.peer, certificate),
    der(FIELD.flags, integer(1)),
  ];
  return der(SEQUENCE, Buffer.concat(fields));
}

const certificate = randomBytes(700);

t.test('a ticket of TLS 1.2 is opened once, one of TLS 1.3, which comes once, each time', async (t) => {
  const tickets = new OpenedTickets();
  const ticket = seal(session(0x0303, certificate), key);
  const first = tickets.open(ticket, key);
  t.ok(first?.leaf.equals(certificate));
  t.ok(tickets.open(Buffer.from(ticket), key) === first, 'the same bytes in another buffer');
  ticket.fill(0);
  t.ok(first?.leaf.equals(certificate), 'its memory is its own');
  const once = seal(session(0x0304, certificate), key);
  t.ok(tickets.open(once, key)?.leaf.equals(certificate));
  t.not(tickets.open(once, key), tickets.open(once, key));
});

t.test('a remembered ticket that is changed, cut or offered with another key cannot be opened', async (t) => {
  const tickets = new OpenedTickets();
  const ticket = seal(session(0x0303, certificate), key);
  t.ok(tickets.open(ticket, key));
  for (let at = 0; at < ticket.length; at += 7) {
    const changed = Buffer.from(ticket);
    changed[at] = (changed[at] ?? 0) ^ 1;
    t.equal(tickets.open(changed, key), null, `byte ${at}`);
  }
  const sameEnd = Buffer.concat([Buffer.alloc(ticket.length - 32, 7), ticket.subarray(-32)]);
  t.equal(tickets.open(sameEnd, key), null, 'only its last bytes are those of the ticket');
  for (const length of [0, 1, 31, 32, 33, 64, ticket.length - 1])
    t.equal(tickets.open(ticket.subarray(0, length), key), null, `${length} bytes of it`);
  t.equal(tickets.open(ticket, other), null);
  t.equal(tickets.open(ticket, new Uint8Array(48)), null);
  t.ok(tickets.open(ticket, key), 'the ticket itself still can');
});

t.test('what cannot be opened is not remembered, and more tickets than have room are opened all the same', async (t) => {
  const tickets = new OpenedTickets();
  const junk = Buffer.concat([Buffer.from(key.subarray(0, 16)), randomBytes(200)]);
  t.equal(tickets.open(junk, key), null);
  t.equal(tickets.open(junk, key), null);
  const all = Array.from({ length: 600 }, () => seal(session(0x0303, certificate), key));
  for (const ticket of all) t.ok(tickets.open(ticket, key)?.leaf.equals(certificate));
  t.ok(tickets.open(all[0] ?? junk, key)?.leaf.equals(certificate), 'the first one again');
  t.ok(openTicket(all[1] ?? junk, key)?.isReused);
});
