// The drain time and the time that a supervisor leaves for it.
import t from 'tap';
import { containerGrace, drainPlan } from '../../src/cli/grace.ts';
import { parseCommand } from '../../src/cli/parse.ts';
import { plannedDrain } from '../../src/cli/run.ts';
import type { RunOptions } from '../../src/cli/run-options.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

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

const asked = { drainTimeMs: 30_000, graceMs: null, leaves: false };
const byDefault = { ...asked, drainTimeIsDefault: true };
const set = { ...asked, drainTimeIsDefault: false };
const [inDocker, inPod] = [containerGrace({}, 1, docker), containerGrace(IN_A_POD, 1, docker)];

t.test('a default drain time fits the grace, and one that was set is kept with a warning', async (t) => {
  const same = { drainTimeMs: 30_000, shortenedFor: null, warnings: [] };
  t.strictSame(drainPlan(byDefault, null), same);
  t.strictSame(drainPlan(byDefault, inDocker), { drainTimeMs: 8_000, shortenedFor: inDocker, warnings: [] });
  t.strictSame(drainPlan(byDefault, inPod), { drainTimeMs: 28_000, shortenedFor: inPod, warnings: [] });
  t.strictSame(drainPlan({ ...byDefault, graceMs: 60_000 }, inDocker), same, 'the operator knows better');
  t.match(drainPlan({ ...byDefault, graceMs: 1_000 }, null), { drainTimeMs: 0, shortenedFor: { ms: 1_000 } });
  t.strictSame(drainPlan({ ...set, graceMs: 32_000 }, null), same);
  t.match(drainPlan({ ...set, graceMs: 31_000 }, null), {
    drainTimeMs: 30_000,
    warnings: [/^the drain time of 30 s does not fit: the supervisor \(--grace-period\) kills the process 31 s after SIGTERM; /],
  });
  t.match(drainPlan(set, inDocker), {
    drainTimeMs: 30_000,
    warnings: [/docker kills the process 10 s after SIGTERM, unless --stop-timeout/],
  });
  t.strictSame(drainPlan(set, inPod), same, 'a Pod has a figure of its own');
});

t.test('a drain time below the time of a deregistration is warned of, where the end of the stream is one', async (t) => {
  t.strictSame(drainPlan({ ...byDefault, leaves: true }, null).warnings, []);
  t.strictSame(drainPlan({ ...set, leaves: true, drainTimeMs: 15_000 }, null).warnings, []);
  t.match(drainPlan({ ...set, leaves: true, drainTimeMs: 14_900 }, null).warnings, [
    /^the drain time of 14\.9 s ends before sidecars .*; set --drain-time to 15 s or more$/,
  ]);
  t.match(drainPlan({ ...byDefault, leaves: true }, inDocker).warnings, [
    /^the drain time of 8 s .*it follows from the 10 s of docker: let the supervisor wait for 17 s or more/,
  ]);
  t.equal(drainPlan({ ...set, leaves: true, drainTimeMs: 14_000 }, inDocker).warnings.length, 2, 'too long and too short');
  t.strictSame(drainPlan({ ...set, drainTimeMs: 1_000 }, null).warnings, [], 'not where nothing is deregistered');
});

/** Returns what `run` would warn of. */
function warned(argv: readonly string[], inheritedSocket: Terminal['inheritedSocket'] = () => null): readonly string[] {
  const { parsed } = parseCommand(['run', ...argv], {}) as { parsed: RunOptions };
  return plannedDrain(parsed, { inheritedSocket, grace: () => null } as unknown as Terminal).warnings;
}

t.test('only an egress that brings its resource, and alone listens at its place, is warned', async (t) => {
  const short = ['--drain-time=5s', '--cp-address=https://cp:5678'];
  for (const own of ['--dataplane-file=a.yaml', '--dataplane=x', '--dataplane-file=-'])
    t.equal(warned([...short, own]).length, 1, own);
  t.strictSame(warned([...short, '--name=egress-1']), []);
  t.strictSame(warned(['--drain-time=5s', '--resources=z']), []);
  t.strictSame(
    warned([...short, '--dataplane-file=a.yaml'], () => ({ fd: 3 })),
    [],
    'the next process takes over',
  );
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
