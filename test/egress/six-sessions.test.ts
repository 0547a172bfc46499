import t from 'tap';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { CONCURRENCIES, ask, gone, startZone } from './zone.ts';

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    t.test(
      'a service of another zone is passed through: TLS ends at the destination, and the ingress gets the client’s own bytes',
      async (t) => {
        await using zone = await startZone(t, { concurrency });
        const socket = await zone.connect('backend{mesh=default}', zone.mesh.client('frontend'));
        t.match(
          socket.getPeerCertificate().subjectaltname,
          /URI:spiffe:\/\/default\/backend/,
          'the certificate is the destination’s',
        );
        t.equal(await ask(socket, 'ping'), 'ping');
        t.equal(zone.ingress.connections[0]?.sni, 'backend{mesh=default}');
        socket.end();
        await gone(socket);
        const record = await zone.record(({ destination }) => destination === 'backend');
        t.match(record, {
          reason: 'closed',
          mode: 'passthrough',
          mesh: 'default',
          endpoint: `127.0.0.1:${zone.ports.ingress}`,
          spiffeIds: [],
          attempts: 1,
        });
        t.ok(record.bytesUp > 500 && record.bytesDown > 500, 'the bytes of both ways are counted');
      },
    );

    t.test('an external service over plain TCP: TLS ends here, the client is known and allowed', async (t) => {
      await using zone = await startZone(t, { concurrency });
      const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
      t.match(
        socket.getPeerCertificate().subjectaltname,
        /URI:spiffe:\/\/default\/zone-egress/,
        'the certificate is the egress’s',
      );
      t.equal(await ask(socket, 'ping'), 'ping');
      socket.end();
      await gone(socket);
      t.match(await zone.record(({ destination }) => destination === 'legacy'), {
        reason: 'closed',
        mode: 'terminate',
        spiffeIds: ['spiffe://default/frontend'],
        permission: /frontend-out/,
        endpoint: `127.0.0.1:${zone.ports.tcp}`,
        endpointTls: false,
        bytesUp: 4,
        bytesDown: 4,
      });
    });

    t.test('an external service over TLS: the egress shows its client certificate and checks the server', async (t) => {
      await using zone = await startZone(t, { concurrency });
      const socket = await zone.connect('api{mesh=default}', zone.mesh.client('frontend'));
      t.equal(await ask(socket, 'ping'), 'ping');
      socket.end();
      await gone(socket);
      t.match(await zone.record(({ destination }) => destination === 'api'), {
        reason: 'closed',
        endpointTls: true,
        bytesUp: 4,
        bytesDown: 4,
      });
    });

    t.test('a MeshExternalService is open to every client of its mesh, and to no other', async (t) => {
      await using zone = await startZone(t, { concurrency });
      const sni = encodeHashSni({ kind: 'mes', name: 'ledger', mesh: 'other', port: 9_000 });
      const allowed = await zone.connect(sni, zone.otherMesh.client('anybody'));
      t.equal(await ask(allowed, 'ping'), 'ping');
      allowed.end();
      await gone(allowed);
      const stranger = await zone.connect(sni, zone.mesh.client('frontend'));
      await gone(stranger);
      t.match(await zone.record(({ reason }) => reason === 'wrong-mesh'), {
        mesh: 'other',
        spiffeIds: ['spiffe://default/frontend'],
        endpoint: '',
      });
    });

    t.test('a client without a permission is denied, and nothing is dialled for it', async (t) => {
      await using zone = await startZone(t, { concurrency });
      const socket = await zone.connect('api{mesh=default}', zone.mesh.client('batch'));
      await gone(socket);
      t.match(await zone.record(({ reason }) => reason === 'denied'), {
        detail: /batch/,
        attempts: 0,
        endpoint: '',
        spiffeIds: ['spiffe://default/batch'],
      });
      t.equal(zone.tls.connections(), 0);
    });

    t.test('an SNI that no route has, or none at all, is refused with an alert', async (t) => {
      await using zone = await startZone(t, { concurrency });
      await t.rejects(zone.connect('backedn{mesh=default}', zone.mesh.client('frontend')), {
        code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
      });
      t.match(await zone.record(({ reason }) => reason === 'no-route'), {
        sni: 'backedn{mesh=default}',
        mesh: '',
        detail: /backedn/,
      });
      await t.rejects(zone.connect('', zone.mesh.client('frontend')));
      t.match(await zone.record(({ reason }) => reason === 'no-sni'), { sni: '' });
    });

    t.test('names match without regard to ASCII case, and never with a trailing dot', async (t) => {
      await using zone = await startZone(t, { concurrency });
      const socket = await zone.connect('LEGACY{mesh=Default}', zone.mesh.client('frontend'));
      t.equal(await ask(socket, 'ping'), 'ping');
      socket.destroy();
      await t.rejects(zone.connect('legacy{mesh=default}.', zone.mesh.client('frontend')));
      t.match(await zone.record(({ reason }) => reason === 'no-route'), { sni: 'legacy{mesh=default}.' });
    });
  });
}
