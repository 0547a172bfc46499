import t from 'tap';
import { Listening } from '../../src/control/listening.ts';
import type { ListenerConfig } from '../../src/model/compiled.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

const AT: ListenerConfig = { name: 'egress', address: '127.0.0.1', port: 10_002, adminPort: 9_901 };
const GONE: ListenerConfig = { ...AT, absent: true };

function setUp(follows: boolean) {
  const clock = new FakeClock();
  const done: string[] = [];
  const taken = new Set<number>();
  const listening = new Listening({
    clock,
    workers: {
      listen(address, port) {
        done.push(`listen ${address}:${port}`);
        return taken.has(port) ? Promise.reject(new Error('it is taken')) : Promise.resolve(port);
      },
      close() {
        done.push('close');
        return Promise.resolve();
      },
    },
    follows,
    onChange: (at) => void done.push(at === null ? 'nothing listens' : `open at ${at.port}`),
    onFailure: (error) => void done.push(error.message),
  });
  return { clock, listening, taken, did: () => done.splice(0) };
}

t.test('a control plane takes the listener away, brings it back and moves it', async (t) => {
  const { listening, did } = setUp(true);
  await listening.open(GONE);
  t.same(did(), [], 'it starts without one');
  t.equal(listening.at, null);
  await listening.follow(AT);
  t.same(did(), ['listen 127.0.0.1:10002', 'open at 10002']);
  await listening.follow({ ...AT });
  t.same(did(), [], 'what stays is left alone');
  await listening.follow({ ...AT, port: 10_003 });
  t.same(did(), ['nothing listens', 'close', 'listen 127.0.0.1:10003', 'open at 10003']);
  await listening.follow(GONE);
  t.same(did(), ['nothing listens', 'close']);
  await listening.follow(GONE);
  t.same(did(), []);
  t.same(listening.unmet(AT), [], 'nothing is left undone');
});

t.test(
  'a listener of a control plane that cannot be opened is said once and tried again, until it can or another is wanted',
  async (t) => {
    const { clock, listening, taken, did } = setUp(true);
    const retry = async (): Promise<void> => {
      clock.advance(2_000);
      await new Promise(setImmediate);
    };
    taken.add(10_002);
    t.notOk(listening.isAbsent, 'before the first configuration nothing is known');
    await listening.open(AT);
    t.same(did(), ['listen 127.0.0.1:10002', 'it is taken'], 'the first one too');
    t.notOk(listening.isAbsent);
    await retry();
    t.same(did(), ['listen 127.0.0.1:10002'], 'the same is not said again');
    taken.clear();
    await retry();
    t.same(did(), ['listen 127.0.0.1:10002', 'open at 10002']);
    t.notOk(listening.isAbsent);
    taken.add(10_004);
    await listening.follow({ ...AT, port: 10_004 });
    await listening.follow(GONE);
    did();
    clock.advance(10_000);
    await new Promise(setImmediate);
    t.same(did(), [], 'it is not wanted any more');
    t.ok(listening.isAbsent);
  },
);

t.test('changes come one after another, also where they meet a retry', async (t) => {
  const { clock, listening, taken, did } = setUp(true);
  taken.add(10_002);
  await listening.open(AT);
  taken.clear();
  did();
  clock.advance(2_000);
  await listening.follow({ ...AT, port: 10_003 });
  t.same(did(), [
    'listen 127.0.0.1:10002',
    'open at 10002',
    'nothing listens',
    'close',
    'listen 127.0.0.1:10003',
    'open at 10003',
  ]);
});

t.test('the listener of a folder is opened once, and a change of it is reported', async (t) => {
  const { listening, taken, did } = setUp(false);
  taken.add(10_002);
  await t.rejects(listening.open(AT), /taken/);
  taken.clear();
  await listening.open(AT);
  did();
  const moved = { ...AT, port: 10_003, adminPort: 9_902 };
  await listening.follow(moved);
  t.same(did(), []);
  t.same(
    listening.unmet(moved).map(({ field, message }) => `${field}: ${message}`),
    [
      'networking.port: changed from 10002 to 10003: needs a restart, the egress still listens where it did',
      'networking.admin.port: changed from 9901 to 9902: needs a restart, the egress still listens where it did',
    ],
  );
});

t.test('what has ended opens nothing', async (t) => {
  const { listening, did } = setUp(true);
  await listening.open(GONE);
  listening.end();
  await listening.follow(AT);
  t.same(did(), []);
});
