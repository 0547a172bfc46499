// A change of the configuration applies to the next request of a connection; the running one
// continues.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import type { RequestRecord } from '../../src/egress.ts';
import { Frames, GET, TYPES, request } from './h2-frames.ts';
import { SHOP, answerOf, answersIn, shopService, startRawService } from './http-zone.ts';
import { until } from './until.ts';
import { CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

function shop(port: number, { protocol = 'http', clients = ['frontend'] } = {}): string {
  return shopService(`127.0.0.1:${port}`, { protocol, clients });
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

async function apply(zone: Zone, text: string): Promise<void> {
  zone.write('shop.yaml', text);
  const result = await zone.egress.reload();
  if (result.kind !== 'live') throw new Error(`the change was not applied: ${JSON.stringify(result)}`);
}

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    let finish = (): void => {};
    const first = await startRawService(t, (_, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf');
      finish = () => socket.write('done');
      return null;
    });
    const second = await startRawService(t, () => answerOf('second'));

    /** Begins an answer at the first service, changes the zone, finishes the answer, asks again. */
    async function asked(zone: Zone, change: string): Promise<{ readonly socket: TLSSocket; readonly text: () => string }> {
      let text = '';
      const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.write(get('/long'));
      await until('the answer has begun', () => text.endsWith('half'));
      await apply(zone, change);
      finish();
      await until('the running answer is whole', () => text.endsWith('halfdone'));
      socket.write(get('/next'));
      return { socket, text: () => text };
    }

    t.test('another endpoint', async (t) => {
      await using zone = await startZone(t, { concurrency, resources: () => '' });
      await apply(zone, shop(first.port));
      const { socket, text } = await asked(zone, shop(second.port));
      await until('the next is answered', () => text().endsWith('second'));
      t.match(answersIn(text()), [
        { status: 200, body: 'halfdone' },
        { status: 200, body: 'second' },
      ]);
      t.equal(second.arrived.length, 1);
      socket.end();
    });

    t.test('a client that is denied now', async (t) => {
      await using zone = await startZone(t, { concurrency, resources: () => '' });
      await apply(zone, shop(first.port));
      const arrived = first.arrived.length;
      const { socket, text } = await asked(zone, shop(first.port, { clients: ['batch'] }));
      await until('the next is answered', () => text().endsWith('RBAC: access denied'));
      t.match(answersIn(text()), [{ status: 200 }, { status: 403 }]);
      t.equal(first.arrived.length, arrived + 1, 'the service hears nothing of it');
      socket.end();
    });

    for (const change of ['denied', 'removed'] as const) {
      t.test(`running answers of a client that is ${change}: cut after the drain time, and the records tell it`, async (t) => {
        await using zone = await startZone(t, { concurrency, resources: () => '', traffic: { drainTimeMs: 200 } });
        const requests: RequestRecord[] = [];
        zone.egress.onRequest((record) => requests.push(record));
        await apply(zone, shop(first.port));
        let text = '';
        const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
        socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
        socket.write(get('/stream'));
        const h2 = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend'), { ALPNProtocols: ['h2'] }));
        h2.socket.write(request(1, GET));
        await until('the answer has begun', () => text.endsWith('half'));
        await h2.until(() => h2.of(1, TYPES.data) !== undefined);
        await apply(zone, change === 'denied' ? shop(first.port, { clients: ['batch'] }) : '');
        await Promise.all([gone(socket), h2.until(() => h2.ended)]);
        await until('every record', () => requests.length === 2 && zone.records.length === 2);
        const detail = change === 'denied' ? /^the client is denied now/ : /^the route is gone/;
        for (const record of requests) {
          t.match(record, { reason: 'policy-changed', detail, status: 200, flags: 'DC', details: 'downstream_local_disconnect' });
        }
        for (const record of zone.records) t.match(record, { reason: 'policy-changed', detail });
      });
    }

    t.test(
      'a rotation of the CA: kept connections go on while the old CA counts, and end with the next answer after it',
      async (t) => {
        await using zone = await startZone(t, { concurrency, resources: () => '' });
        await apply(zone, shop(second.port));
        const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
        let text = '';
        socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
        const h2 = new Frames(await zone.connect(SHOP, zone.mesh.client('frontend'), { ALPNProtocols: ['h2'] }));
        const serve = async (requests: number): Promise<void> => {
          socket.write(get(`/${requests}`));
          h2.socket.write(request(requests * 2 - 1, GET));
          await h2.until(() => h2.of(requests * 2 - 1, TYPES.data) !== undefined);
          await until('the answer of HTTP/1.1', () => text.split('second').length - 1 === requests);
        };
        await serve(1);
        const base64 = (pem: string): string => Buffer.from(pem).toString('base64');
        const { ca: old } = zone.mesh;
        const { ca: other } = zone.otherMesh;
        const rotate = async (...changes: readonly (readonly [string, string])[]): Promise<void> => {
          let yaml = readFileSync(join(zone.folder, 'zone.yaml'), 'utf8');
          for (const [before, after] of changes) {
            t.ok(yaml.includes(base64(before)));
            yaml = yaml.replace(base64(before), base64(after));
          }
          zone.write('zone.yaml', yaml);
          t.match(await zone.egress.reload(), { kind: 'live' });
        };
        await rotate([old.cert, `${old.cert}\n${other.cert}`]);
        await serve(2);
        await rotate([`${old.cert}\n${other.cert}`, `${other.cert}\n${old.cert}`], [old.key, other.key]);
        await serve(3);
        await rotate([`${other.cert}\n${old.cert}`, other.cert]);
        socket.write(get('/next'));
        h2.socket.write(request(7, GET));
        await gone(socket);
        t.match(answersIn(text).at(-1), { status: 403, head: /\r\nconnection: close/ });
        await h2.until(() => h2.of(0, TYPES.goAway) !== undefined);
        t.equal(h2.of(7, TYPES.data)?.payload.toString(), 'RBAC: access denied');
        h2.socket.destroy();
      },
    );

    t.test('a service that speaks no HTTP any more: the connection ends with the next answer', async (t) => {
      await using zone = await startZone(t, { concurrency, resources: () => '' });
      await apply(zone, shop(first.port));
      const { socket, text } = await asked(zone, shop(second.port, { protocol: 'tcp' }));
      await gone(socket);
      t.match(answersIn(text()), [{ status: 200 }, { status: 404, head: /\r\nconnection: close/ }]);
    });
  });
}
