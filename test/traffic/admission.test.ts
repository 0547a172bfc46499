import { Socket } from 'node:net';
import t from 'tap';
import { DEFAULT_TRAFFIC_SETTINGS } from '../../src/model/settings.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { Admission } from '../../src/traffic/admission.ts';
import { Limits, limitsMemory } from '../../src/traffic/limits.ts';
import type { Unproven } from '../../src/traffic/unproven.ts';

t.test('one session makes room for one, also while that of another data side has not left its place', async (t) => {
  const settings = { ...DEFAULT_TRAFFIC_SETTINGS, maxSessions: 3, maxDescriptors: 0 };
  const memory = limitsMemory();
  const [mine, other] = [new Limits(memory, settings, 0), new Limits(memory, settings, 1)];
  for (const limits of [mine, mine, other]) t.equal(limits.enterSession('192.0.2.1'), null);
  // The other data side lets one in whose predecessor is about to end.
  other.forceSession('192.0.2.1');
  t.equal(mine.surplusSessions, 1);
  let ended = 0;
  const unproven = { size: 2, makeRoom: () => ++ended > 0 } as unknown as Unproven;
  const admission = new Admission({ clock: new FakeClock(), settings, limits: mine, unproven });
  t.equal(admission.admit(new Socket(), '192.0.2.1'), null);
  t.equal(ended, 1);
  admission.giveBack();
  t.equal(ended, 1, 'nothing is given back where no data side has a share of its own');
});
