// Access logs that a MeshAccessLog asks for, from files: what clients do is a line in a file, for
// connections and for requests.
import { once } from 'node:events';
import { readFileSync, renameSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createReceiver } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Test } from 'tap';
import { permissionYaml } from '../resources/fixtures/scoped.ts';
import { startScopedZone } from './scoped-zone.ts';
import type { ScopedMesh, ScopedZone } from './scoped-zone.ts';
import { until } from './until.ts';
import { ask, CONCURRENCIES, gone } from './zone.ts';

const web = (mesh: string, port: number): string => `type: MeshExternalService
mesh: ${mesh}
name: web
spec: { match: { type: HostnameGenerator, port: 80, protocol: http }, endpoints: [{ address: 127.0.0.1, port: ${port} }] }
`;
const everybody = (mesh: string): string =>
  permissionYaml(
    mesh,
    'frontend',
    `allow: [{ spiffeID: { type: Prefix, value: "spiffe://${mesh}.zone-1.mesh.local/workload" } }]`,
  );
const logs = (mesh: string, rules: string): string => `type: MeshAccessLog
mesh: ${mesh}
name: all
spec:
  targetRef: { kind: Dataplane }
  rules: ${rules}
`;

const plain = (path: string, format: string, matches = ''): string =>
  `{ ${matches} default: { backends: [{ type: File, file: { path: "${path}", format: { type: Plain, plain: '${format}' } } }] } }`;

interface Logged {
  readonly zone: ScopedZone;
  readonly mesh: ScopedMesh;
  readonly dir: string;
  readonly lines: (file: string) => readonly string[];
}

async function start(t: Test, rules: (dir: string) => readonly string[], concurrency: 1 | 2 = 1): Promise<Logged> {
  const dir = t.testdir({});
  const server = createServer((request, response) => {
    request.resume().once('end', () => response.setHeader('x-answer', 'yes').end('hello'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const zone = await startScopedZone(t, {
    meshes: ['mesh-a'],
    concurrency,
    documents: ({ name }, usual) => [
      ...usual.filter((each) => !each.includes('MeshTrafficPermission')),
      everybody(name),
      web(name, port),
      logs(name, `[${rules(dir).join(', ')}]`),
    ],
  });
  const lines = (file: string): readonly string[] => {
    try {
      return readFileSync(`${dir}/${file}`, 'utf8').split('\n').slice(0, -1);
    } catch {
      return [];
    }
  };
  return { zone, mesh: zone.meshes[0]!, dir, lines };
}

const TCP =
  '%ACCESS_LOG_TYPE% %KUMA_MESH% %KUMA_ZONE% %KUMA_SOURCE_ADDRESS_WITHOUT_PORT% %REQUESTED_SERVER_NAME% %DOWNSTREAM_PEER_URI_SAN% %UPSTREAM_HOST% %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS%';

for (const concurrency of CONCURRENCIES) {
  t.test(`a session of TCP has a line when it is joined and one at its end, with ${concurrency} data sides`, async (t) => {
    const { zone, mesh, dir, lines } = await start(t, (at) => [plain(`${at}/tcp`, TCP)], concurrency);
    await using _ = zone;
    const socket = await zone.connect(mesh.sni, mesh.client('frontend'));
    t.equal(await ask(socket, 'ping'), 'ping');
    await until('the first line', () => lines('tcp').length === 1);
    const { port } = mesh.service;
    const who = `mesh-a zone-1 127.0.0.1 sni.extsvc.mesh-a.partner.9000 spiffe://${mesh.domain}/workload/frontend 127.0.0.1:${port}`;
    t.equal(lines('tcp')[0], `TcpUpstreamConnected ${who} 0 0 -`);
    // As logrotate does it, while the file is in use.
    renameSync(`${dir}/tcp`, `${dir}/tcp.1`);
    socket.end();
    await until('the last line, in a new file', () => lines('tcp').length === 1);
    t.equal(lines('tcp')[0], `TcpConnectionEnd ${who} 4 4 -`);
    t.equal(lines('tcp.1').length, 1);
  });
}

t.test('a refused client has a line with its identity, an endpoint that fails has Envoy’s flags', async (t) => {
  const { zone, mesh, lines } = await start(t, (at) => [
    plain(`${at}/tcp`, '%DOWNSTREAM_PEER_URI_SAN% %RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_HOST%'),
  ]);
  await using _ = zone;
  await mesh.service.close();
  await gone(await zone.connect(mesh.sni, mesh.client('frontend')));
  await until('a line', () => lines('tcp').length === 1);
  t.match(lines('tcp')[0], new RegExp(`^spiffe://${mesh.domain}/workload/frontend UF,URX - 127\\.0\\.0\\.1:\\d+$`));
  zone.documents = zone.documents.filter((each) => !each.includes('MeshTrafficPermission'));
  await zone.egress.reload();
  await gone(await zone.connect(mesh.sni, mesh.client('frontend')));
  await until('another line', () => lines('tcp').length === 2);
  t.equal(lines('tcp')[1], `spiffe://${mesh.domain}/workload/frontend - rbac_access_denied_matched_policy[none] -`);
});

t.test('each request has a line with what its heads said, also one that is refused', async (t) => {
  const json = `{ default: { backends: [{ type: File, file: { path: "DIR/http", format: { type: Json, json: [
    { key: line, value: "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" }, { key: code, value: "%RESPONSE_CODE%" }, { key: host, value: "%REQ(:AUTHORITY)%" },
    { key: agent, value: "%REQ(USER-AGENT)%" }, { key: answer, value: "%RESP(X-ANSWER)%" }, { key: bytes, value: "%BYTES_RECEIVED%/%BYTES_SENT%" },
    { key: details, value: "%RESPONSE_CODE_DETAILS%" }, { key: who, value: "%DOWNSTREAM_PEER_URI_SAN%" }, { key: none, value: "%REQ(X-NONE)%" } ] } } }] } }`;
  const { zone, mesh, lines } = await start(t, (at) => [json.replace('DIR', at)]);
  await using _ = zone;
  const sni = 'sni.extsvc.mesh-a.web.80';
  const asked = async (head: string): Promise<string> => {
    const socket = await zone.connect(sni, mesh.client('frontend'));
    socket.write(head);
    return text(socket);
  };
  t.match(
    await asked('POST /a?token=1 HTTP/1.1\r\nHost: shop\r\nUser-Agent: test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi'),
    /hello/,
  );
  t.match(
    await asked('GET / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n'),
    /^HTTP\/1\.1 400/,
  );
  await until('two lines', () => lines('http').length === 2);
  const [served, refused] = lines('http').map((line) => JSON.parse(line) as Record<string, unknown>);
  const who = `spiffe://${mesh.domain}/workload/frontend`;
  t.same(served, {
    agent: 'test',
    answer: 'yes',
    bytes: '2/5',
    code: 200,
    details: 'via_upstream',
    host: 'shop',
    line: 'POST /a?token=1 HTTP/1.1',
    none: null,
    who,
  });
  t.match(refused, { code: 400, answer: null, who });
});

t.test('rules are about server names and clients, each on its own', async (t) => {
  const { zone, mesh, lines } = await start(t, (at) => [
    plain(`${at}/all`, '%REQUESTED_SERVER_NAME%'),
    plain(`${at}/web`, '%REQ(:PATH)%', 'matches: [{ sni: { type: Exact, value: sni.extsvc.mesh-a.web.80 } }],'),
    plain(
      `${at}/other`,
      '%DOWNSTREAM_PEER_URI_SAN%',
      'matches: [{ spiffeID: { type: Exact, value: "spiffe://mesh-a.zone-1.mesh.local/workload/other" } }],',
    ),
  ]);
  await using _ = zone;
  for (const name of ['frontend', 'other']) {
    const socket = await zone.connect('sni.extsvc.mesh-a.web.80', mesh.client(name));
    socket.write(`GET /${name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    t.match(await text(socket), /hello/);
  }
  await until('all lines', () => lines('all').length === 2 && lines('web').length === 2 && lines('other').length === 1);
  t.same(lines('web'), ['/frontend', '/other']);
  t.same(lines('other'), [`spiffe://${mesh.domain}/workload/other`]);
  t.equal(await ask(await zone.connect(mesh.sni, mesh.client('other')), 'ping'), 'ping');
  await until('one of TCP', () => lines('all').length === 3 && lines('other').length === 2);
  t.equal(lines('web').length, 2);
});

t.test('a log of type Tcp comes to its receiver, for sessions and for requests', async (t) => {
  const got: string[] = [];
  const receiver = createReceiver((socket) => socket.on('data', (chunk: Buffer) => void got.push(chunk.toString()))).listen(
    0,
    '127.0.0.1',
  );
  await once(receiver, 'listening');
  t.teardown(() => void receiver.close());
  const address = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const format = '%REQUESTED_SERVER_NAME% %REQ(:METHOD)% %RESPONSE_CODE%';
  const { zone, mesh } = await start(t, () => [
    `{ default: { backends: [{ type: Tcp, tcp: { address: "${address}", format: { type: Plain, plain: '${format}' } } }] } }`,
  ]);
  await using _ = zone;
  const socket = await zone.connect(mesh.sni, mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');
  socket.end();
  const web = await zone.connect('sni.extsvc.mesh-a.web.80', mesh.client('frontend'));
  web.write('GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n');
  t.match(await text(web), /hello/);
  await until('three lines', () => got.join('').split('\n').length === 4);
  t.same(got.join('').split('\n').sort(), [
    '',
    'sni.extsvc.mesh-a.partner.9000 - 0',
    'sni.extsvc.mesh-a.partner.9000 - 0',
    'sni.extsvc.mesh-a.web.80 GET 200',
  ]);
  t.match(await zone.egress.metrics(), /zone_egress_access_log_lines_total\{result="written"\} 3/);
});
