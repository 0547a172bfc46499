// An egress that sends spans and log records to a collector of OpenTelemetry.
import type { Socket } from 'node:net';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import type { RequestRecord, SessionRecord } from '../../src/egress.ts';
import { startEgress } from '../../src/egress.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { startRaw } from '../raw-server.ts';
import { readUntilGone, shopService, SHOP, startRawService } from './http-zone.ts';
import { startCollector } from './otlp-collector.ts';
import type { SentSpan } from './otlp-collector.ts';
import { until } from './until.ts';
import { ask, CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone, ZoneOptions } from './zone.ts';
import { finish, run, writeZone } from './zone-process.ts';

const micros = (ms: number): number => Math.round(ms * 1_000);

/** One session of `frontend` with this service, to its end. */
async function session(zone: Zone, service = 'legacy'): Promise<SessionRecord> {
  const before = zone.records.length;
  const socket = await zone.connect(`${service}{mesh=default}`, zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'hello'), 'hello');
  const over = gone(socket);
  socket.end();
  await over;
  await until('it has a record', () => zone.records.length > before);
  return zone.records.at(-1) as SessionRecord;
}

/** One session that no permission allows. */
async function refused(zone: Zone): Promise<SessionRecord> {
  const before = zone.records.length;
  const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('stranger'));
  await gone(socket);
  await until('it has a record', () => zone.records.length > before);
  return zone.records.at(-1) as SessionRecord;
}

/** The spans of the session with this record: its own, then its steps as they began. */
function tree(spans: readonly SentSpan[], { id }: SessionRecord): readonly SentSpan[] {
  const own = spans.find(({ name, attributes }) => name === 'session' && attributes['zone_egress.session.id'] === id);
  if (own === undefined) return [];
  const steps = spans.filter(({ parentSpanId, name }) => parentSpanId === own.spanId && name !== 'GET');
  return [own, ...steps.sort((a, b) => a.start - b.start || a.end - b.end)];
}

interface Lines {
  readonly lines: Record<string, unknown>[];
  readonly options: Pick<ZoneOptions, 'logLevel' | 'logDestination'>;
}

function logLines(): Lines {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { lines, options: { logLevel: 'info', logDestination: { write } } };
}

async function counted(zone: Zone): Promise<Readonly<Record<string, number>>> {
  const found = (await zone.egress.metrics()).matchAll(/^zone_egress_otlp_records_total\{kind="(\w+)",result="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...found].map(([, kind = '', result = '', count = '']) => [`${kind} ${result}`, Number(count)]));
}

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}, a session is a tree of spans`, async (t) => {
    const collector = await startCollector(t);
    await using zone = await startZone(t, {
      concurrency,
      otlp: { endpoint: collector.url, sample: 1, attributes: { 'deployment.environment.name': 'test' } },
    });
    const served = await session(zone);
    const denied = await refused(zone);
    await zone.egress.close();

    const [root, hello, handshake, connect, splice, ...more] = tree(collector.spans, served);
    t.equal(more.length, 0);
    if (root === undefined || hello === undefined || handshake === undefined || connect === undefined || splice === undefined)
      throw new Error('a span is missing');
    t.match(
      [root, hello, handshake, connect, splice].map(({ name, kind }) => [name, kind]),
      [
        ['session', 2],
        ['hello', 1],
        ['handshake', 1],
        ['connect', 3],
        ['splice', 1],
      ],
    );
    t.ok([hello, handshake, connect, splice].every(({ traceId }) => traceId === root.traceId && /^[0-9a-f]{32}$/.test(traceId)));
    t.equal(root.parentSpanId, '');
    t.match(root, { start: micros(served.startedAt), end: micros(served.startedAt + served.totalMs), status: { code: 0 } });
    t.equal(hello.start, root.start);
    t.equal(hello.end, micros(served.startedAt + served.helloMs));
    t.equal(handshake.start, hello.end);
    t.equal(handshake.end, micros(served.startedAt + served.helloMs + served.handshakeMs));
    t.equal(connect.start, handshake.end);
    t.equal(connect.end, micros(served.startedAt + served.helloMs + served.handshakeMs + served.connectMs));
    t.equal(splice.start, connect.end);
    t.equal(splice.end, root.end);
    t.match(root.attributes, {
      'client.address': '127.0.0.1',
      'client.port': served.clientPort,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': served.clientPort,
      'network.transport': 'tcp',
      'server.address': 'legacy{mesh=default}',
      'tls.protocol.name': 'tls',
      'tls.protocol.version': '1.3',
      'tls.resumed': false,
      'tls.client.issuer': served.certificateIssuer,
      'zone_egress.session.id': served.id,
      'zone_egress.reason': 'closed',
      'zone_egress.outcome': 'served',
      'zone_egress.mode': 'terminate',
      'zone_egress.mesh': 'default',
      'zone_egress.destination': 'legacy',
      'zone_egress.endpoint': `127.0.0.1:${zone.ports.tcp}`,
      'zone_egress.client.spiffe_ids': ['spiffe://default/frontend'],
      'zone_egress.bytes.up': 5,
      'zone_egress.bytes.down': 5,
    });
    t.match(connect.attributes, { 'server.address': '127.0.0.1', 'server.port': zone.ports.tcp, 'zone_egress.attempts': 1 });
    t.match(root.resource, {
      'service.name': 'zone-egress',
      'service.version': /^\d+\.\d+\.\d+/,
      'service.instance.id': /^[0-9a-f-]{36}$/,
      'zone_egress.zone': 'east',
      'deployment.environment.name': 'test',
    });

    const [deniedRoot, ...steps] = tree(collector.spans, denied);
    t.match(deniedRoot, {
      status: { code: 2, message: denied.detail },
      attributes: { 'error.type': 'denied', 'zone_egress.outcome': 'refused' },
    });
    t.strictSame(
      steps.map(({ name, status }) => [name, status.code]),
      [
        ['hello', 0],
        ['handshake', 0],
      ],
    );
    t.not(deniedRoot?.traceId, root.traceId, 'each session is a trace');

    t.match(
      collector.logs.map(({ event, severity, body, traceId, spanId }) => ({ event, severity, body, traceId, spanId })),
      [
        { event: 'zone_egress.session', severity: 'INFO', body: 'session ended', traceId: root.traceId, spanId: root.spanId },
        { severity: 'WARN', body: denied.detail, traceId: deniedRoot?.traceId, spanId: deniedRoot?.spanId },
      ],
    );
    t.match(await counted(zone), {});
  });
}

t.test('with a share of 0 no span is sent, and each refused session has a log record', async (t) => {
  const collector = await startCollector(t);
  const { lines, options } = logLines();
  await using zone = await startZone(t, { ...options, otlp: { endpoint: `${collector.url}/otlp/`, sample: 0 } });
  await session(zone);
  const denied = await refused(zone);
  await until('it is sent', async () => (await counted(zone))['logs sent'] === 1);
  await zone.egress.close();
  t.strictSame(collector.spans, []);
  t.match(collector.logs, [
    {
      severity: 'WARN',
      body: denied.detail,
      at: micros(denied.startedAt + denied.totalMs),
      traceId: '',
      attributes: { 'zone_egress.session.id': denied.id, 'zone_egress.reason': 'denied', 'zone_egress.mesh': 'default' },
    },
  ]);
  t.strictSame(
    collector.requests.map(({ path }) => path),
    ['/otlp/v1/logs'],
  );
  t.notOk(lines.some(({ level }) => level === 'error'));
});

t.test('requests are spans: of their session, or of the trace that they carry, as its flag says', async (t) => {
  const collector = await startCollector(t);
  const service = await startRawService(t);
  await using zone = await startZone(t, {
    otlp: { endpoint: collector.url, sample: 1 },
    lookup: async () => ['127.0.0.1'],
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: () => shopService(`shop.partner.test:${service.port}`, { clients: ['frontend'] }),
  });
  const requests: RequestRecord[] = [];
  zone.egress.onRequest((record) => requests.push(record));
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: shop.mesh\r\n${more}\r\n`;
  const trace = 'a'.repeat(32);
  const client = 'b'.repeat(16);
  await readUntilGone(
    socket,
    get('/own') +
      get('/sampled', `traceparent: 00-${trace}-${client}-01\r\n`) +
      get('/unsampled', `traceparent: 00-${trace}-${client}-00\r\n`) +
      get('/wrong', `traceparent: 00-${'0'.repeat(32)}-${client}-01\r\n`) +
      get('/twice', `traceparent: 00-${trace}-${client}-01\r\ntraceparent: 00-${trace}-${client}-01\r\nConnection: close\r\n`),
  );
  const record = await zone.record(({ destination }) => destination === 'shop');
  await until('all have ended', () => requests.length === 5);
  await zone.egress.close();
  t.strictSame(
    requests.map(({ traceparent }) => traceparent?.slice(0, 5)),
    [undefined, '00-aa', '00-aa', '00-00', undefined],
  );
  const [root, hello, handshake, more] = tree(collector.spans, record);
  t.match([hello?.name, handshake?.name, more?.name], ['hello', 'handshake', 'requests']);
  const found = new Map(collector.spans.filter(({ name }) => name === 'GET').map((span) => [span.attributes['url.path'], span]));
  t.strictSame([...found.keys()], ['/own', '/sampled', '/wrong', '/twice']);
  for (const path of ['/own', '/wrong', '/twice'])
    t.match(found.get(path), { traceId: root?.traceId, parentSpanId: root?.spanId, links: [], kind: 2 }, path);
  t.match(found.get('/sampled'), {
    traceId: trace,
    parentSpanId: client,
    links: [{ traceId: root?.traceId, spanId: root?.spanId }],
    start: micros(requests[1]?.startedAt ?? 0),
    end: micros((requests[1]?.startedAt ?? 0) + (requests[1]?.totalMs ?? 0)),
    attributes: {
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'network.protocol.version': '1.1',
      'server.address': 'shop.mesh',
      'zone_egress.destination': 'shop',
      'zone_egress.client.spiffe_ids': ['spiffe://default/frontend'],
    },
  });
});

t.test('headers come from a file, are read for each delivery, and are in no line', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-otlp-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'headers');
  writeFileSync(file, '# for the collector\nAuthorization: Bearer secret-one\nx-scope: east\n');
  chmodSync(file, 0o600);
  const collector = await startCollector(t);
  collector.answer = (response) => response.writeHead(401).end();
  const { lines, options } = logLines();
  await using zone = await startZone(t, { ...options, otlp: { endpoint: collector.url, sample: 0, headersFile: file } });
  await refused(zone);
  await until('it is refused', async () => (await counted(zone))['logs dropped'] === 1);
  writeFileSync(file, 'authorization: Bearer secret-two\n');
  collector.answer = null;
  await refused(zone);
  await until('it is taken', async () => (await counted(zone))['logs sent'] === 1);
  await zone.egress.close();
  t.match(
    collector.requests.map(({ headers }) => headers),
    [{ authorization: 'Bearer secret-one', 'x-scope': 'east' }, { authorization: 'Bearer secret-two' }],
  );
  t.match(
    lines.filter(({ msg }) => String(msg).startsWith('the collector')),
    [
      { level: 'error', kind: 'logs', why: 'it answered 401', msg: /token in the file of --otlp-headers-file/ },
      { level: 'info', kind: 'logs', msg: 'the collector of OpenTelemetry takes logs again' },
    ],
  );
  t.notOk(/secret/.test(JSON.stringify(lines)));
  writeFileSync(file, 'one\nsecret\n');
  await t.rejects(startEgress({ resources: zone.folder, otlp: { endpoint: collector.url, headersFile: file } }), {
    message: `${file}:1: allowed is a header as NAME: VALUE; the line is not shown`,
  });
});

/** A collector that does with each connection what the case does. */
async function startOdd(t: Test, onConnection: (socket: Socket) => void): Promise<string> {
  return `http://127.0.0.1:${await startRaw(t, onConnection)}`;
}

t.test('a collector that is of no use holds up neither sessions nor the end, and is told once', async (t) => {
  const answering = (text: string) => (socket: Socket) => void socket.on('data', () => socket.end(text));
  const cases: readonly (readonly [string, (t: Test) => Promise<string>, RegExp])[] = [
    ['away', async () => `http://127.0.0.1:${await freePort()}`, /ECONNREFUSED/],
    ['no HTTP', (t) => startOdd(t, answering('220 mail.example ESMTP\r\n')), /Parse Error/],
    [
      '503',
      (t) => startOdd(t, answering('HTTP/1.1 503 Later\r\nRetry-After: 999999\r\nContent-Length: 0\r\n\r\n')),
      /it answered 503/,
    ],
    [
      'switches',
      (t) => startOdd(t, answering('HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')),
      /without an answer/,
    ],
  ];
  for (const [name, start, why] of cases) {
    await t.test(name, async (t) => {
      const endpoint = await start(t);
      const { lines, options } = logLines();
      await using zone = await startZone(t, { ...options, otlp: { endpoint, sample: 1 } });
      const told = (): readonly Record<string, unknown>[] => lines.filter(({ msg }) => String(msg).startsWith('the collector'));
      await session(zone);
      await until('both signals are told', () => told().length === 2);
      await session(zone);
      await zone.egress.close();
      t.match(
        told()
          .map(({ kind, level, why }) => ({ kind, level, why }))
          .sort((a, b) => String(a.kind).localeCompare(String(b.kind))),
        [
          { kind: 'logs', level: 'error', why },
          { kind: 'spans', level: 'error', why },
        ],
      );
      t.notOk(lines.some(({ msg }) => msg === 'internal error' || /no longer waits/.test(String(msg))));
    });
  }
});

t.test('a collector that takes all and answers nothing, or too slowly, does not hold up the end', async (t) => {
  for (const [name, onData] of [
    ['nothing', () => undefined],
    ['a byte now and then', (socket: Socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1')],
  ] as const) {
    await t.test(name, async (t) => {
      let reached = 0;
      const endpoint = await startOdd(t, (socket) => {
        socket.once('data', () => {
          reached++;
          onData(socket);
        });
      });
      const { lines, options } = logLines();
      await using zone = await startZone(t, { ...options, otlp: { endpoint, sample: 1 } });
      await session(zone);
      await until('it has both', () => reached === 2);
      // Nothing but the bound of the last delivery ends this.
      await zone.egress.close();
      t.notOk(lines.some(({ msg }) => /no longer waits/.test(String(msg))));
    });
  }
});

t.test('two egresses of one process send on their own, and nothing is registered for the process', async (t) => {
  const { trace, propagation, context } = await import('@opentelemetry/api');
  const collectors = [await startCollector(t), await startCollector(t)];
  for (const collector of collectors) {
    await using zone = await startZone(t, { otlp: { endpoint: collector.url, sample: 1 } });
    await session(zone);
  }
  for (const { spans } of collectors) t.equal(spans.filter(({ name }) => name === 'session').length, 1);
  t.not(collectors[0]?.spans[0]?.resource['service.instance.id'], collectors[1]?.spans[0]?.resource['service.instance.id']);
  t.notOk(trace.getTracer('x').startSpan('x').isRecording());
  t.strictSame(propagation.fields(), []);
  t.strictSame(context.active(), (await import('@opentelemetry/api')).ROOT_CONTEXT);
});

t.test('wrong options are errors', async (t) => {
  for (const [otlp, message] of [
    [{ endpoint: 'collector:4318' }, /endpoint: allowed is a URL such as/],
    [{ endpoint: 'http://user:secret@c' }, /without a user and a password/],
    [{ endpoint: 'http://c?key=secret' }, /without \? and #/],
    [{ endpoint: 'http://c', sample: 2 }, /sample: allowed is a number from 0 to 1/],
    [{}, /endpoint/],
  ] as const) {
    const failure = await startEgress({ resources: [], otlp } as never).catch((error: unknown) => error);
    t.ok(failure instanceof TypeError, String(failure));
    t.match(String(failure), message);
    t.notMatch(String(failure), /secret/);
  }
});

t.test(
  'zone-egress run: a collector that hangs does not keep the process, and a bad file of headers ends the start',
  async (t) => {
    let reached = 0;
    const endpoint = await startOdd(t, (socket) => void socket.once('data', () => reached++));
    await using zone = await writeZone();
    await using egress = await run(zone, ['--otlp-endpoint', endpoint, '--otlp-sample', '1', '--concurrency', '1']);
    const socket = await zone.connect('legacy');
    t.equal(await ask(socket, 'hello'), 'hello');
    const over = gone(socket);
    socket.end();
    await over;
    await until('spans and logs are on their way', () => reached === 2);
    egress.kill('SIGTERM');
    t.strictSame(await egress.exit, { code: 0, signal: null });
    t.equal(egress.stderr(), '');
    const flags = ['--otlp-endpoint', endpoint, '--otlp-headers-file', join(zone.folder, 'none')];
    t.strictSame(await finish(['run', '--resources', zone.folder, '--readiness-port', '0', ...flags]), {
      code: 78,
      stdout: '',
      stderr: `zone-egress: ${join(zone.folder, 'none')}: the headers for the collector cannot be read: ENOENT\n`,
    });
  },
);

t.test('a collector with TLS needs a certificate that Node trusts; NODE_EXTRA_CA_CERTS names more', async (t) => {
  const authority = await createTestMesh('collector', { keyType: 'ec' });
  const collector = await startCollector(t, authority.issue({ uris: [], dns: ['localhost'], subject: [['CN', 'localhost']] }));
  await using zone = await writeZone();
  const flags = ['--otlp-endpoint', collector.url, '--otlp-sample', '0', '--concurrency', '1'];
  const before = process.env.NODE_EXTRA_CA_CERTS;
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_EXTRA_CA_CERTS;
    else process.env.NODE_EXTRA_CA_CERTS = before;
  });
  for (const trusted of [false, true]) {
    if (trusted) {
      writeFileSync(join(zone.folder, 'ca.pem'), authority.ca.cert);
      process.env.NODE_EXTRA_CA_CERTS = join(zone.folder, 'ca.pem');
    } else delete process.env.NODE_EXTRA_CA_CERTS;
    await using egress = await run(zone, flags);
    // Its service is unknown, so that it is refused.
    const socket = await zone.connect('nowhere').catch(() => null);
    socket?.destroy();
    if (trusted) await until('it is sent', () => collector.logs.length > 0);
    else await until('it is told', () => egress.lines().some(({ why }) => /certificate/.test(String(why))));
    egress.kill('SIGTERM');
    t.strictSame(await egress.exit, { code: 0, signal: null });
    t.equal(collector.logs.length > 0, trusted);
  }
  t.match(collector.logs, [{ attributes: { 'zone_egress.reason': 'no-route' } }]);
});
