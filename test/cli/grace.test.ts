// The drain time and the time that a supervisor leaves for it.
import t from 'tap';
import { containerGrace, drainPlan } from '../../src/cli/grace.ts';
import { parseCommand } from '../../src/cli/parse.ts';

const docker = (path: string): boolean => path === '/.dockerenv';
const podman = (path: string): boolean => path === '/run/.containerenv';
const nowhere = (): boolean => false;
const IN_A_POD = { KUBERNETES_SERVICE_HOST: '10.0.0.1' };

t.test('only the first process of a container knows its grace', async (t) => {
  t.match(containerGrace({}, 1, docker), { ms: 10_000, of: 'docker' });
  t.match(containerGrace({}, 1, podman), { ms: 10_000 });
  t.match(containerGrace(IN_A_POD, 1, docker), { ms: 30_000, of: 'Kubernetes' });
  t.equal(containerGrace({}, 1, nowhere), null);
  t.equal(containerGrace(IN_A_POD, 7, docker), null);
});

t.test('a default drain time fits the grace, and one that was set is kept with a warning', async (t) => {
  const byDefault = { ms: 30_000, isDefault: true };
  const set = { ms: 30_000, isDefault: false };
  const [inDocker, inPod] = [containerGrace({}, 1, docker), containerGrace(IN_A_POD, 1, docker)];
  const told = (ms: number) => ({ ms, of: 'the supervisor (--grace-period)', assumed: false });
  t.strictSame(drainPlan(byDefault, null), { drainTimeMs: 30_000, warning: null });
  t.strictSame(drainPlan(byDefault, inDocker), { drainTimeMs: 8_000, warning: null });
  t.strictSame(drainPlan(byDefault, inPod), { drainTimeMs: 28_000, warning: null });
  t.strictSame(drainPlan(byDefault, told(60_000)), { drainTimeMs: 30_000, warning: null });
  t.strictSame(drainPlan(byDefault, told(1_000)), { drainTimeMs: 0, warning: null });
  t.strictSame(drainPlan(set, told(32_000)), { drainTimeMs: 30_000, warning: null });
  t.match(drainPlan(set, told(31_000)), {
    drainTimeMs: 30_000,
    warning: /^the drain time of 30 s does not fit: the supervisor \(--grace-period\) kills the process 31 s after SIGTERM; /,
  });
  t.match(drainPlan(set, inDocker), {
    drainTimeMs: 30_000,
    warning: /docker kills the process 10 s after SIGTERM, unless --stop-timeout/,
  });
  t.strictSame(drainPlan(set, inPod), { drainTimeMs: 30_000, warning: null }, 'a Pod has a figure of its own');
});

t.test('run tells a drain time that was set from the default', async (t) => {
  t.match(parseCommand(['run', '--resources=z'], {}), { parsed: { drainTimeIsDefault: true, graceMs: null } });
  t.match(parseCommand(['run', '--resources=z', '--drain-time=30s', '--grace-period=10s'], {}), {
    parsed: { drainTimeIsDefault: false, graceMs: 10_000 },
  });
  t.match(parseCommand(['run', '--resources=z'], { KUMA_DATAPLANE_DRAIN_TIME: '30s' }), {
    parsed: { drainTimeIsDefault: false },
  });
});
