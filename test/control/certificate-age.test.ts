import t from 'tap';
import type { Problem } from '../../src/base/problem.ts';
import { watchCertificateAge } from '../../src/control/certificate-age.ts';
import { contentHash, meshName } from '../../src/model/names.ts';
import type { MeshCredentials } from '../../src/model/credentials.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

const HOUR = 3_600_000;

t.test('a certificate that the control plane does not renew is reported before it ends, and when it has ended', async (t) => {
  const clock = new FakeClock();
  const start = clock.wall();
  const one = (notBefore: number): MeshCredentials => {
    const mesh = meshName('mesh-b (MeshIdentity)');
    return { mesh, trust: '', generation: contentHash(''), cert: '', key: '', notBefore, notAfter: notBefore + 10 * HOUR };
  };
  let credentials = [one(start)];
  const told: Problem[] = [];
  const age = watchCertificateAge({ clock, credentials: () => credentials, onProblem: (problem) => void told.push(problem) });
  clock.advance(8.9 * HOUR);
  t.same([told, age.problems()], [[], []], 'it has been renewed by then, or is late');
  clock.advance(0.2 * HOUR);
  t.match(told, [
    { severity: 'warning', message: /mesh mesh-b \(MeshIdentity\) ends .*has not sent a new one.*check that there is a stream/ },
  ]);
  t.equal(age.problems().length, 1);
  clock.advance(0.5 * HOUR);
  t.equal(told.length, 1, 'it is said once');
  clock.advance(HOUR);
  t.match(told[1], { message: /expired .*refused with identity-unavailable until/ });
  credentials = [one(clock.wall())];
  t.same(age.problems(), [], 'a new one ends it');
  clock.advance(HOUR);
  t.equal(told.length, 2);
  age.close();
  t.equal(clock.timers, 0);
});
