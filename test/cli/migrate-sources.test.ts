/** Plans of a migration from a running egress and from the API of a control plane. */
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { parseAllDocuments } from 'yaml';
import { startEgress } from '../../src/egress.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { LIVE } from '../data.ts';
import { joining } from '../egress/controlled-zone.ts';
import { freePort } from '../free-ports.ts';
import { liveZone } from '../kuma/live-zone.ts';
import { runCommand } from './running.ts';

interface Plan {
  readonly meshes: readonly {
    readonly mesh: string;
    readonly services: readonly { readonly name: string }[];
    readonly permission: object | null;
    readonly destinations: readonly { readonly name: string; readonly before: string; readonly after: string }[];
    readonly tasks: readonly string[];
  }[];
  readonly access: readonly object[];
  readonly helm: object;
}

async function serve(t: Test, server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const dumpOfEnvoy = (): string => readFileSync(new URL('admin/config_dump.include_eds.json', LIVE), 'utf8');

/** Writes the recorded resources into a folder, as the control plane of the recording had them. */
function recordedFolder(dir: string): string {
  mkdirSync(dir);
  for (const { path, text } of liveZone({})) writeFileSync(`${dir}/${path}`, text);
  return dir;
}

const planOf = (out: string): Plan => JSON.parse(out) as Plan;
const byName = ({ meshes }: Plan): object =>
  Object.fromEntries(
    meshes.map(({ mesh, destinations }) => [mesh, destinations.map(({ before, after }) => `${before} -> ${after}`).toSorted()]),
  );

t.test('from the pages of a running Envoy comes the plan of its resources', async (t) => {
  const asked: string[] = [];
  const port = await serve(
    t,
    createHttpServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end(dumpOfEnvoy());
    }),
  );
  const folder = recordedFolder(`${t.testdir({})}/zone`);
  const ofFolder = planOf((await runCommand('migrate', folder, '-o', 'json')).out);
  const ran = await runCommand('migrate', '--admin', `http://127.0.0.1:${port}`, '--zone', 'zone-1', '-o', 'json');
  t.equal(ran.err, '');
  const ofEnvoy = planOf(ran.out);
  t.same(asked, ['GET /config_dump']);
  t.same(byName(ofEnvoy), byName(ofFolder), 'each name has the same successor');
  t.same(
    ofEnvoy.meshes.map(({ mesh, services }) => [mesh, services.map(({ name }) => name).toSorted()]),
    ofFolder.meshes.map(({ mesh, services }) => [mesh, services.map(({ name }) => name).toSorted()]),
  );
  t.same(
    ofEnvoy.meshes.map(({ permission }) => sorted(permission)),
    ofFolder.meshes.map(({ permission }) => sorted(permission)),
    'the same clients pass',
  );
  const { out } = await runCommand('migrate', '--admin', `http://127.0.0.1:${port}`, '--zone', 'zone-1');
  t.match(out, /make the Secret es-tls-ca of mesh default from the trusted CA of cluster default:es-tls at http:/);
  t.match(out, /Not known here: whether the mesh has a MeshIdentity/);
  t.notMatch(out, /BEGIN|PRIVATE KEY/, 'no certificate and no key is printed');
  t.match(out, /address: 127\.0\.0\.2/, 'the Dataplane listens where the ZoneEgress does');
});

const sorted = (permission: object | null): readonly string[] =>
  ((permission as { spec: { rules: { default: { allow: object[] } }[] } } | null)?.spec.rules ?? [])
    .flatMap(({ default: { allow } }) => allow.map((entry) => JSON.stringify(entry)))
    .toSorted();

t.test('from this program as the running ZoneEgress', async (t) => {
  const mesh = await createTestMesh('default', { keyType: 'ec' });
  await using controlPlane = await createFakeControlPlane({
    resources: fakeConfiguration({
      address: '127.0.0.1',
      port: 10_002,
      meshes: [mesh],
      external: { legacy: { address: '192.0.2.7', port: 443, allow: ['frontend'] } },
      meshExternal: { ledger: { port: 9_000, endpoints: [{ address: '192.0.2.8', port: 80 }] } },
    }),
  });
  await using egress = await startEgress({
    port: 0,
    admin: { port: 0 },
    controlPlane: joining(controlPlane, controlPlane.tokens.issue()),
  });
  const { code, out, err } = await runCommand('migrate', '--admin', `http://127.0.0.1:${egress.adminPort}`);
  t.equal(err, '');
  t.equal(code, 0);
  t.match(out, /ExternalService legacy: legacy\{mesh=default\} -> sni\.extsvc\.default\.legacy\.443/);
  t.match(out, /MeshExternalService ledger: a\w+\.ledger\.9000\.default\.mes -> sni\.extsvc\.default\.ledger\.9000/);
  t.match(out, 'spiffe://default.zone-1.mesh.local/workload/frontend');
});

interface Api {
  readonly url: string;
  readonly asked: string[];
}

/** A control plane's API with one resource on each page, for those who have the token. */
async function startApi(
  t: Test,
  options: { readonly tls?: { cert: string; key: string }; readonly token?: string },
): Promise<Api> {
  const lists = new Map<string, object[]>();
  for (const { text } of liveZone({})) {
    for (const document of parseAllDocuments(text)) {
      const resource = document.toJS() as { readonly type: string };
      const path = PATHS[resource.type] ?? resource.type.toLowerCase();
      lists.set(path, [...(lists.get(path) ?? []), resource]);
    }
  }
  const asked: string[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const answer = (status: number, body: unknown): void => void response.writeHead(status).end(JSON.stringify(body));
    if (options.token !== undefined && !isFrom(request, options.token)) return answer(401, { title: 'unauthenticated' });
    const url = new URL(request.url ?? '/', 'http://control-plane');
    const path = url.pathname.replace('/base/', '');
    if (path === 'config') return answer(200, { mode: 'zone', multizone: { zone: { name: 'zone-1' } } });
    const all = lists.get(path);
    if (all === undefined) return answer(404, { title: 'not found' });
    const at = Number(url.searchParams.get('offset') ?? 0);
    // As Kuma does: the address that it believes to have.
    const next = at + 1 < all.length ? `http://cp.internal:5681/${path}?offset=${at + 1}&size=1` : null;
    answer(200, { total: all.length, items: all.slice(at, at + 1), next });
  };
  const server = options.tls === undefined ? createHttpServer(listener) : createHttpsServer(options.tls, listener);
  const port = await serve(t, server);
  return { url: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/base`, asked };
}

const PATHS: Readonly<Record<string, string>> = {
  Mesh: 'meshes',
  ExternalService: 'external-services',
  MeshExternalService: 'meshexternalservices',
  TrafficPermission: 'traffic-permissions',
  MeshTrafficPermission: 'meshtrafficpermissions',
  ZoneEgress: 'zoneegresses',
  ZoneIngress: 'zoneingresses',
  TrafficRoute: 'traffic-routes',
  MeshCircuitBreaker: 'meshcircuitbreakers',
  MeshHealthCheck: 'meshhealthchecks',
};

const isFrom = ({ headers }: IncomingMessage, token: string): boolean => headers.authorization === `Bearer ${token}`;

t.test('from the API of a control plane, page by page, over TLS with a token', async (t) => {
  const authority = await createTestMesh('control-plane', { keyType: 'ec' });
  const dir = t.testdir({ 'ca.pem': authority.ca.cert, token: 'user-token\n' });
  const tls = authority.issue({ uris: [], dns: ['localhost'], ips: ['127.0.0.1'] });
  const { url, asked } = await startApi(t, { tls, token: 'user-token' });
  const folder = recordedFolder(`${dir}/zone`);
  const access = ['--token-file', `${dir}/token`, '--ca-cert-file', `${dir}/ca.pem`];
  const ran = await runCommand('migrate', '--cp-api', url, ...access, '-o', 'json');
  t.equal(ran.err, '');
  const [ofApi, ofFolder] = [planOf(ran.out), planOf((await runCommand('migrate', folder, '-o', 'json')).out)];
  const withoutPlaces = ({ meshes, access, helm }: Plan): object => ({
    meshes: meshes.map((mesh) => ({ ...mesh, tasks: [] })),
    access,
    helm,
  });
  t.same(withoutPlaces(ofApi), withoutPlaces(ofFolder));
  t.ok(
    asked.every((line) => line.startsWith('GET ')),
    'it is only read',
  );
  t.notOk(
    asked.some((line) => line.includes('secret')),
    'no Secret is asked for',
  );

  t.match(await runCommand('migrate', '--cp-api', url, '--ca-cert-file', `${dir}/ca.pem`), {
    code: 69,
    err: /refuses \(401\): give the token of a user by --token-file/,
  });
  t.match(await runCommand('migrate', '--cp-api', url, '--token-file', `${dir}/token`), {
    code: 69,
    err: /GET https:.*certificate/,
  });
  t.match(await runCommand('migrate', '--cp-api', url, '--token-file', `${dir}/token`, '--skip-verify'), { out: /Step 6/ });
});

t.test('a token that goes unencrypted, and what is no API or no egress, is said', async (t) => {
  const dir = t.testdir({ token: 'user-token' });
  const { url } = await startApi(t, {});
  t.match(await runCommand('migrate', '--cp-api', url, '--token-file', `${dir}/token`), {
    out: /Step 6/,
    err: /warning: the token goes unencrypted to 127\.0\.0\.1/,
  });
  const other = `http://127.0.0.1:${await serve(
    t,
    createHttpServer((_, response) => void response.end('{"items": 1}')),
  )}`;
  t.match(await runCommand('migrate', '--cp-api', other), { code: 69, err: /is no list of resources/ });
  t.match(await runCommand('migrate', '--admin', other), { code: 78, err: /it has no `configs`, so it is no \/config_dump/ });
  const page = `http://127.0.0.1:${await serve(
    t,
    createHttpServer((_, response) => void response.end('<html>')),
  )}`;
  t.match(await runCommand('migrate', '--cp-api', page), { code: 69, err: /is no list of resources/ });
  t.match(await runCommand('migrate', '--admin', page), { code: 78, err: /it is no JSON/ });
  const nothing = `http://127.0.0.1:${await freePort()}`;
  for (const option of ['--cp-api', '--admin'])
    t.match(await runCommand('migrate', option, nothing), { code: 69, err: /ECONNREFUSED/ });
  const envoy = `http://127.0.0.1:${await serve(
    t,
    createHttpServer((_, response) => void response.end(dumpOfEnvoy())),
  )}`;
  t.match(await runCommand('migrate', '--admin', envoy), {
    code: 78,
    err: /does not say the name of its zone: give it by --zone/,
  });
});

t.test('what is given twice, or without the other, is said', async (t) => {
  t.match(await runCommand('migrate', 'dir', '--admin', 'http://127.0.0.1:1'), { code: 64, err: /takes one source/ });
  t.match(await runCommand('migrate', 'dir', '--token-file', 'f'), { code: 64, err: /--token-file goes with --cp-api URL/ });
  t.match(await runCommand('migrate', '--admin', 'ftp://127.0.0.1:1'), { code: 64, err: /allowed is http:\/\/HOST:PORT/ });
  const secret = await runCommand('migrate', '--cp-api', 'https://user:secret@cp:5682');
  t.match(secret, { code: 64, err: /allowed is http:\/\/HOST:PORT and https:\/\/HOST:PORT/ });
  t.notMatch(secret.err, 'secret');
  t.match(await runCommand('migrate', '--cp-api', 'https://cp:5682', '--client-cert-file', 'f'), {
    code: 64,
    err: /go together/,
  });
});
