import { once, EventEmitter } from 'node:events';
import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { formatProblem } from '../../src/base/problem.ts';
import type { Problem } from '../../src/base/problem.ts';
import { createCa, egressUris, generateKey, issueCertificate, meshCaSubject, selfSigned } from '../../src/identity/issue.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import { createKeyStore } from '../../src/identity/key-store.ts';
import type { KeyStore } from '../../src/identity/key-store.ts';
import type { MeshCredentials } from '../../src/model/credentials.ts';
import { hashOf } from '../../src/model/hash-of.ts';
import { meshName } from '../../src/model/names.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import type { Mesh, Secrets, Snapshot } from '../../src/model/snapshot.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { withoutRoot } from '../data.ts';

const HOUR = 3_600_000;
const LONGEST_PAUSE = 600_000;
const now = Date.UTC(2026, 5, 1);
const mesh = await createTestMesh('default', { nowMs: now });
const other = await createTestMesh('payments', { nowMs: now });

/** A store with the test's own clock, and its reports. */
class Bench {
  readonly clock = new FakeClock({ wall: now });
  readonly told: MeshCredentials[] = [];
  readonly removed: string[] = [];
  readonly problems: Problem[] = [];
  readonly #events = new EventEmitter();
  readonly store: KeyStore = createKeyStore({
    clock: this.clock,
    onCredentials: (credentials) => this.#tell(this.told, credentials),
    onRemoved: (name) => this.#tell(this.removed, name),
    onProblem: (problem) => this.#tell(this.problems, problem),
  });

  #tell<Item>(list: Item[], item: Item): void {
    list.push(item);
    this.#events.emit('told');
  }

  /** The caller knows what the next report is about. */
  async next(): Promise<void> {
    await once(this.#events, 'told');
  }

  async live(snapshot: Snapshot, secrets: Secrets): Promise<readonly MeshCredentials[]> {
    const prepared = await this.store.prepare(snapshot, secrets);
    this.store.commit(prepared);
    return prepared.credentials;
  }
}

function bench(t: Test): Bench {
  const made = new Bench();
  t.teardown(() => {
    made.store.close();
    if (made.clock.timers > 0) throw new Error(`${made.clock.timers} timers are left`);
  });
  return made;
}

interface Config {
  readonly snapshot: Snapshot;
  readonly secrets: Secrets;
}

function issuing(...list: readonly { name: string; ca: CertificateAndKey; trust?: string; lifetimeMs?: number }[]): Config {
  const secrets = new Map();
  const meshes = list.map(({ name, ca, trust = ca.cert, lifetimeMs = 24 * HOUR }): Mesh => {
    for (const text of [ca.cert, ca.key, trust]) secrets.set(hashOf(text), text);
    const identity = { kind: 'issue', caCert: hashOf(ca.cert), caKey: hashOf(ca.key), lifetimeMs } as const;
    return { name: meshName(name), trust: hashOf(trust), identity };
  });
  return { snapshot: { ...EMPTY_SNAPSHOT, meshes: new Map(meshes.map((one) => [one.name, one])) }, secrets };
}

function folderOf(path: string): Config {
  const one: Mesh = { name: meshName('default'), trust: hashOf(''), identity: { kind: 'folder', path } };
  return { snapshot: { ...EMPTY_SNAPSHOT, meshes: new Map([[one.name, one]]) }, secrets: new Map() };
}

/** Makes what a control plane would send. */
function given(pair: CertificateAndKey, trust: string = mesh.ca.cert): Config {
  const secrets = new Map([pair.cert, pair.key, trust].map((text) => [hashOf(text), text]));
  const identity = { kind: 'given', cert: hashOf(pair.cert), key: hashOf(pair.key) } as const;
  const one: Mesh = { name: meshName('default'), trust: hashOf(trust), identity };
  return { snapshot: { ...EMPTY_SNAPSHOT, meshes: new Map([[one.name, one]]) }, secrets };
}

/** Makes what cert-manager would write. */
function egressPair(lifetimeMs = 24 * HOUR, more: Parameters<typeof mesh.issue>[0] = {}): CertificateAndKey {
  return mesh.issue({ uris: egressUris('default'), notBefore: now - 10_000, notAfter: now + lifetimeMs, ...more });
}

function put(folder: string, pair: CertificateAndKey, ca: string = mesh.ca.cert): void {
  writeFileSync(join(folder, 'tls.crt'), pair.cert);
  writeFileSync(join(folder, 'tls.key'), pair.key);
  writeFileSync(join(folder, 'ca.crt'), ca);
}

t.test('each mesh gets a certificate, and nothing is handed out before the commit', async (t) => {
  const { store, told, clock } = bench(t);
  const { snapshot, secrets } = issuing({ name: 'default', ca: mesh.ca }, { name: 'payments', ca: other.ca });
  const prepared = await store.prepare(snapshot, secrets);
  t.same(prepared.problems, []);
  t.same(
    prepared.credentials.map((one) => one.mesh),
    ['default', 'payments'],
  );
  t.equal(told.length, 0);
  t.equal(clock.timers, 0);
  store.commit(prepared);
  t.same(told, prepared.credentials);
  for (const [i, ca] of [mesh.ca, other.ca].entries()) {
    t.ok(new X509Certificate(told[i]!.cert).verify(new X509Certificate(ca.cert).publicKey));
    t.equal(told[i]!.trust, ca.cert);
    t.equal(told[i]!.generation, hashOf(ca.cert));
    t.equal(told[i]!.notAfter, now + 24 * HOUR);
  }
});

t.test('an unchanged mesh keeps its certificate, and a removed mesh is reported', async (t) => {
  const made = bench(t);
  const both = issuing({ name: 'default', ca: mesh.ca }, { name: 'payments', ca: other.ca });
  const [first] = await made.live(both.snapshot, both.secrets);
  const one = issuing({ name: 'default', ca: mesh.ca });
  const [again] = await made.live(one.snapshot, one.secrets);
  t.equal(again, first, 'the same certificate');
  t.equal(made.told.length, 2, 'not handed out again');
  t.same(made.removed, ['payments']);
});

t.test('another trust bundle or another CA gives new credentials', async (t) => {
  const made = bench(t);
  const next = await createCa({ mesh: 'default', keyType: 'ec', nowMs: now });
  const steps = [
    issuing({ name: 'default', ca: mesh.ca }),
    issuing({ name: 'default', ca: mesh.ca, trust: mesh.ca.cert + next.cert }),
    issuing({ name: 'default', ca: next, trust: mesh.ca.cert + next.cert }),
  ];
  for (const { snapshot, secrets } of steps) await made.live(snapshot, secrets);
  t.equal(made.told.length, 3);
  t.equal(new Set(made.told.map((one) => one.generation)).size, 2, 'the generation is of the trust alone');
  t.ok(new X509Certificate(made.told[2]!.cert).verify(new X509Certificate(next.cert).publicKey));
});

t.test('a certificate is renewed at four fifths of its life, again and again', async (t) => {
  const made = bench(t);
  const { snapshot, secrets } = issuing({ name: 'default', ca: mesh.ca, lifetimeMs: HOUR });
  await made.live(snapshot, secrets);
  made.clock.advance(0.8 * HOUR - 1);
  t.equal(made.told.length, 1, 'not a moment earlier');
  for (let renewals = 1; renewals <= 3; renewals++) {
    made.clock.advance(renewals === 1 ? 1 : 0.8 * HOUR);
    await made.next();
    t.equal(made.told.length, renewals + 1);
    t.equal(made.told.at(-1)!.notAfter, made.clock.wall() + HOUR);
  }
  t.equal(new Set(made.told.map((one) => one.key)).size, 4, 'each with a new key');
  t.equal(new Set(made.told.map((one) => one.generation)).size, 1);
  const [current] = (await made.store.prepare(snapshot, secrets)).credentials;
  t.equal(current, made.told.at(-1), 'a reload finds the renewed one');
});

t.test('a wall clock that jumps is noticed within a minute, and at once where a session needs the certificate', async (t) => {
  const made = bench(t);
  const { snapshot, secrets } = issuing({ name: 'default', ca: mesh.ca });
  await made.live(snapshot, secrets);
  for (const jump of [25 * HOUR, -25 * HOUR, -25 * HOUR, 50 * HOUR]) {
    for (const notice of [() => made.clock.advance(60_000), () => made.store.refresh(meshName('default'))]) {
      made.clock.jump(jump);
      const before = made.told.length;
      notice();
      await made.next();
      t.equal(made.told.length, before + 1);
      const wall = made.clock.wall();
      t.ok(made.told.at(-1)!.notBefore <= wall && made.told.at(-1)!.notAfter > wall + 23 * HOUR, `good again after ${jump} ms`);
      t.equal(made.clock.timers, 1);
      made.store.refresh(meshName('default'));
      made.clock.advance(60_000);
    }
  }
  t.equal(made.told.length, 9, 'each jump makes one');
  t.same(made.problems, []);
  const [current] = (await made.store.prepare(snapshot, secrets)).credentials;
  t.equal(current, made.told.at(-1));
});

t.test(
  'a configuration that is loaded after a jump, before anything else noticed it, gets a certificate that is good then',
  async (t) => {
    const made = bench(t);
    const { snapshot, secrets } = issuing({ name: 'default', ca: mesh.ca });
    await made.live(snapshot, secrets);
    for (const jump of [25 * HOUR, -50 * HOUR]) {
      made.clock.jump(jump);
      const [credentials] = (await made.store.prepare(snapshot, secrets)).credentials;
      const wall = made.clock.wall();
      t.ok(credentials!.notBefore <= wall && credentials!.notAfter > wall);
    }
  },
);

t.test('pauses between tries do not grow with a clock that jumps back', async (t) => {
  const made = bench(t);
  const ending = await createCa({ mesh: 'default', keyType: 'ec', nowMs: now, lifetimeMs: 10 * HOUR });
  const { snapshot, secrets } = issuing({ name: 'default', ca: ending });
  await made.live(snapshot, secrets);
  made.clock.jump(11 * HOUR);
  made.store.refresh(meshName('default'));
  await made.next();
  t.match(made.problems.map(formatProblem), [/the CA of mesh default expired/]);
  made.store.refresh(meshName('default'));
  t.equal(made.clock.timers, 1, 'sessions do not make it try again at once');
  made.clock.jump(-10 * HOUR);
  made.clock.jump(8 * HOUR);
  made.clock.advance(5_000);
  await made.next();
  t.equal(made.problems.length, 2, 'tried again after 5 s');
});

t.test('a renewal between prepare and commit has the last word', async (t) => {
  const made = bench(t);
  const { snapshot, secrets } = issuing({ name: 'default', ca: mesh.ca, lifetimeMs: HOUR });
  await made.live(snapshot, secrets);
  const prepared = await made.store.prepare(snapshot, secrets);
  made.clock.advance(0.8 * HOUR);
  await made.next();
  made.store.commit(prepared);
  t.equal(made.told.length, 3);
  t.equal(made.told[2], made.told[1]);
});

t.test('where the CA ends, the last certificate stays and the problem is reported with growing pauses', async (t) => {
  const made = bench(t);
  const ending = await createCa({ mesh: 'default', keyType: 'ec', nowMs: now, lifetimeMs: 10 * HOUR });
  const { snapshot, secrets } = issuing({ name: 'default', ca: ending });
  const prepared = await made.store.prepare(snapshot, secrets);
  t.match(prepared.problems.map(formatProblem), [
    /^mesh:default warning: the CA of mesh default ends 2026-06-01T10:00:00\.000Z, sooner/,
  ]);
  made.store.commit(prepared);
  made.clock.advance(8 * HOUR);
  await made.next();
  t.match(made.problems.map(formatProblem), [/renew the certificate for mesh default: its CA ends 2026-06-01T10/]);
  made.clock.advance(4_999);
  t.equal(made.problems.length, 1);
  made.clock.advance(1);
  await made.next();
  made.clock.advance(9_999);
  t.equal(made.problems.length, 2);
  made.clock.advance(1);
  await made.next();
  t.equal(made.problems.length, 3);
  made.clock.advance(2 * HOUR);
  await made.next();
  made.clock.advance(LONGEST_PAUSE);
  await made.next();
  t.match(formatProblem(made.problems[4]!), /the CA of mesh default expired 2026-06-01T10/);
  t.equal(made.told.length, 1);
});

t.test('a CA that cannot be used refuses the configuration and names the reason, never the secret', async (t) => {
  const made = bench(t);
  const leaf = mesh.client('frontend');
  const expired = await createCa({ mesh: 'default', keyType: 'ec', nowMs: now - 20 * HOUR, lifetimeMs: HOUR });
  const cases: readonly (readonly [string, { ca: CertificateAndKey; trust?: string }, RegExp])[] = [
    ['no trust', { ca: mesh.ca, trust: '' }, /^mesh:default the trust bundle of mesh default: it is empty$/],
    ['text as trust', { ca: mesh.ca, trust: 'hello' }, /no PEM certificate/],
    ['cut trust', { ca: mesh.ca, trust: mesh.ca.cert.slice(0, 300) }, /cut off/],
    [
      'damaged trust',
      { ca: mesh.ca, trust: mesh.ca.cert.replace('MII', 'AAA').replace('MIIB', 'AAAA') },
      /certificate 1 of 1 in it cannot be read/,
    ],
    ['a leaf as trust', { ca: mesh.ca, trust: mesh.ca.cert + leaf.cert }, /certificate 2 of 2 in it is no CA certificate/],
    ['expired trust', { ca: mesh.ca, trust: expired.cert }, /every CA certificate in it expired, the last 2026/],
    ['an expired CA', { ca: expired, trust: mesh.ca.cert }, /the CA of mesh default expired/],
    ['no key', { ca: { cert: mesh.ca.cert, key: '' } }, /the CA key of mesh default: it is no private key/],
    ['the key of another', { ca: { cert: mesh.ca.cert, key: other.ca.key } }, /does not belong to its CA certificate/],
    ['a leaf as CA', { ca: leaf, trust: mesh.ca.cert }, /is no CA certificate/],
  ];
  for (const [what, config, message] of cases) {
    const { snapshot, secrets } = issuing({ name: 'default', ...config });
    const prepared = await made.store.prepare(snapshot, secrets);
    t.match(prepared.problems.map(formatProblem), [message], what);
    t.same(prepared.credentials, [], what);
    t.throws(() => made.store.commit(prepared), { message: /have errors/ }, what);
  }
  t.equal(made.told.length, 0);
});

t.test('an intermediate CA is sent behind the certificate, a root is not', async (t) => {
  const made = bench(t);
  const key = await generateKey('ec');
  const cert = issueCertificate({
    caCert: mesh.ca.cert,
    caKey: mesh.ca.key,
    publicKey: key,
    subject: [['CN', 'intermediate']],
    notBefore: now - 1_000,
    notAfter: now + 100 * HOUR,
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign'],
  });
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { snapshot, secrets } = issuing({ name: 'default', ca: { cert: cert + mesh.ca.cert, key: pem }, trust: mesh.ca.cert });
  const [credentials] = await made.live(snapshot, secrets);
  const count = (text: string): number => text.match(/BEGIN CERT/g)?.length ?? 0;
  t.equal(count(credentials!.cert), 2);
  t.ok(credentials!.cert.endsWith(cert));
});

t.test('a folder is read as a set', async (t) => {
  const made = bench(t);
  const folder = t.testdir();
  const pair = egressPair();
  put(folder, pair);
  const { snapshot, secrets } = folderOf(folder);
  const [credentials] = await made.live(snapshot, secrets);
  t.match(credentials, { mesh: 'default', cert: pair.cert, key: pair.key, trust: mesh.ca.cert, notAfter: now + 24 * HOUR });
  t.equal((await made.live(snapshot, secrets))[0], credentials, 'a reload finds the same');
  t.equal(made.told.length, 1);
});

t.test('a folder with something missing or wrong refuses the configuration, with the file', async (t) => {
  const made = bench(t);
  const folder = t.testdir();
  const cases: readonly (readonly [string, () => void, RegExp])[] = [
    ['no certificate', () => rmSync(join(folder, 'tls.crt')), /tls\.crt there is no such file$/],
    ['an empty trust file', () => writeFileSync(join(folder, 'ca.crt'), '\n'), /ca\.crt it is empty$/],
    [
      'a folder for a file',
      () => (rmSync(join(folder, 'tls.key')), mkdirSync(join(folder, 'tls.key'))),
      /tls\.key it is not a file$/,
    ],
    [
      'a key of another certificate',
      () => writeFileSync(join(folder, 'tls.key'), egressPair().key),
      /does not belong to the key in tls\.key/,
    ],
    ['no key', () => writeFileSync(join(folder, 'tls.key'), 'secret text'), /tls\.key there is no private key in it/],
    [
      'a client certificate',
      () => put(folder, mesh.client('frontend')),
      /tls\.crt the first certificate has no URI name spiffe:\/\/default\/zone-egress/,
    ],
    ['an expired one', () => put(folder, egressPair(-5_000)), /tls\.crt the certificate expired 2026-05-31T23:59:55/],
    [
      'one that is not valid yet',
      () => put(folder, egressPair(HOUR, { notBefore: now + 1_000 })),
      /valid from 2026-06-01T00:00:01/,
    ],
    [
      'a leaf as trust',
      () => put(folder, egressPair(), mesh.client('frontend').cert),
      /ca\.crt certificate 1 of 1 in it is no CA/,
    ],
    [
      'a huge file',
      () => writeFileSync(join(folder, 'ca.crt'), Buffer.alloc(1_100_000, 'a')),
      /has 1100000 bytes \(limit 1048576\)/,
    ],
  ];
  for (const [what, spoil, message] of cases) {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    put(folder, egressPair());
    spoil();
    const { snapshot, secrets } = folderOf(folder);
    const { problems, credentials } = await made.store.prepare(snapshot, secrets);
    t.match(problems.map(formatProblem), [message], what);
    t.same(credentials, []);
    t.notMatch(problems.map(formatProblem).join(), /secret text|BEGIN/, 'no secret is told');
  }
});

t.test('new files in a folder are loaded by themselves; a bad set is reported and the last good one stays', async (t) => {
  const made = bench(t);
  const folder = t.testdir();
  put(folder, egressPair());
  const { snapshot, secrets } = folderOf(folder);
  await made.live(snapshot, secrets);

  writeFileSync(join(folder, 'ca.crt'), '');
  made.clock.advance(2_000);
  while (made.problems.length === 0) await made.next();
  t.match(formatProblem(made.problems[0]!), /ca\.crt it is empty/);
  made.clock.advance(10_000);
  t.equal(made.told.length, 1, 'the old trust stays');

  const renewed = egressPair(48 * HOUR);
  put(folder, renewed);
  made.clock.advance(2_000);
  while (made.told.length < 2) await made.next();
  t.match(made.told[1], { cert: renewed.cert, key: renewed.key, trust: mesh.ca.cert, notAfter: now + 48 * HOUR });
  t.equal(made.problems.length, 1, 'the same problem is told once');
});

t.test('where the system tells of changes, a new certificate is taken at once', async (t) => {
  const made = bench(t);
  const folder = t.testdir();
  put(folder, egressPair());
  const { snapshot, secrets } = folderOf(folder);
  // The watch does not hold the process open; this does.
  const holder = createServer().listen(0, '127.0.0.1');
  t.teardown(() => holder.close());
  await made.live(snapshot, secrets);
  const renewed = egressPair(48 * HOUR);
  put(folder, renewed);
  while (made.told.at(-1)?.cert !== renewed.cert) await made.next();
  t.equal(made.clock.now(), 0, 'without a poll');
});

t.test('the symlink swap of a Kubernetes mount is noticed, also by the poll alone', async (t) => {
  const made = bench(t);
  const folder = t.testdir({ mount: {}, one: {}, two: {} });
  const mount = join(folder, 'mount');
  const renewed = egressPair(48 * HOUR);
  put(join(folder, 'one'), egressPair());
  put(join(folder, 'two'), renewed);
  // The watch on the mount gets no event for a link to another place.
  symlinkSync(join(folder, 'one'), join(folder, '..data'));
  for (const file of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(join(folder, '..data', file), join(mount, file));
  const { snapshot, secrets } = folderOf(mount);
  await made.live(snapshot, secrets);
  symlinkSync(join(folder, 'two'), join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  made.clock.advance(2_000);
  while (made.told.length < 2) await made.next();
  t.equal(made.told[1]?.cert, renewed.cert);
  t.same(made.problems, []);
});

t.test('a certificate in a folder that is not renewed is reported once, at nine tenths of its life', async (t) => {
  const made = bench(t);
  const folder = t.testdir();
  put(folder, egressPair(HOUR));
  const { snapshot, secrets } = folderOf(folder);
  await made.live(snapshot, secrets);
  made.clock.advance(0.89 * HOUR);
  t.equal(made.problems.length, 0);
  made.clock.advance(0.05 * HOUR);
  t.match(made.problems.map(formatProblem), [
    /warning: the certificate for mesh default ends 2026-06-01T01:00:00.000Z and has not been renewed/,
  ]);
});

t.test('an unreadable file keeps the old credentials', withoutRoot, async (t) => {
  const made = bench(t);
  const folder = t.testdir();
  put(folder, egressPair());
  const { snapshot, secrets } = folderOf(folder);
  await made.live(snapshot, secrets);
  chmodSync(join(folder, 'tls.key'), 0);
  made.clock.advance(2_000);
  while (made.problems.length === 0) await made.next();
  t.match(formatProblem(made.problems[0]!), /tls\.key it cannot be read: EACCES/);
  t.equal(made.told.length, 1);
});

t.test('after close nothing is handed out any more', async (t) => {
  const made = bench(t);
  const { snapshot, secrets } = issuing({ name: 'default', ca: mesh.ca, lifetimeMs: HOUR });
  const prepared = await made.store.prepare(snapshot, secrets);
  made.store.commit(prepared);
  made.store.close();
  made.store.commit(prepared);
  made.clock.advance(10 * HOUR);
  t.equal(made.told.length, 1);
});

t.test('a certificate that a control plane gives is served as it came, and the next one takes its place', async (t) => {
  const { store, told, clock } = bench(t);
  const [first, second] = [egressPair(), egressPair(48 * HOUR)];
  const one = given(first);
  const [credentials] = await store.prepare(one.snapshot, one.secrets).then((prepared) => {
    store.commit(prepared);
    return prepared.credentials;
  });
  t.equal(credentials?.cert, first.cert);
  t.equal(credentials?.trust, mesh.ca.cert);
  t.equal(credentials?.notAfter, now + 24 * HOUR);
  t.equal(told.length, 1);
  store.commit(await store.prepare(one.snapshot, one.secrets));
  t.equal(told.length, 1, 'the same again is not handed out again');
  const two = given(second);
  store.commit(await store.prepare(two.snapshot, two.secrets));
  t.equal(told[1]?.cert, second.cert);
  t.equal(told[1]?.generation, credentials?.generation, 'the trust is the same, so no client has to come again');
  t.equal(clock.timers, 0, 'nothing here renews it');
});

t.test('what is wrong with a given certificate concerns its mesh alone, and the good one before stays', async (t) => {
  const { store } = bench(t);
  const pair = egressPair();
  const good = given(pair);
  const broken: readonly [string, Config][] = [
    ['the certificate that was sent: there is no PEM certificate in it', given({ cert: 'x', key: pair.key })],
    ['the certificate that was sent does not belong to its key', given({ cert: pair.cert, key: egressPair().key })],
    ['the private key that was sent cannot be read', given({ cert: pair.cert, key: 'x' })],
    ['the CA bundle that was sent: it is empty', given(pair, '')],
  ];
  for (const [why, { snapshot, secrets }] of broken) {
    const { problems, credentials } = await store.prepare(snapshot, secrets);
    t.match(problems, [{ severity: 'warning', file: 'mesh:default', message: `mesh default is not served: ${why}` }]);
    t.same(credentials, []);
  }
  store.commit(await store.prepare(good.snapshot, good.secrets));
  const after = await store.prepare(broken[0]![1].snapshot, broken[0]![1].secrets);
  t.equal(after.problems.length, 1);
  t.equal(after.credentials[0]?.cert, pair.cert);
  const untrusted = given({ cert: 'x', key: pair.key }, other.ca.cert);
  t.same((await store.prepare(untrusted.snapshot, untrusted.secrets)).credentials, [], 'but not under another trust');
  const expired = given(mesh.issue({ uris: egressUris('default'), notBefore: now - 2 * HOUR, notAfter: now - HOUR }));
  const { credentials, problems } = await store.prepare(expired.snapshot, expired.secrets);
  t.same(problems, [], 'an expired one is told to those who connect');
  t.equal(credentials[0]?.notAfter, now - HOUR);
});

t.test(
  'a given identity whose trust domain has no trust, and a bundle that has expired, are reported and serve the rest',
  async (t) => {
    const { store } = bench(t);
    const pair = mesh.issue({ uris: ['spiffe://own.test/workload/egress'], notBefore: now - 10_000, notAfter: now + HOUR });
    const old = selfSigned({
      key: await generateKey('ec'),
      subject: meshCaSubject('old'),
      serial: 0n,
      notBefore: now - 2 * HOUR,
      notAfter: now - HOUR,
      ca: { pathLength: null },
      keyUsage: ['keyCertSign', 'cRLSign'],
    });
    const config = given(pair);
    const domains: readonly (readonly [string, string])[] = [
      ['other.test', mesh.ca.cert],
      ['old.test', old.cert],
    ];
    const trustDomains = domains.map(([name, text]) => ({ name, trust: hashOf(text) }));
    const [only] = config.snapshot.meshes.values();
    const meshes = new Map([[only!.name, { ...only!, trustDomains }]]);
    const secrets = new Map([...config.secrets, ...domains.map(([, text]) => [hashOf(text), text] as const)]);
    const prepared = await store.prepare({ ...config.snapshot, meshes }, secrets);
    const expected = [
      {
        severity: 'warning',
        message: /bundle of trust domain old\.test: every CA certificate in it expired.*until its MeshTrust has a CA/,
      },
      {
        severity: 'warning',
        message:
          /is of trust domain own\.test, and no MeshTrust trusts it \(there are those of other\.test, old\.test\).*create a MeshTrust for own\.test/,
      },
    ];
    t.match(prepared.problems, expected);
    t.match(prepared.credentials, [{ cert: pair.cert, trustDomains: [{ name: 'other.test' }] }]);
    store.commit(prepared);
    t.match((await store.prepare({ ...config.snapshot, meshes }, secrets)).problems, expected, 'as long as it is so');
  },
);
