/** The keys of session tickets: who gets which, and when they are gone. */
import t from 'tap';
import { TicketRing } from '../../src/identity/ticket-ring.ts';
import { openTicket } from '../../src/identity/session-ticket.ts';
import { TICKET_KEY_ISSUES_MS, TICKET_KEY_LIFE_MS } from '../../src/model/ticket-keys.ts';
import type { TicketKeySet } from '../../src/model/ticket-keys.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { credentialsFor } from './mesh-server.ts';

const mesh = await createTestMesh('default');
const first = await credentialsFor('default', mesh.ca);
const renewed = await credentialsFor('default', mesh.ca);
const rotated = await credentialsFor('default', (await createTestMesh('default')).ca);
const other = await credentialsFor('other', mesh.ca);

const hex = ({ keys }: TicketKeySet): string[] => keys.map(({ bytes }) => Buffer.from(bytes).toString('hex'));

t.test('each identity and each trust has keys of its own, and a renewed certificate changes nothing', async (t) => {
  const sent: TicketKeySet[] = [];
  const ring = new TicketRing(new FakeClock(), (keys) => sent.push(keys));
  ring.follow(first);
  ring.follow(renewed);
  ring.follow(other);
  ring.follow(rotated);
  ring.follow(first);
  t.same(
    sent.map((keys) => [keys.mesh, keys.generation, keys.keys.length]),
    [first, other, rotated, first].map(({ mesh, generation }) => [mesh, generation, 1]),
  );
  t.equal(new Set(sent.flatMap(hex)).size, 4, 'no key comes twice, also where the trust comes back');
  ring.forget(other.mesh);
  t.same(ring.all.map(hex), sent.slice(-1).map(hex), 'what is in use now');
});

t.test('a new key comes every half an hour, and each lives for an hour at most', async (t) => {
  const clock = new FakeClock();
  const sent: TicketKeySet[] = [];
  const madeAt = new Map<string, number>();
  const ring = new TicketRing(clock, (keys) => {
    sent.push(keys);
    madeAt.set(hex(keys)[0]!, clock.now());
  });
  ring.start();
  clock.advance(TICKET_KEY_ISSUES_MS / 3);
  ring.follow(first);
  for (let i = 0; i < 5; i++) {
    const [, older, ...more] = hex(sent.at(-1)!);
    t.same(more, []);
    if (i > 0) t.equal(older, hex(sent.at(-2)!)[0], 'the older one is the newest of before');
    for (const { bytes, lifeMs } of ring.all[0]!.keys) {
      const made = madeAt.get(Buffer.from(bytes).toString('hex'))!;
      t.equal(clock.now() + lifeMs, made + TICKET_KEY_LIFE_MS, 'its life counts from when it was made');
      t.ok(lifeMs > 0);
    }
    clock.advance(TICKET_KEY_ISSUES_MS);
  }
  ring.close();
  t.same(ring.all, []);
  t.equal(clock.timers, 0);
});

t.test('no bytes make the opening of a ticket read beyond them', async (t) => {
  const key = new Uint8Array(48).fill(7);
  for (const length of [0, 1, 16, 32, 63, 64, 65, 1_000]) t.equal(openTicket(new Uint8Array(length).fill(7), key), null);
});
