// Real clients use a real egress that records; permissions are suggested from its recording, and a
// second egress serves with them.
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { parseAllDocuments } from 'yaml';
import type { SuggestionProof } from '../../src/explain/prove-suggestion.ts';
import { LIVE } from '../data.ts';
import { gone, startZone } from '../egress/zone.ts';
import type { Zone, ZoneOptions } from '../egress/zone.ts';
import { sessionRecord } from '../observe/record.ts';
import { runCommand } from './running.ts';

interface Suggested {
  readonly proved: boolean;
  readonly resources: readonly object[];
  readonly beside: SuggestionProof | null;
  readonly instead: SuggestionProof;
  readonly exact: readonly object[];
  readonly refused: readonly object[];
  readonly leftOut: readonly { readonly why: string; readonly sessions: number }[];
  readonly unused: readonly { readonly name: string }[];
  readonly unusedDestinations: readonly string[];
}

async function suggest(...args: readonly string[]): Promise<{ readonly code: number; readonly said: Suggested }> {
  const { code, out, err } = await runCommand('suggest', ...args, '-o', 'json');
  if (err !== '') throw new Error(err);
  return { code, said: JSON.parse(out) as Suggested };
}

/** Passes twice, is denied, is passed through, has no route, and comes from another mesh. */
async function traffic(zone: Zone): Promise<void> {
  const sessions = [
    ['api{mesh=default}', zone.mesh.client('frontend')],
    ['api{mesh=default}', zone.mesh.client('frontend')],
    ['api{mesh=default}', zone.mesh.client('batch')],
    ['backend{mesh=default}', zone.mesh.client('frontend')],
    ['nothing{mesh=default}', zone.mesh.client('frontend')],
  ] as const;
  for (const [sni, client] of sessions) {
    const socket = await zone.connect(sni, client).catch(() => null);
    socket?.end();
    if (socket !== null) await gone(socket);
  }
  const byEnd = (reason: string) => zone.records.filter((record) => record.reason === reason).length;
  await zone.record(() => byEnd('denied') === 1 && byEnd('no-route') === 1 && zone.records.length === sessions.length);
}

async function recorded(t: Test, options: ZoneOptions = {}): Promise<{ readonly file: string; readonly folder: string }> {
  const dir = t.testdir({ resources: {} });
  const file = `${dir}/sessions.ndjson`;
  await using zone = await startZone(t, { record: { file }, ...options });
  await traffic(zone);
  writeFileSync(`${dir}/resources/zone.yaml`, readFileSync(`${zone.folder}/zone.yaml`));
  return { file, folder: `${dir}/resources` };
}

t.test('a permission for every client becomes one for the clients that were seen', async (t) => {
  const { file, folder } = await recorded(t);
  const text = readFileSync(`${folder}/zone.yaml`, 'utf8');
  writeFileSync(`${folder}/zone.yaml`, text.replace('{ kuma.io/service: frontend }', "{ kuma.io/service: '*' }"));
  const from = ['--records', file, '--resources', folder];
  const { code, said } = await suggest(...from);
  t.equal(code, 0);
  t.strictSame(said.resources, [
    {
      type: 'TrafficPermission',
      mesh: 'default',
      name: '0-suggested-api',
      sources: [{ match: { 'kuma.io/service': 'frontend' } }],
      destinations: [{ match: { 'kuma.io/service': 'api' } }],
    },
  ]);
  t.match(said, {
    proved: true,
    instead: {
      sessions: { of: 2, letIn: 2 },
      opened: [],
      closed: [
        { sni: 'api{mesh=default}', clients: ['any other client of mesh default'] },
        { sni: 'legacy{mesh=default}', clients: ['any other client of mesh default'] },
      ],
    },
    refused: [{ uris: ['kuma://kuma.io/service/batch', 'spiffe://default/batch'], destination: 'api', sessions: 1 }],
    unusedDestinations: ['ledger of mesh other', 'legacy of mesh default'],
    unused: [],
  });
  t.same(
    said.leftOut.map(({ why, sessions }) => [why, sessions]),
    [
      ['ended before a destination was known (no-route)', 1],
      ['were passed through to another zone, which decides who may', 1],
    ],
  );
  const { code: ran, out } = await runCommand('suggest', ...from);
  t.equal(ran, 0);
  t.match(out, /^# 1 permission for what was seen, by zone-egress suggest; the records are from 20.*Z to 20.*Z\.\n/);
  t.match(
    out,
    /\n# Beside the permissions of today, simulate lets in 2 of 2 sessions and 0 of 0 requests, and no client gains access/,
  );
  t.match(
    out,
    /\n# spiffe:\/\/default\/frontend -> api: 2 sessions, last 20.*Z, let in by TrafficPermission default\/frontend-out\n/,
  );
  t.match(
    out,
    /\n# Refused by a permission, and left out .*\n# {3}spiffe:\/\/default\/batch -> api: 1 session, last .*, refused by/,
  );
  t.equal((await runCommand('suggest', ...from)).out, out, 'the same again');

  // In the place of what was there it serves the same clients, and no others.
  const narrowed = text.replace(/---\ntype: TrafficPermission[^]*?(?=---\ntype: MeshExternalService)/, '');
  t.notMatch(narrowed, /TrafficPermission/);
  mkdirSync(`${folder}/../narrow`);
  writeFileSync(`${folder}/../narrow/zone.yaml`, narrowed);
  writeFileSync(`${folder}/../narrow/suggested.yaml`, out);
  const simulated = await runCommand('simulate', '--resources', `${folder}/../narrow`, '--decisions', file);
  t.match(simulated, { code: 0, out: /^none of 5 sessions come to another end/ });
  const again = await suggest('--records', file, '--resources', `${folder}/../narrow`);
  t.match(again.said, { resources: [], exact: [{ destination: 'api', by: 'TrafficPermission default/0-suggested-api' }] });
});

t.test('both forms are resources that an egress serves by, and --include-refused lets in what was refused', async (t) => {
  const { file, folder } = await recorded(t);
  for (const kind of ['MeshTrafficPermission', 'TrafficPermission'] as const) {
    for (const form of ['universal', 'kubernetes'] as const) {
      const { code, out } = await runCommand(
        ...(['suggest', '--records', file, '--resources', folder, '--include-refused', '--kind', kind, '--form', form] as const),
      );
      t.equal(code, 0, out);
      t.match(out, /simulate lets in 3 of 3 sessions and 0 of 0 requests, and no client gains access/);
      const documents = parseAllDocuments(out).map((each) => each.toJS() as { kind?: string; type?: string } | null);
      t.same(
        documents.flatMap((each) => each?.kind ?? each?.type ?? []),
        [kind],
      );
      const dir = `${folder}/../${kind}-${form}`;
      mkdirSync(dir);
      writeFileSync(`${dir}/zone.yaml`, readFileSync(`${folder}/zone.yaml`));
      writeFileSync(`${dir}/suggested.yaml`, out);
      const valid = await runCommand('validate', dir, '--strict');
      t.equal(valid.code, 0, valid.err + valid.out);
      const simulated = await runCommand('simulate', '--resources', dir, '--decisions', file, '-o', 'json');
      const { changes } = JSON.parse(simulated.out) as {
        readonly changes: readonly { readonly kind: string; readonly client: readonly string[] }[];
      };
      t.same(
        changes.map((each) => [each.kind, each.client]),
        [['newly-allowed', ['spiffe://default/batch']]],
      );
    }
  }
});

const api = (port: number, more = ''): string => `type: ExternalService
mesh: default
name: api
tags: { kuma.io/service: api${more} }
networking: { address: 'localhost:${port}' }
`;
const permission = (service: string): string => `---
type: TrafficPermission
mesh: default
name: to-api
sources: [{ match: { kuma.io/service: '${service}' } }]
destinations: [{ match: { kuma.io/service: api } }]
`;
const loopback = { lookup: () => Promise.resolve(['127.0.0.1']), traffic: { allowedResolved: ['127.0.0.0/8'] } };

t.test('with the suggested permissions a real egress lets in the clients that it saw, and refuses others', async (t) => {
  const open = await recorded(t, { ...loopback, resources: ({ tcp }) => api(tcp) + permission('frontend') });
  const asked = ['--records', open.file, '--resources', open.folder, '--kind', 'MeshTrafficPermission'];
  const { out, code } = await runCommand('suggest', ...asked);
  t.equal(code, 0, out);
  await using zone = await startZone(t, { ...loopback, resources: ({ tcp }) => `${api(tcp)}---\n${out}` });
  await traffic(zone);
  const passed = await zone.record(({ permission }) => permission !== '');
  t.equal(passed.permission, 'MeshTrafficPermission default/suggested-api');
  t.match(await zone.record(({ reason }) => reason === 'denied'), { spiffeIds: ['spiffe://default/batch'] });
});

t.test('requests are a reason too: who sent them, and how often', async (t) => {
  const dir = t.testdir({ resources: {} });
  const service = createServer((request, response) => void request.resume().on('end', () => response.end('ok')));
  await once(service.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    service.closeAllConnections();
    service.close();
  });
  const file = `${dir}/sessions.ndjson`;
  {
    const { port } = service.address() as AddressInfo;
    const allowed = `---
type: MeshTrafficPermission
mesh: default
name: all-but-batch
spec:
  from:
  - { targetRef: { kind: Mesh }, default: { action: Allow } }
  - { targetRef: { kind: MeshService, name: batch }, default: { action: Deny } }
`;
    await using zone = await startZone(t, {
      ...loopback,
      record: { file },
      resources: () => api(port, ', kuma.io/protocol: http') + allowed,
    });
    const statuses: number[] = [];
    zone.egress.onRequest(({ status }) => statuses.push(status));
    for (const client of ['frontend', 'batch']) {
      const socket = await zone.connect('api{mesh=default}', zone.mesh.client(client));
      socket.write('GET /a HTTP/1.1\r\nHost: api\r\n\r\nGET /b HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n');
      await gone(socket);
    }
    await zone.record(() => zone.records.length === 2);
    t.same(statuses, [200, 200, 403, 403]);
    writeFileSync(`${dir}/resources/zone.yaml`, readFileSync(`${zone.folder}/zone.yaml`));
  }
  const from = ['--records', file, '--resources', `${dir}/resources`];
  const { code, said } = await suggest(...from);
  t.equal(code, 0);
  t.match(said, {
    resources: [{ name: 'suggested-api', spec: { from: [{ targetRef: { kind: 'MeshService', name: 'frontend' } }] } }],
    beside: { sessions: { of: 1, letIn: 1 }, requests: { of: 2, letIn: 2 }, opened: [], closed: [] },
    instead: { closed: [{ sni: 'api{mesh=default}', clients: ['any other client of mesh default'] }] },
    refused: [{ uris: ['kuma://kuma.io/service/batch', 'spiffe://default/batch'], requests: 2 }],
  });
  const all = await suggest(...from, '--include-refused');
  t.equal(all.code, 0, 'a Deny of the whole mesh is overruled for the destination');
  t.match(all.said, { beside: { requests: { of: 4, letIn: 4 } }, refused: [] });
});

t.test('from a running Envoy its routes are known, and the permissions by their effect', async (t) => {
  const dump = readFileSync(new URL('admin/config_dump.include_eds.json', LIVE), 'utf8');
  const server = createServer((_, response) => void response.end(dump));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const seen = sessionRecord({
    sni: 'es-tls{mesh=default}',
    mode: 'terminate',
    mesh: 'default',
    destination: 'es-tls',
    cluster: 'default:es-tls',
    spiffeIds: ['spiffe://default/web'],
    uris: ['spiffe://default/web'],
    permission: 'x',
  });
  const file = `${t.testdir({})}/sessions.ndjson`;
  writeFileSync(file, `${JSON.stringify({ version: 1, ...seen })}\n`);
  const { code, said } = await suggest('--records', file, '--admin', url, '--zone', 'zone-1');
  t.equal(code, 0);
  t.match(said, { proved: true, beside: null, instead: { sessions: { of: 1, letIn: 1 }, opened: [] } });
  t.match(said.resources, [{ mesh: 'default', name: 'suggested-es-tls' }]);
});

t.test('records that say nothing, and questions that cannot be asked', async (t) => {
  const dir = t.testdir({ 'empty.ndjson': '', 'torn.ndjson': '{', resources: {} });
  {
    await using zone = await startZone(t, {});
    writeFileSync(`${dir}/resources/zone.yaml`, readFileSync(`${zone.folder}/zone.yaml`));
  }
  const at = ['--resources', `${dir}/resources`];
  t.match(await runCommand('suggest', '--records', `${dir}/empty.ndjson`, ...at), {
    code: 0,
    out: /^# 0 permissions for what was seen, by zone-egress suggest; there is no record\./,
  });
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['--records', 'x'], 64, /suggest needs --resources DIR/],
    [at, 64, /suggest needs --records FILE/],
    [[...at, '--admin', 'http://127.0.0.1:1'], 64, /only one of --resources and --admin/],
    [[...at, '--records', 'x', '--kind', 'RateLimit'], 64, /--kind "RateLimit": allowed are MeshTrafficPermission and/],
    [[...at, '--records', 'x', '--form', 'toml'], 64, /--form "toml": allowed are universal and kubernetes/],
    [[...at, '--records', `${dir}/torn.ndjson`], 66, /there is no recorded session in it/],
    [[...at, '--records', `${dir}/none`], 66, /there is no such file/],
    [['--resources', `${dir}/none`, '--records', `${dir}/empty.ndjson`], 66, /there is no such folder/],
  ];
  for (const [args, code, err] of cases) t.match(await runCommand('suggest', ...args), { code, err }, args.join(' '));
});
