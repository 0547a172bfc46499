import t from 'tap';
import type { Problem } from '../../src/base/problem.ts';
import { ConfigLoop } from '../../src/control/config-loop.ts';
import type { LoadResult } from '../../src/control/config-loop.ts';
import type { Compiled } from '../../src/model/compiled.ts';
import { meshName, serverName } from '../../src/model/names.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

const BAD: Problem = { severity: 'error', file: 'mesh.yaml', line: 3, column: 5, field: 'mtls', message: 'cannot be' };

function compiled(version: string): Compiled {
  return {
    kind: 'compiled',
    snapshot: { ...EMPTY_SNAPSHOT, version },
    secrets: new Map(),
    listener: { name: 'egress', address: '', port: 10_002, adminPort: 9_901 },
    problems: [],
    origins: new Map(),
  };
}

/** Makes a loop whose source answers when the test decides. */
function loopOf(
  options: {
    readonly inPieces?: true;
    readonly clock?: FakeClock;
    readonly credentials?: () => readonly Problem[];
    readonly goLive?: () => Promise<void>;
  } = {},
) {
  const open: ((answer: Compiled | Error) => void)[] = [];
  const log: string[] = [];
  let changed: (() => void) | null = null;
  const loop = new ConfigLoop({
    clock: options.clock ?? new FakeClock(),
    source: {
      ...(options.inPieces === undefined ? {} : { behaviour: { inPieces: options.inPieces } }),
      load: () =>
        new Promise((resolve, reject) => {
          log.push('load');
          open.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
        }),
      watch(listener) {
        changed = listener;
        return () => void (changed = null);
      },
    },
    store: {
      prepare: () => Promise.resolve({ problems: options.credentials?.() ?? [], credentials: [] }),
      commit: () => void log.push('commit'),
    },
    async goLive({ snapshot }) {
      log.push(`live ${snapshot.version}`);
      await options.goLive?.();
    },
    onSilence: (forMs) => void log.push(`silent ${forMs}`),
    onLoad: ({ kind }: LoadResult) => void log.push(kind === 'live' ? 'loaded' : 'rejected'),
  });
  return {
    loop,
    log,
    underWay: () => open.length,
    /** Answers the running load, once there is one. */
    answer: async (outcome: Compiled | Error): Promise<void> => {
      while (open.length === 0) await new Promise((resolve) => setImmediate(resolve));
      open.shift()?.(outcome);
    },
    change: () => changed?.(),
    watched: () => changed !== null,
  };
}

t.test('a good configuration goes live before its certificates are kept, and is the one that is live', async (t) => {
  const { loop, log, answer } = loopOf();
  t.equal(loop.live, null);
  const load = loop.load();
  await answer(compiled('a'));
  t.match(await load, { kind: 'live', changed: true });
  t.strictSame(log, ['load', 'live a', 'commit', 'loaded']);
  t.equal(loop.live?.snapshot.version, 'a');
  const again = loop.load();
  await answer(compiled('a'));
  t.match(await again, { kind: 'live', changed: false }, 'the same again is no change');
});

t.test('there are never two loads at once; however many ask during one, there is one more after it', async (t) => {
  const { loop, log, answer, underWay } = loopOf();
  const first = loop.load();
  const asked = [loop.load(), loop.load(), loop.load()];
  t.equal(underWay(), 1);
  await answer(compiled('a'));
  t.match(await first, { config: { snapshot: { version: 'a' } } });
  await answer(compiled('b'));
  for (const load of asked)
    t.match(await load, { config: { snapshot: { version: 'b' } } }, 'who asked later sees what was there later');
  t.equal(log.filter((line) => line === 'load').length, 2);
  t.equal(underWay(), 0);
});

t.test('who asks during the second load gets a third', async (t) => {
  const { loop, answer, underWay } = loopOf();
  const first = loop.load();
  const second = loop.load();
  await answer(compiled('a'));
  await first;
  while (underWay() === 0) await new Promise((resolve) => setImmediate(resolve));
  const third = loop.load();
  await answer(compiled('b'));
  t.match(await second, { config: { snapshot: { version: 'b' } } });
  await answer(compiled('c'));
  t.match(await third, { config: { snapshot: { version: 'c' } } });
});

t.test('a rejected load keeps the last good one: by its files, by its certificates, or because of a bug', async (t) => {
  let credentials: readonly Problem[] = [];
  let broken = false;
  const { loop, log, answer } = loopOf({
    credentials: () => credentials,
    goLive: () => (broken ? Promise.reject(new Error('no room')) : Promise.resolve()),
  });
  const load = async (what: Compiled | Error): Promise<LoadResult> => {
    const result = loop.load();
    await answer(what);
    return result;
  };
  await load(compiled('good'));
  const commits = (): number => log.filter((line) => line === 'commit').length;

  t.match(await load({ kind: 'invalid', problems: [BAD] }), { kind: 'rejected', problems: [BAD] });
  credentials = [BAD];
  t.match(await load(compiled('without a certificate')), { kind: 'rejected', problems: [BAD] });
  credentials = [];
  t.match(await load(new Error('a bug')), {
    kind: 'rejected',
    problems: [{ severity: 'error', message: /^the source of the configuration failed: .*a bug/ }],
  });
  broken = true;
  t.match(await load(compiled('too large')), { kind: 'rejected', problems: [{ message: /no room/ }] });
  broken = false;
  t.equal(loop.live?.snapshot.version, 'good');
  t.equal(commits(), 1);

  t.match(await load(compiled('next')), { kind: 'live', changed: true }, 'the next good one applies');
  t.equal(loop.live?.snapshot.version, 'next');
});

t.test('warnings about certificates do not keep a configuration from going live', async (t) => {
  const { loop, answer } = loopOf({ credentials: () => [{ ...BAD, severity: 'warning' }] });
  const load = loop.load();
  await answer(compiled('a'));
  t.match(await load, { kind: 'live', problems: [{ severity: 'warning' }] });
});

t.test('a change that is seen is loaded, until the loop is closed', async (t) => {
  const { loop, answer, change, underWay, watched } = loopOf();
  loop.watch();
  change();
  t.equal(underWay(), 1);
  await answer(compiled('a'));
  const settled = loop.load();
  await answer(compiled('a'));
  await settled;
  loop.close();
  t.equal(watched(), false);
});

const NOBODYS = serverName('api{mesh=default}');
const withoutCluster: Snapshot = {
  ...EMPTY_SNAPSHOT,
  version: 'broken',
  routes: new Map([
    [
      NOBODYS,
      {
        kind: 'passthrough',
        serverName: NOBODYS,
        mesh: meshName('default'),
        destination: 'api',
        cluster: 'default:api',
        subset: {},
      },
    ],
  ]),
};

t.test(
  'what must not be served never goes live, although it compiled: the last good one stays, and the place is told',
  async (t) => {
    const { loop, log, answer } = loopOf();
    const good = loop.load();
    await answer(compiled('good'));
    await good;
    const load = loop.load();
    const origins = new Map([[`route:${NOBODYS}`, { file: 'zone.yaml', line: 7, column: 1 }]]);
    await answer({ ...(compiled('') as Extract<Compiled, { kind: 'compiled' }>), snapshot: withoutCluster, origins });
    t.match(await load, {
      kind: 'rejected',
      broken: ['cluster'],
      problems: [
        {
          severity: 'error',
          file: 'zone.yaml',
          line: 7,
          field: `route:${NOBODYS}`,
          message: /default:api is not there.*invariant cluster/,
        },
      ],
    });
    t.equal(loop.live?.snapshot.version, 'good');
    t.notOk(log.includes('live broken'));
  },
);

t.test('what a control plane has not sent yet is a warning, and the rest goes live', async (t) => {
  const { loop, answer } = loopOf({ inPieces: true });
  const load = loop.load();
  await answer({ ...(compiled('') as Extract<Compiled, { kind: 'compiled' }>), snapshot: withoutCluster });
  t.match(await load, {
    kind: 'live',
    problems: [{ severity: 'warning', file: 'control plane', message: /connections are refused until that comes \(route:api/ }],
  });
  const crossing = {
    ...withoutCluster,
    routes: new Map([...withoutCluster.routes].map(([, route]) => [serverName('x'), route])),
  };
  const next = loop.load();
  await answer({ ...(compiled('') as Extract<Compiled, { kind: 'compiled' }>), snapshot: crossing });
  t.match(await next, { kind: 'rejected', broken: ['name'] }, 'what is a mistake stays one');
});

t.test('a load without an answer is logged once, after half a minute; one with an answer is not', async (t) => {
  const clock = new FakeClock();
  const { loop, log, answer } = loopOf({ clock });
  const quick = loop.load();
  await answer(compiled('a'));
  await quick;
  clock.advance(60_000);
  t.notOk(log.some((line) => line.startsWith('silent')));
  const load = loop.load();
  clock.advance(29_999);
  t.notOk(log.some((line) => line.startsWith('silent')));
  clock.advance(90_000);
  t.strictSame(
    log.filter((line) => line.startsWith('silent')),
    ['silent 30000'],
  );
  await answer(compiled('b'));
  t.match(await load, { kind: 'live' }, 'its answer still counts');
});

t.test('a close answers what is asked, asks the source nothing more, and drops what comes late', async (t) => {
  const { loop, log, answer, underWay } = loopOf();
  const good = loop.load();
  await answer(compiled('a'));
  await good;
  const [first, second] = [loop.load(), loop.load()];
  loop.close();
  loop.close();
  for (const load of [first, second, loop.load()])
    t.match(await load, { kind: 'rejected', problems: [{ severity: 'error', message: /the egress is closed/ }] });
  t.equal(underWay(), 1, 'only the load that was under way');
  const lines = [...log];
  await answer(compiled('late'));
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(log, lines, 'it neither goes live nor is it told');
  t.equal(loop.live?.snapshot.version, 'a');
});
