// Restarts three egresses one after another under load. The control plane removes a replica that
// leaves from its list before the replica stops accepting.
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { Egress } from '../../src/egress.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { joining } from './controlled-zone.ts';
import { FAR_MS, until } from './until.ts';
import { ask, gone } from './zone.ts';

t.test('a rolling restart of three egresses under load loses no connection', async (t) => {
  const mesh = await createTestMesh('default', { keyType: 'ec' });
  await using service = await createFakeExternalService();
  await using cp = await createFakeControlPlane({ deregistrationDelayMs: 100 });
  const token = cp.tokens.issue();
  const external = { legacy: { address: '127.0.0.1', port: service.port, allow: ['frontend'] } };

  async function start(name: string, port: number): Promise<Egress> {
    const networking = { address: '127.0.0.1', port };
    const resource = JSON.stringify({ type: 'ZoneEgress', name, zone: 'zone-1', networking });
    cp.set(fakeConfiguration({ ...networking, meshes: [mesh], external }), { of: `.${name}` });
    return startEgress({ admin: false, controlPlane: joining(cp, token, { name, resource }) });
  }

  const places = new Map<string, number>();
  for (const name of ['egress-1', 'egress-2', 'egress-3']) places.set(name, await freePort());
  const running = new Map<string, Egress>();
  t.teardown(() => Promise.all([...running.values()].map((egress) => egress.close())));
  for (const [name, port] of places) running.set(name, await start(name, port));

  /** The names that a sidecar connects to: the control plane's list, without replicas that start. */
  const view = (): readonly string[] => cp.proxies.map((id) => id.slice(1)).filter((name) => running.has(name));

  async function session(name: string): Promise<TLSSocket> {
    const to = { host: '127.0.0.1', port: places.get(name) ?? 0, servername: 'legacy{mesh=default}' };
    const socket = connectTls({ ...to, ...mesh.client('frontend'), rejectUnauthorized: false });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  }

  /** The connections of each sidecar that have ended. */
  const rounds = [0, 0, 0];
  let over = false;
  const lost: string[] = [];
  const sidecar = async (of: number): Promise<void> => {
    while (!over) {
      const names = view();
      const name = names[(rounds[of]! + of) % names.length] ?? 'nowhere';
      try {
        const socket = await session(name);
        if ((await ask(socket, 'ping')) !== 'ping') throw new Error('another answer');
        socket.end();
        await gone(socket);
      } catch (error) {
        lost.push(`${name}: ${String(error)}`);
      }
      rounds[of]!++;
    }
  };
  t.teardown(() => void (over = true));
  const sidecars = rounds.map((_, of) => sidecar(of));
  /** Waits until every connection that began before has ended. */
  const pass = async (): Promise<void> => {
    const before = [...rounds];
    await until('each sidecar has connected again', () => rounds.every((count, of) => count > before[of]!));
  };

  for (const [name, egress] of [...running]) {
    await pass();
    const long = await session(name);
    const { done, hurry } = egress.drain(FAR_MS);
    t.ok(view().includes(name), 'for a moment sidecars still come');
    await until('it is out of the list', () => !view().includes(name));
    await pass();
    t.equal(await ask(long, 'long'), 'long', 'a session lives through');
    const late = await session(name);
    t.equal(await ask(late, 'late'), 'late', 'it accepts although it is out of the list');
    for (const socket of [long, late]) {
      socket.end();
      await gone(socket);
    }
    hurry();
    t.equal(await done, 'clean');
    await egress.close();
    running.delete(name);
    const next = await start(name, places.get(name) ?? 0);
    running.set(name, next);
    t.ok(view().includes(name), 'the next one joins under the same name at once');
  }
  await pass();
  over = true;
  await Promise.all(sidecars);
  t.strictSame(lost, []);
});
