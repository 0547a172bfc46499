// A client whose SPIFFE ids are of a trust domain that is not named like its mesh: `explain` answers
// for it what the egress does, of a running one and of a folder, by its ids and by its certificate.
import { writeFileSync } from 'node:fs';
import t from 'tap';
import type { Trace } from '../../src/explain/trace.ts';
import { runCommand } from '../cli/running.ts';
import { startScopedZone } from './scoped-zone.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';

t.test('explain takes a SPIFFE id of a trust domain for a client of the mesh that trusts it', async (t) => {
  const dir = t.testdir({ resources: {} });
  const texts: string[] = [];
  await using zone = await startScopedZone(t, {
    meshes: ['mesh-a', 'mesh-b'],
    admin: { port: 0 },
    documents(_, usual) {
      texts.push(...usual);
      return usual;
    },
  });
  for (const [i, text] of texts.entries()) writeFileSync(`${dir}/resources/${i}.yaml`, text);
  const [mesh, other] = [zone.meshes[0]!, zone.meshes[1]!];
  const against = [
    ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`],
    ['--resources', `${dir}/resources`, '--zone', 'zone-1'],
  ];
  const cases = [
    { client: mesh.client('frontend'), id: `spiffe://${mesh.domain}/workload/frontend`, reason: null },
    { client: mesh.client('batch'), id: `spiffe://${mesh.domain}/workload/batch`, reason: 'denied' },
    { client: other.client('frontend'), id: `spiffe://${other.domain}/workload/frontend`, reason: 'wrong-mesh' },
    // A trust domain with the name of the mesh is another one.
    { client: null, id: 'spiffe://mesh-a/workload/frontend', reason: 'wrong-mesh' },
  ] as const;
  for (const [i, { client, id, reason }] of cases.entries()) {
    if (client !== null) {
      const before = zone.records.length;
      const connected = zone.connect(mesh.sni, client);
      if (reason === null) {
        const socket = await connected;
        t.equal(await ask(socket, 'ping'), 'ping', id);
        socket.end();
        await gone(socket);
      } else await connected.then(gone, () => undefined);
      await until('it is recorded', () => zone.records.length > before);
      t.equal(zone.records.at(-1)?.reason, reason ?? 'closed', `traffic: ${id}`);
      writeFileSync(`${dir}/${i}.pem`, client.cert);
    }
    const who = [['--from', id], ...(client === null ? [] : [['--cert', `${dir}/${i}.pem`]])];
    for (const from of who) {
      for (const to of against) {
        const { code, out, err } = await runCommand('explain', '--sni', mesh.sni, ...from, ...to, '-o', 'json');
        const name = `${from.join(' ')} ${to[0]}`;
        t.equal(code, reason === null ? 0 : 3, `${name}: ${err}`);
        t.match(
          JSON.parse(out) as Trace,
          { reason, endsAt: reason === null ? null : reason === 'denied' ? 'permission' : 'identity' },
          name,
        );
      }
    }
  }
  const help = await (await fetch(`http://127.0.0.1:${zone.egress.adminPort}/`)).text();
  t.match(help, /\/explain .*&method=GET&path=\/x&header=name:value/);
});
