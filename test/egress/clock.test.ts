import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import type { Clock } from '../../src/base/clock.ts';
import { ask, startZone } from './zone.ts';

const HOUR = 3_600_000;

/** The system's clock with a wall clock that jumps. */
function jumpingClock(): Clock & { jump(ms: number): void } {
  const system = systemClock({ keepAlive: false });
  let offset = 0;
  return { ...system, wall: () => system.wall() + offset, jump: (ms) => void (offset += ms) };
}

t.test(
  'a wall clock that jumps a day ahead or back: the next session is served, with a certificate that is good then',
  async (t) => {
    const clock = jumpingClock();
    await using zone = await startZone(t, { clock });
    const now = Date.now();
    const client = zone.mesh.issue({ notBefore: now - 100 * HOUR, notAfter: now + 100 * HOUR });
    for (const jump of [0, 25 * HOUR, -25 * HOUR, -25 * HOUR, 50 * HOUR]) {
      clock.jump(jump);
      const info = await fetch(`http://127.0.0.1:${zone.egress.adminPort}/server_info`);
      const { uptime_current_epoch: uptime } = (await info.json()) as { readonly uptime_current_epoch: string };
      t.match(uptime, /^[0-9]{1,3}s$/, 'it runs for as long as it runs');
      const sockets = await Promise.all([1, 2, 3].map(() => zone.connect('legacy{mesh=default}', client)));
      for (const socket of sockets) {
        t.equal(await ask(socket, 'ping'), 'ping');
        const shown = socket.getPeerX509Certificate();
        const wall = clock.wall();
        t.ok(Date.parse(shown!.validFrom) <= wall && wall < Date.parse(shown!.validTo), `after a jump of ${jump / HOUR} h`);
        socket.destroy();
      }
    }
  },
);

t.test('where no certificate can be made, sessions are refused with the reason', async (t) => {
  const clock = jumpingClock();
  await using zone = await startZone(t, { clock });
  // Beyond the end of the CA.
  clock.jump(20 * 365 * 24 * HOUR);
  await t.rejects(zone.connect('legacy{mesh=default}', zone.mesh.client('frontend')));
  t.match(await zone.record(() => true), { reason: 'identity-unavailable', detail: /the certificate for mesh default expired/ });
});
