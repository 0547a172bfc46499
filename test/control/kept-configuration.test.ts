// The file of the last good configuration: when it is written, and what is refused in it.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import type { Test } from 'tap';
import { keptConfiguration, MAX_KEPT_BYTES } from '../../src/control/sources/kept-configuration.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import type { AdsState, Held } from '../../src/xds/messages/ads-state.ts';
import type { KeptOwner } from '../../src/xds/stream/kept-state.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { acceptAll } from '../xds/accept-all.ts';
import type { Judge } from '../xds/accept-all.ts';
import { until } from '../egress/until.ts';

const OWNER: KeptOwner = { controlPlane: 'https://cp:5678', name: 'egress-1', mesh: '' };

function stateOf(...names: readonly string[]): AdsState {
  const held = (name: string): Held<Cluster> => ({
    name,
    resource: create(ClusterSchema, { name }),
    hash: name,
    version: `version of ${name}`,
    updatedAt: 0,
  });
  return {
    clusters: new Map(names.map((name) => [name, held(name)])),
    endpoints: new Map(),
    listeners: new Map(),
    secrets: new Map(),
    versions: { cluster: 'c-1', endpoint: '', listener: 'l-1', secret: '' },
  };
}

function keeping(t: Test, { owner = OWNER, below = 'state' }: { readonly owner?: KeptOwner; readonly below?: string } = {}) {
  const root = mkdtempSync(join(tmpdir(), 'zone-egress-kept-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const clock = new FakeClock({ wall: Date.UTC(2026, 10, 30) });
  const written: (string | null)[] = [];
  const dir = join(root, below);
  const kept = keptConfiguration({ clock, dir, owner, version: '9.9', onWritten: (problem) => void written.push(problem) });
  const open = (other: Partial<KeptOwner> = {}) =>
    keptConfiguration({ clock, dir, owner: { ...owner, ...other }, version: '9.9', onWritten: () => undefined });
  return { root, dir, clock, written, kept, open };
}

/** Keeps one state, and returns the file. */
async function withFile(t: Test) {
  const given = keeping(t);
  given.kept.keep(stateOf('a', 'b'));
  await given.kept.close();
  t.strictSame(given.written, [null]);
  const why = async (judge?: Judge): Promise<string> => {
    const read = await given.open().read(acceptAll(judge));
    return read?.kind === 'refused' ? read.why : (read?.kind ?? 'absent');
  };
  return { ...given, file: given.kept.path, why };
}

t.test('what was kept is read again, each resource with its version', async (t) => {
  const { kept, open } = keeping(t);
  t.equal(await kept.read(acceptAll()), null, 'nothing is kept yet');
  kept.keep(stateOf('a', 'b'));
  await kept.close();
  t.equal(statSync(kept.path).mode & 0o777, 0o600);
  const read = await open().read(acceptAll());
  t.match(read, { kind: 'read', savedAt: Date.UTC(2026, 10, 30), state: { versions: { cluster: 'c-1', listener: 'l-1' } } });
  const clusters = read?.kind === 'read' ? [...read.state.clusters.values()] : [];
  t.match(clusters, [
    { name: 'a', version: 'version of a' },
    { name: 'b', version: 'version of b' },
  ]);
});

t.test('many changes are one write, and an unchanged state is none', async (t) => {
  const { kept, clock, written, open } = keeping(t);
  for (let i = 0; i < 50; i++) kept.keep(stateOf(`first-${i}`));
  t.strictSame(written, [], 'not at once');
  clock.advance(1_000);
  await until('it is written', () => written.length === 1);
  const last = stateOf('last');
  for (let i = 0; i < 28; i++) {
    kept.keep(stateOf(`second-${i}`));
    clock.advance(1_000);
  }
  kept.keep(last);
  t.equal(written.length, 1, 'not again within 30 s');
  clock.advance(2_000);
  await until('it is written again', () => written.length === 2);
  kept.keep(last);
  clock.advance(100_000);
  await kept.close();
  t.strictSame(written, [null, null]);
  t.equal(clock.timers, 0);
  const read = await open().read(acceptAll());
  t.strictSame(read?.kind === 'read' ? [...read.state.clusters.keys()] : [], ['last']);
});

t.test('a write that failed is tried again, without another change', async (t) => {
  const { kept, clock, written, root } = keeping(t, { below: 'file/state' });
  writeFileSync(join(root, 'file'), '');
  kept.keep(stateOf('a'));
  clock.advance(1_000);
  await until('it failed', () => written.length === 1);
  t.match(written[0], /not a folder/);
  rmSync(join(root, 'file'));
  clock.advance(300_000);
  await until('it is written', () => written.length === 2);
  t.equal(written[1], null);
  await kept.close();
});

t.test('a file that is damaged, truncated, of another format or of no format is refused with a sentence', async (t) => {
  const { file, why } = await withFile(t);
  const good = readFileSync(file);
  const end = good.indexOf(0x0a);
  const header = JSON.parse(good.subarray(0, end).toString()) as object;
  const withHeader = (change: object): Buffer =>
    Buffer.concat([Buffer.from(`${JSON.stringify({ ...header, ...change })}\n`), good.subarray(end + 1)]);
  const flipped = Buffer.from(good);
  flipped.writeUInt8(flipped.readUInt8(good.length - 3) ^ 0x10, good.length - 3);
  for (const [what, bytes, sentence] of [
    ['a flipped bit', flipped, /^it is damaged: its checksum/],
    ['a cut end', good.subarray(0, -5), /^it is truncated: it has \d+ of \d+ bytes$/],
    ['only a line', good.subarray(0, end + 1), /^it is truncated: it has 0 of \d+ bytes$/],
    ['a cut line', good.subarray(0, 20), /^it is no kept configuration of a zone egress, or its first line is damaged$/],
    ['nothing', Buffer.alloc(0), /^it is no kept configuration/],
    ['more at the end', Buffer.concat([good, Buffer.from('more')]), /^it is damaged/],
    ['text', Buffer.from('hello\n'), /^it is no kept configuration/],
    ['null', Buffer.from('null\n'), /^it is no kept configuration/],
    ['zeros', Buffer.alloc(100_000), /^it is no kept configuration/],
    [
      'another format',
      withHeader({ zoneEgressState: 2, writtenBy: '10' }),
      /^it has format 2, written by version "10"; this version reads format 1$/,
    ],
    ['lengths that are none', withHeader({ lengths: [1, -1, 0, 0] }), /^its first line is damaged$/],
    ['a time that is none', withHeader({ savedAt: 1e300 }), /^its first line is damaged$/],
    [
      'lengths that do not fit',
      withHeader({ lengths: [1, 1, 1, good.length - end - 4] }),
      /^its part with resources of the type cluster is damaged$/,
    ],
  ] as const) {
    writeFileSync(file, bytes);
    t.match(await why(), sentence, what);
  }
  writeFileSync(file, good);
  t.equal(await why(), 'read');
  t.equal(
    await why((_, name) => (name === 'b' ? 'it is too new' : undefined)),
    'this version refuses cluster b in it: it is too new',
  );
});

t.test('a file of another egress or of another control plane is refused', async (t) => {
  const { file, kept, open } = await withFile(t);
  for (const [other, sentence] of [
    [
      { controlPlane: 'https://other:5678' },
      /^it was kept for the control plane "https:\/\/cp:5678", and this egress has "https:\/\/other:5678"$/,
    ],
    [{ name: 'egress-2' }, /^it was kept for the name "egress-1", and this egress has "egress-2"$/],
    [{ mesh: 'default' }, /^it was kept for the mesh "", and this egress has "default"$/],
  ] as const) {
    const another = open(other);
    if (another.path !== file) writeFileSync(another.path, readFileSync(file), { mode: 0o600 });
    t.match(await another.read(acceptAll()), { kind: 'refused', why: sentence });
  }
  t.equal((await kept.read(acceptAll()))?.kind, 'read');
});

t.test('each proxy has a file of its own, also with names that are paths', async (t) => {
  const paths = [
    { name: 'a', mesh: '' },
    { name: 'a', mesh: 'b' },
    { name: 'a@b', mesh: '' },
    { name: '../../etc/passwd', mesh: '' },
    { name: '..', mesh: '..' },
  ].map((owner) => {
    const { kept, dir } = keeping(t, { owner: { ...OWNER, ...owner } });
    t.match(kept.path.slice(dir.length), /^\/[^/]+\.kept$/);
    return kept.path.slice(dir.length);
  });
  t.equal(new Set(paths).size, paths.length);
});

t.test('a file that others may read, a link, a folder, a FIFO and a file that is too large are refused', async (t) => {
  const { file, why, root, dir } = await withFile(t);
  for (const mode of [0o604, 0o644, 0o602, 0o666]) {
    chmodSync(file, mode);
    t.match(
      await why(),
      /^it holds private keys, and every user may read or write it \(mode 0\d+\): allowed is 0600/,
      mode.toString(8),
    );
  }
  chmodSync(file, 0o660);
  t.equal(await why(), 'read', 'a group may be the owner: Kubernetes does that with fsGroup');
  const elsewhere = join(root, 'elsewhere');
  renameSync(file, elsewhere);
  symlinkSync(elsewhere, file);
  t.equal(await why(), 'it is a symbolic link');
  rmSync(file);
  mkdirSync(file);
  t.match(await why(), /no regular file/);
  rmSync(file, { recursive: true });
  execFileSync('mkfifo', ['-m', '600', file]);
  t.match(await why(), /no regular file/);
  rmSync(file);
  writeFileSync(file, '', { mode: 0o600 });
  truncateSync(file, MAX_KEPT_BYTES + 1);
  t.match(await why(), /^it has at least \d+ bytes; allowed are \d+$/);
  rmSync(file);
  renameSync(elsewhere, file);
  chmodSync(dir, 0o777);
  t.match(await why(), /^every user may write in the folder .* \(mode 0777\): take that right away/);
});

t.test('a write replaces what lies there, never what a link leads to, and sweeps up after a crash', async (t) => {
  const { kept, dir, root, written, open } = keeping(t);
  mkdirSync(dir, { mode: 0o700 });
  const precious = join(root, 'precious');
  writeFileSync(precious, 'precious');
  symlinkSync(precious, kept.path);
  const [old, fresh] = ['0123456789abcdef', 'fedcba9876543210'].map((name) => `${kept.path}.${name}.new`) as [string, string];
  for (const left of [old, fresh]) writeFileSync(left, '');
  utimesSync(old, 1, 1);
  kept.keep(stateOf('a'));
  await kept.close();
  t.strictSame(written, [null]);
  t.equal(readFileSync(precious, 'utf8'), 'precious');
  t.equal((await open().read(acceptAll()))?.kind, 'read');
  t.notOk(existsSync(old), 'what a crash left is removed');
  t.ok(existsSync(fresh), 'what another process writes at this moment is not');
  t.equal(readdirSync(dir).length, 2);
});

t.test('nothing is written into a folder where others may write', async (t) => {
  const { kept, dir, written } = keeping(t);
  mkdirSync(dir);
  chmodSync(dir, 0o1777);
  kept.keep(stateOf('a'));
  await kept.close();
  t.match(written, [/^every user may write in the folder/]);
  t.strictSame(readdirSync(dir), []);
});
