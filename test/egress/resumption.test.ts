// What attackers do with sessions: tickets of another mesh, trust or process, changed, forged or
// huge ones, stolen keys, revoked permissions. Each leads to a full handshake or to the refusal
// that a full handshake would bring, and never to an error of a good client.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { hashOf } from '../../src/model/hash-of.ts';
import { TICKET_KEY_ISSUES_MS } from '../../src/model/ticket-keys.ts';
import type { TrafficSettings } from '../../src/model/settings.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { MeshTls } from '../../src/traffic/mesh-server.ts';
import { FIELD, integer, seal, ticketOf, unseal, withField, withServerName, withTicket } from './session-bytes.ts';
import { credentialsOf } from './session-matrix.ts';
import { startTwoSides } from './two-sides.ts';
import type { Met, TwoSides } from './two-sides.ts';

const HOUR_MS = 3_600_000;
const PROTOCOLS = ['TLSv1.2', 'TLSv1.3'] as const;
type Protocol = (typeof PROTOCOLS)[number];

interface Zone {
  readonly sides: TwoSides;
  readonly mesh: TestMesh;
  meet(protocol: Protocol, session?: Buffer | null, more?: MeetOptions): Promise<Met>;
  /** Returns a session of a full handshake. */
  session(protocol: Protocol, more?: MeetOptions): Promise<Buffer>;
}

interface MeetOptions {
  readonly ecdhCurve?: string;
  readonly side?: number;
  readonly service?: string;
  readonly client?: { readonly cert?: string; readonly key?: string };
}

async function startZone(
  t: Test,
  traffic: Partial<TrafficSettings> = {},
  given?: TestMesh,
  changeTls?: (tls: MeshTls) => MeshTls,
): Promise<Zone> {
  const mesh = given ?? (await createTestMesh('default'));
  const sides = await startTwoSides((port) => resources(mesh, port, ['frontend']), { traffic, changeTls });
  t.teardown(() => sides[Symbol.asyncDispose]());
  sides.trust(await credentialsOf(mesh));
  const frontend = mesh.client('frontend');
  const zone: Zone = {
    sides,
    mesh,
    meet(protocol, session = null, { side = 0, service = 'api', client = frontend, ecdhCurve } = {}) {
      const servername = `${service}{mesh=default}`;
      const offered = session === null ? {} : { session: withServerName(session, servername) };
      const curves = ecdhCurve === undefined ? {} : { ecdhCurve };
      return sides.meet(side, { ...client, servername, minVersion: protocol, maxVersion: protocol, ...offered, ...curves });
    },
    async session(protocol, more) {
      const { session, record } = await zone.meet(protocol, null, more);
      if (session === null) throw new Error(`no session: ${record.detail}`);
      return session;
    },
  };
  return zone;
}

/** Two services, `api` for some clients and `ledger` for `batch` only. */
function resources(mesh: TestMesh, port: number, allowed: readonly string[]): string {
  const service = (name: string): string => `type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${port}' }
`;
  const permission = (name: string, sources: readonly string[]): string => `type: TrafficPermission
mesh: default
name: ${name}
sources: [${sources.map((source) => `{ match: { kuma.io/service: ${source} } }`).join(', ')}]
destinations: [{ match: { kuma.io/service: ${name} } }]
`;
  return [
    mesh.resources,
    'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n',
    service('api'),
    service('ledger'),
    permission('api', [...allowed, 'nobody']),
    permission('ledger', ['batch']),
  ].join('\n---\n');
}

const resumed = { reused: true, record: { resumed: true, reason: 'closed' } };
const full = { reused: false, record: { resumed: undefined, reason: 'closed' } };

t.test('a client is resumed by every data side, and its record has the facts of its certificate', async (t) => {
  const zone = await startZone(t);
  for (const protocol of PROTOCOLS) {
    const first = await zone.meet(protocol);
    t.match(first, full, `${protocol}: the first`);
    for (const side of [0, 1, 1, 0]) {
      const again = await zone.meet(protocol, first.session, { side });
      t.match(again, resumed, `${protocol}: again at ${side}`);
      const { spiffeIds, uris, certificateIssuer, certificateExpiry, permission, tlsVersion } = first.record;
      t.match(again.record, { spiffeIds, uris, certificateIssuer, certificateExpiry, permission, tlsVersion });
    }
  }
  t.same(zone.sides.faults, []);
});

t.test('a revoked permission refuses a client that resumes, and a permission of another service does not help it', async (t) => {
  const zone = await startZone(t);
  for (const protocol of PROTOCOLS) {
    const session = await zone.session(protocol);
    t.match(await zone.meet(protocol, session), resumed);
    await zone.sides.configure((port) => resources(zone.mesh, port, []));
    t.match(await zone.meet(protocol, session), { reused: true, record: { reason: 'denied' } }, protocol);
    await zone.sides.configure((port) => resources(zone.mesh, port, ['frontend']));
    t.match(await zone.meet(protocol, session), resumed, `${protocol}: allowed again`);
    // Some versions of Node resume a session under another name, others make a full handshake.
    t.match(await zone.meet(protocol, session, { service: 'ledger' }), { record: { reason: 'denied' } }, `${protocol}: ledger`);
  }
});

t.test('a client whose certificate is refused gets no ticket, and without a certificate nothing can be resumed', async (t) => {
  const zone = await startZone(t);
  for (const protocol of PROTOCOLS) {
    for (const client of [{}, zone.mesh.badClient('expired'), zone.mesh.badClient('wrong-ca')]) {
      const met = await zone.meet(protocol, null, { client });
      t.match(met, { session: null, record: { reason: /^no-client-certificate|client-not-trusted$/ } }, protocol);
    }
    const session = await zone.session(protocol);
    const key = zone.sides.sentKeys.at(-1)!.keys[0]!.bytes;
    const inside = unseal(ticketOf(session), key);
    const without = withTicket(session, seal(withField(inside, FIELD.peer, null), key));
    t.match(await zone.meet(protocol, without, { client: {} }), { reused: false, record: { reason: 'no-client-certificate' } });
    const unverified = withTicket(session, seal(withField(inside, FIELD.verifyResult, integer(10)), key));
    t.match(await zone.meet(protocol, unverified), full, 'a session that OpenSSL did not verify');
  }
});

t.test('a certificate that has expired since is not resumed; with a new one the client passes', async (t) => {
  const zone = await startZone(t);
  const short = zone.mesh.issue({ notAfter: Date.now() + HOUR_MS });
  for (const protocol of PROTOCOLS) {
    zone.sides.setWall(0);
    const session = await zone.session(protocol, { client: short });
    t.match(await zone.meet(protocol, session, { client: short }), resumed);
    zone.sides.setWall(HOUR_MS + 1_000);
    const late = await zone.meet(protocol, session, { client: short });
    t.match(late, { reused: false, record: { reason: 'client-not-trusted', detail: /expired/ } }, protocol);
    t.match(await zone.meet(protocol, session), full, `${protocol}: with a new certificate`);
    zone.sides.setWall(-HOUR_MS);
    t.match((await zone.meet(protocol, session)).reused, false, `${protocol}: before its beginning`);
  }
});

t.test('a key lives for an hour at most, and no session outlives its key', async (t) => {
  const zone = await startZone(t);
  for (const protocol of PROTOCOLS) {
    const session = await zone.session(protocol);
    zone.sides.ringClock.advance(TICKET_KEY_ISSUES_MS);
    const again = await zone.meet(protocol, session);
    t.match(again, resumed, `${protocol}: the older key still resumes`);
    zone.sides.ringClock.advance(TICKET_KEY_ISSUES_MS);
    for (const each of [session, again.session]) {
      if (each !== null) t.match(await zone.meet(protocol, each), full, `${protocol}: the key is gone`);
    }
  }
  const lives = zone.sides.sentKeys.flatMap(({ keys }) => keys.map(({ lifeMs }) => lifeMs));
  t.ok(lives.every((life) => life > 0 && life <= HOUR_MS));
});

t.test('another process, the same mesh with another CA, and the same CA after another one open no ticket', async (t) => {
  const mesh = await createTestMesh('default');
  const credentials = await credentialsOf(mesh);
  const [zone, elsewhere] = [await startZone(t, {}, mesh), await startZone(t, {}, mesh)];
  const next = await createTestMesh('default');
  for (const protocol of PROTOCOLS) {
    zone.sides.trust(credentials);
    const session = await zone.session(protocol);
    t.match(await elsewhere.meet(protocol, session), full, `${protocol}: another process`);
    t.match(await zone.meet(protocol, session), resumed);
    zone.sides.trust(await credentialsOf(mesh));
    t.match(await zone.meet(protocol, session), resumed, `${protocol}: a renewed certificate of the egress, the same trust`);
    zone.sides.trust(await credentialsOf(next));
    const rotated = await zone.meet(protocol, session);
    t.match(rotated, { reused: false, record: { reason: 'client-not-trusted' } }, `${protocol}: a rotated CA`);
    t.match(await zone.meet(protocol, session, { client: next.client('frontend') }), full, `${protocol}: a client of the new CA`);
    zone.sides.trust(credentials);
    t.match(await zone.meet(protocol, session), full, `${protocol}: the old CA again`);
    zone.sides.distrust(credentials);
    t.match(await zone.meet(protocol, session), { reused: false, record: { reason: 'identity-unavailable' } });
    zone.sides.trust(credentials);
    t.match(await zone.meet(protocol, session), full, `${protocol}: the mesh left and came back`);
  }
});

t.test('a stolen key makes no client that the mesh has not issued, and is worth nothing after a rotation', async (t) => {
  const zone = await startZone(t);
  const credentials = await credentialsOf(zone.mesh);
  const stranger = await createTestMesh('default');
  const der = ({ cert }: { readonly cert: string }): Buffer => Buffer.from(cert.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  for (const protocol of PROTOCOLS) {
    const session = await zone.session(protocol);
    const stolen = zone.sides.sentKeys.at(-1)!.keys[0]!.bytes;
    const inside = unseal(ticketOf(session), stolen);
    const forged = (certificate: Buffer): Buffer => withTicket(session, seal(withField(inside, FIELD.peer, certificate), stolen));
    const changed = Buffer.from(der(zone.mesh.client('batch')));
    changed[changed.length - 1]! ^= 1;
    for (const [what, certificate] of [
      ['of a CA of the attacker', der(stranger.client('batch'))],
      ['with a changed signature', changed],
      ['that has expired', der(zone.mesh.badClient('expired', 'batch'))],
      ['of another mesh', der(zone.mesh.badClient('wrong-mesh', 'batch'))],
      ['of the CA itself', der(zone.mesh.ca)],
      ['that is none', Buffer.from([0x30, 0x03, 0x02, 0x01, 0x05])],
    ] as const) {
      t.match(await zone.meet(protocol, forged(certificate)), full, `${protocol}: a certificate ${what}`);
    }
    // This is what the key is worth while it lives (docs/decisions/resumption.md).
    const victim = await zone.meet(protocol, forged(der(zone.mesh.client('batch'))), { service: 'ledger' });
    t.match(victim.record, { reason: victim.reused ? 'closed' : 'denied' }, `${protocol}: a certificate of the mesh`);
    zone.sides.trust(await credentialsOf(stranger));
    const after = await zone.meet(protocol, forged(der(stranger.client('batch'))), { client: stranger.client('frontend') });
    t.match(after, full, `${protocol}: the key of the last generation`);
    zone.sides.trust(credentials);
    t.match(await zone.meet(protocol, session), full, `${protocol}: the key of an earlier generation of the same CA`);
  }
  t.same(zone.sides.faults, []);
});

t.test('changed, cut, long and random tickets lead to a full handshake', async (t) => {
  const zone = await startZone(t);
  for (const protocol of PROTOCOLS) {
    const session = await zone.session(protocol);
    const ticket = ticketOf(session);
    const flipped = (at: number): Buffer => {
      const copy = Buffer.from(ticket);
      copy[at]! ^= 1 << (at % 8);
      return copy;
    };
    const name = ticket.subarray(0, 16);
    const key = zone.sides.sentKeys.at(-1)!.keys[0]!.bytes;
    const bad = [
      ...[0, 15, 16, 31, 32, 100, ticket.length - 33, ticket.length - 32, ticket.length - 1].map(flipped),
      ...[1, 15, 16, 17, 32, 63, 64, 65, ticket.length - 1].map((length) => ticket.subarray(0, length)),
      Buffer.concat([ticket, Buffer.from([0])]),
      randomBytes(ticket.length),
      ...[0, 48, 1_000, 12_000].map((length) => Buffer.concat([name, randomBytes(length)])),
      ...[Buffer.alloc(0), Buffer.from([0x30]), randomBytes(500), Buffer.from([0x30, 0x80, 0, 0])].map((inside) =>
        seal(inside, key),
      ),
    ];
    for (const [i, each] of bad.entries()) {
      t.match(await zone.meet(protocol, withTicket(session, each)), full, `${protocol}: ${i}, ${each.length} bytes`);
    }
    t.match(await zone.meet(protocol, session), resumed, `${protocol}: the ticket itself`);
  }
  t.same(zone.sides.faults, []);
});

t.test('a client that is asked for a second hello is served, resumed or not', async (t) => {
  const zone = await startZone(t);
  // The server has no P-521: it asks for another share of a key. Node 26 then makes a full handshake.
  const curves = { ecdhCurve: 'P-521:X25519' };
  const met = await zone.meet('TLSv1.3', await zone.session('TLSv1.3', curves), curves);
  t.equal(met.record.reason, 'closed');
  t.equal(met.record.resumed === true, met.reused);
});

t.test('a session that is not the one in the hello that was judged is refused', async (t) => {
  const zone = await startZone(t, {}, undefined, (tls) => ({
    ...tls,
    resumption: {
      serverOptions: (...of) => tls.resumption.serverOptions(...of),
      learn: (...of) => tls.resumption.learn(...of),
      // As if the judged hello had named another session than the one that OpenSSL resumes.
      certificateIn: () => Buffer.from('another certificate'),
    },
  }));
  for (const protocol of PROTOCOLS) {
    const met = await zone.meet(protocol, await zone.session(protocol));
    t.match(met.record, { reason: 'handshake-failed', detail: /resumed another session/, resumed: true }, protocol);
  }
});

t.test('a ticket of a million bytes is refused by its length, and a flood of tickets disturbs no client', async (t) => {
  const zone = await startZone(t);
  const port = zone.sides.ports[0]!;
  const million = connectTcp({ port, host: '127.0.0.1' });
  million.on('error', () => {});
  million.write(Buffer.from([22, 3, 1, 0x40, 0, 1, 0x0f, 0x42, 0x40, 3, 3]));
  million.resume();
  await once(million, 'close');
  for (const protocol of PROTOCOLS) {
    const session = await zone.session(protocol);
    const name = ticketOf(session).subarray(0, 16);
    const flood = Array.from({ length: 24 }, (_, i) =>
      zone.meet(protocol, withTicket(session, Buffer.concat([name, randomBytes(100 * (1 + i))])), { side: i % 2 }),
    );
    t.match(await zone.meet(protocol, session), resumed);
    for (const met of await Promise.all(flood)) t.match(met, full);
  }
  t.same(zone.sides.faults, []);
});

t.test('a chain over an intermediate is resumed where it was seen, and only while all of it is valid', async (t) => {
  const mesh = await createTestMesh('default');
  const { key, cert } = mesh.issue({
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign'],
    uris: [],
    subject: [['CN', 'intermediate']],
    notAfter: Date.now() + HOUR_MS,
  });
  const leaf = mesh.issue({ caCert: cert, caKey: key });
  const client = { cert: leaf.cert + cert, key: leaf.key };
  for (const protocol of PROTOCOLS) {
    const zone = await startZone(t, {}, mesh);
    const session = await zone.session(protocol, { client });
    t.match(await zone.meet(protocol, session, { client }), resumed, `${protocol}: where it was seen`);
    t.match(await zone.meet(protocol, session, { client, side: 1 }), full, `${protocol}: where it was not`);
    t.match(await zone.meet(protocol, session, { client, side: 1 }), resumed, `${protocol}: there again`);
    zone.sides.setWall(HOUR_MS + 1_000);
    t.match((await zone.meet(protocol, session, { client })).reused, false, `${protocol}: the intermediate has expired`);
  }
});

t.test('in a mesh of several trust domains each client is resumed by the bundle of its own domain only', async (t) => {
  const [mesh, partner] = [await createTestMesh('default'), await createTestMesh('partner.example')];
  const zone = await startZone(t, {}, mesh);
  const trustDomains = [mesh, partner].map(({ name, ca }) => ({ name, trust: ca.cert }));
  const trust = mesh.ca.cert + partner.ca.cert;
  zone.sides.trust({ ...(await credentialsOf(mesh)), trust, trustDomains, generation: hashOf(trust) });
  for (const protocol of PROTOCOLS) {
    const session = await zone.session(protocol);
    t.match(await zone.meet(protocol, session), resumed, protocol);
    const key = zone.sides.sentKeys.at(-1)!.keys[0]!.bytes;
    const inside = unseal(ticketOf(session), key);
    const crossed = partner.issue({ uris: ['spiffe://default/frontend'] });
    const certificate = Buffer.from(crossed.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    const forged = withTicket(session, seal(withField(inside, FIELD.peer, certificate), key));
    t.match(await zone.meet(protocol, forged), full, `${protocol}: an id of one domain under the CA of another`);
  }
});

t.test('switched off, no client gets a ticket, and none is resumed', async (t) => {
  const zone = await startZone(t, { resumption: false });
  const on = await startZone(t, {}, zone.mesh);
  t.same(zone.sides.sentKeys, []);
  for (const protocol of PROTOCOLS) {
    const first = await zone.meet(protocol);
    t.match(first, full);
    if (first.session !== null) t.match(await zone.meet(protocol, first.session), full, protocol);
    t.match(await zone.meet(protocol, await on.session(protocol)), full, `${protocol}: a ticket of an egress that has it on`);
  }
});
