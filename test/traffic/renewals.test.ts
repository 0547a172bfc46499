import t from 'tap';
import { meshName } from '../../src/model/names.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { Renewals } from '../../src/traffic/renewals.ts';

const mesh = meshName('default');

t.test('many sessions ask once, and go on when the certificate comes', async (t) => {
  const clock = new FakeClock();
  const asked: string[] = [];
  const renewals = new Renewals(clock, (name) => asked.push(name));
  let done = 0;
  const stops = [1, 2, 3].map(() => renewals.whenRenewed(mesh, () => done++));
  const stopOther = renewals.whenRenewed(meshName('other'), () => t.fail('it is not the one that came'));
  stops[2]!();
  renewals.renewed(mesh);
  t.equal(done, 2, 'one has stopped waiting');
  t.same(asked, ['default', 'other']);
  for (const stop of [...stops, stopOther]) stop();
  t.equal(clock.timers, 0);
  renewals.whenRenewed(mesh, () => {})();
  t.equal(asked.length, 3, 'the next time is another time');
});

t.test('where none comes, sessions wait for a moment, then not at all, and it is asked for again', async (t) => {
  const clock = new FakeClock();
  let asked = 0;
  let done = 0;
  const renewals = new Renewals(clock, () => asked++);
  const stop = renewals.whenRenewed(mesh, () => done++);
  clock.advance(1_000);
  const later = renewals.whenRenewed(mesh, () => done++);
  clock.advance(1_000);
  t.equal(done, 2, 'both are let go together');
  stop();
  later();
  renewals.whenRenewed(mesh, () => done++);
  t.equal(done, 3, 'at once');
  t.equal(asked, 1);
  clock.advance(3_000);
  const again = renewals.whenRenewed(mesh, () => done++);
  t.equal(asked, 2);
  t.equal(done, 3);
  again();
  t.equal(clock.timers, 0);
});
