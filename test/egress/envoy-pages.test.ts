/**
 * Tests that an egress configured by files reports its sessions in Envoy's form too, on its own
 * admin port.
 */
import t from 'tap';
import { ask, CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

async function page({ egress }: Zone, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${egress.adminPort}${path}`);
  return { status: response.status, body: await response.text() };
}

for (const concurrency of CONCURRENCIES) {
  t.test(`sessions are shown while they are open and after they ended, with ${concurrency} data side(s)`, async (t) => {
    await using zone = await startZone(t, { concurrency });
    const { mesh } = zone;
    const stats = async (): Promise<readonly string[]> => (await page(zone, '/stats')).body.split('\n');
    const before = (await stats()).filter((line) => /[cr][xq]_total: [1-9]/.test(line));
    t.same(before, []);

    const passed = await zone.connect('backend{mesh=default}', mesh.client('frontend'));
    await ask(passed, 'ping');
    const ended = await zone.connect('legacy{mesh=default}', mesh.client('frontend'));
    await ask(ended, 'ping');
    const open = await stats();
    for (const line of [
      'cluster.default_backend.upstream_cx_active: 1',
      'cluster.default_backend.upstream_cx_total: 1',
      'cluster.default_backend.upstream_rq_total: 1',
    ])
      t.ok(open.includes(line), line);

    passed.end();
    ended.end();
    await Promise.all([
      gone(passed),
      gone(ended),
      zone.record(({ destination }) => destination === 'backend'),
      zone.record(({ destination }) => destination === 'legacy'),
    ]);
    await zone.connect('legacy{mesh=default}', mesh.client('nobody')).then(gone, () => undefined);
    await zone.record(({ reason }) => reason === 'denied');
    const closed = await stats();
    for (const line of [
      'cluster.default_backend.upstream_cx_active: 0',
      'cluster.default_backend.upstream_cx_total: 1',
      'cluster.default_legacy.upstream_cx_rx_bytes_total: 4',
      'cluster.default_legacy.upstream_cx_tx_bytes_total: 4',
      'cluster.default_legacy.membership_healthy: 1',
      'legacy.rbac.allowed: 1',
      'legacy.rbac.denied: 1',
      `listener.127.0.0.1_${zone.egress.port}.ssl.handshake: 2`,
      `listener.127.0.0.1_${zone.egress.port}.downstream_cx_total: 3`,
    ])
      t.ok(closed.includes(line), line);
  });
}

t.test('Prometheus gets both, ours and Envoy’s, and no page has a secret', async (t) => {
  await using zone = await startZone(t);
  const { body } = await page(zone, '/stats/prometheus');
  t.match(body, /^zone_egress_sessions_active 0$/m);
  t.match(body, /^envoy_server_uptime\{\} \d+$/m);
  t.match(body, /^envoy_cluster_membership_total\{envoy_cluster_name="default_backend"\} 1$/m);
  t.notMatch(body, /envoy_control_plane/);
  for (const path of [
    '/stats',
    '/clusters',
    '/clusters?format=json',
    '/certs',
    '/listeners',
    '/server_info',
    '/memory',
    '/help',
  ]) {
    const answer = await page(zone, path);
    t.equal(answer.status, 200, path);
    t.notMatch(answer.body, /PRIVATE KEY/, path);
  }
  t.match(await page(zone, '/config_dump'), { status: 404, body: /files/ });
  t.match(JSON.parse((await page(zone, '/certs')).body), {
    certificates: [{ cert_chain: [{ subject_alt_names: [{ uri: 'spiffe://default/zone-egress' }, {}] }] }, {}],
  });
});
