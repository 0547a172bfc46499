/**
 * Compares each page with the answer of a real Envoy for the same configuration, and with Envoy's
 * own message types.
 */
import { fromJson } from '@bufbuild/protobuf';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import t from 'tap';
import { envoyPages } from '../../../src/admin/envoy/pages.ts';
import type { EnvoyFacts } from '../../../src/admin/envoy/facts.ts';
import type { View } from '../../../src/admin/views.ts';
import { CertificatesSchema } from '#envoy/admin/v3/certs_pb.js';
import { ClustersSchema } from '#envoy/admin/v3/clusters_pb.js';
import { ConfigDumpSchema } from '#envoy/admin/v3/config_dump_pb.js';
import { ListenersSchema } from '#envoy/admin/v3/listeners_pb.js';
import { MemorySchema } from '#envoy/admin/v3/memory_pb.js';
import { ServerInfoSchema } from '#envoy/admin/v3/server_info_pb.js';
import { registry } from '../../xds/recorded-state.ts';
import { emptyFacts, recordedFacts, recordedText } from './recorded-facts.ts';

async function get(facts: EnvoyFacts, target: string, method = 'GET'): Promise<View> {
  const [path = '', search = ''] = target.split('?');
  const view = await envoyPages(facts)(path, search, method, '');
  if (view === null) throw new Error(`no page ${path}`);
  return { ...view, body: view.body + [...(view.pieces ?? [])].join('') };
}

async function getJson(facts: EnvoyFacts, target: string): Promise<JsonObject> {
  const { status, contentType, body } = await get(facts, target);
  if (status !== 200 || contentType !== 'application/json') throw new Error(`${target}: ${status} ${contentType} ${body}`);
  return JSON.parse(body) as JsonObject;
}

/**
 * Returns every path of fields that occurs, without the content of maps and lists that the
 * recording made.
 */
function shapeOf(value: JsonValue, path = ''): readonly string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((item) => shapeOf(item, path)))];
  if (typeof value !== 'object' || value === null) return [path];
  return [
    ...new Set(Object.entries(value).flatMap(([key, item]) => [`${path}.${key}`, ...shapeOf(item, `${path}.${key}`)])),
  ].sort();
}

function section(dump: JsonObject, type: string): JsonObject {
  const found = (dump.configs as JsonObject[]).find((each) => each['@type'] === `type.googleapis.com/envoy.admin.v3.${type}`);
  if (found === undefined) throw new Error(`no ${type}`);
  return found;
}

function only(value: unknown, name: string): JsonObject {
  const found = (value as JsonObject[]).find((each) => JSON.stringify(each).includes(name));
  if (found === undefined) throw new Error(`nothing about ${name}`);
  return found;
}

/** Keeps the parts of a dump that depend neither on time nor on the run. */
function comparable(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => key !== 'version_info' && key !== 'last_updated');
  return Object.fromEntries(entries.map(([key, item]) => [key, comparable(item)]));
}

function withoutChain(listener: JsonValue, name: string): JsonValue {
  const text = JSON.stringify(listener);
  const kept = JSON.parse(text) as { active_state: { listener: { filter_chains: JsonObject[] } } };
  const chains = kept.active_state.listener.filter_chains;
  kept.active_state.listener.filter_chains = chains.filter((chain) => !JSON.stringify(chain).includes(name));
  return kept;
}

t.test('/config_dump is a message that Envoy’s types accept without an unknown field', async (t) => {
  for (const target of ['/config_dump', '/config_dump?include_eds=true']) {
    const dump = fromJson(ConfigDumpSchema, await getJson(recordedFacts(), target), { registry });
    t.ok(dump.configs.length >= 6, `${dump.configs.length} sections`);
  }
});

t.test('its sections, clusters, listeners and secrets are those of the recorded Envoy', async (t) => {
  const ours = await getJson(recordedFacts(), '/config_dump?include_eds=true');
  const theirs = JSON.parse(recordedText('admin/config_dump.include_eds.json')) as JsonObject;
  const types = (dump: JsonObject): JsonValue[] => (dump.configs as JsonObject[]).map((each) => each['@type'] ?? '');
  t.same(types(ours), types(theirs));

  const clusters = (dump: JsonObject): JsonValue => comparable(section(dump, 'ClustersConfigDump').dynamic_active_clusters ?? []);
  const byName = (value: JsonValue): JsonValue[] =>
    (value as JsonObject[]).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  t.same(byName(clusters(ours)), byName(clusters(theirs)));
  // Between the two recordings one permission was changed: that of es-team.
  const listener = (dump: JsonObject): JsonValue =>
    withoutChain(comparable(only(section(dump, 'ListenersConfigDump').dynamic_listeners, 'inbound:127.0.0.2:10002')), 'es-team');
  t.same(listener(ours), listener(theirs));
  const secrets = (dump: JsonObject): JsonValue => comparable(section(dump, 'SecretsConfigDump').dynamic_active_secrets ?? []);
  t.same(shapeOf(secrets(ours)), shapeOf(secrets(theirs)));
  t.same(
    shapeOf(section(ours, 'BootstrapConfigDump')).filter((path) => path.startsWith('.bootstrap.dynamic')),
    shapeOf(section(theirs, 'BootstrapConfigDump')).filter((path) => path.startsWith('.bootstrap.dynamic')),
  );
  t.ok(!JSON.stringify(ours).includes('not_shown'));
});

t.test('its endpoints are those of the recorded Envoy', async (t) => {
  const of = (dump: JsonObject): Map<string, JsonObject> => {
    const all = section(dump, 'EndpointsConfigDump').dynamic_endpoint_configs as { endpoint_config: JsonObject }[];
    return new Map(all.map(({ endpoint_config: config }) => [JSON.stringify(config.cluster_name), config]));
  };
  const ours = of(await getJson(recordedFacts(), '/config_dump?include_eds'));
  const theirs = of(JSON.parse(recordedText('admin/config_dump.include_eds.json')) as JsonObject);
  for (const name of ['default:backend', 'mesh-2:backend', 'default:es-tcp', 'default_mes-prio___extsvc_9100']) {
    const [a, b] = [ours.get(JSON.stringify(name)), theirs.get(JSON.stringify(name))];
    const addresses = (config: JsonObject | undefined): readonly string[] =>
      [...JSON.stringify(config).matchAll(/"address":"([0-9.]+)","port_value":(\d+)/g)].map(([, ip, port]) => `${ip}:${port}`);
    t.same(addresses(a), addresses(b), name);
    t.same(
      shapeOf(a ?? {}).filter((path) => !/metadata|hostname|sub_zone/.test(path)),
      shapeOf(b ?? {}).filter((path) => !/metadata|hostname|sub_zone/.test(path)),
      name,
    );
  }
});

t.test('no private key and no token is in any page', async (t) => {
  const facts = recordedFacts();
  const targets = ['/config_dump?include_eds', '/certs', '/clusters?format=json', '/server_info', '/stats', '/stats/prometheus'];
  for (const target of targets) {
    const { body } = await get(facts, target);
    const inline = [...body.matchAll(/"([A-Za-z0-9+/]{40,}={0,2})"/g)].map(([, text = '']) =>
      Buffer.from(text, 'base64').toString('latin1'),
    );
    const all = [body, ...inline].join('\n');
    t.notMatch(all, /PRIVATE KEY/, target);
    t.notMatch(all, /eyJ[A-Za-z0-9_-]{10,}\.eyJ/, target);
    for (const { key } of facts.credentials()) t.notOk(all.includes(key.slice(30, 90)), target);
  }
  t.match((await get(facts, '/config_dump')).body, /W3JlZGFjdGVkXQ==|\[redacted\]/);
});

t.test('one kind of resource may be asked for, by name', async (t) => {
  const facts = recordedFacts();
  const dump = await getJson(facts, '/config_dump?resource=dynamic_listeners&name_regex=kuma:.*');
  fromJson(ConfigDumpSchema, dump, { registry });
  t.match(dump, {
    configs: [{ '@type': 'type.googleapis.com/envoy.admin.v3.ListenersConfigDump.DynamicListener', name: 'kuma:envoy:admin' }],
  });
  t.equal((dump.configs as JsonValue[]).length, 1);
  t.match(await get(facts, '/config_dump?resource=nope'), { status: 404, body: 'nope not found in config dump' });
  t.match(await get(facts, '/config_dump?mask=nope'), {
    status: 400,
    body: 'FieldMask nope could not be successfully applied to any configs.',
  });
});

t.test('/clusters has the lines and the fields of Envoy', async (t) => {
  const facts = recordedFacts();
  const keysOf = (text: string): readonly string[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('default:backend::'))
      .map((line) => line.slice(0, line.lastIndexOf('::')));
  // Open sessions are known for a cluster, not for each of its hosts.
  const theirs = keysOf(recordedText('admin/clusters.txt')).filter((line) => !/::[cr][xq]_active$/.test(line));
  t.same(keysOf((await get(facts, '/clusters')).body), theirs);

  const json = await getJson(facts, '/clusters?format=json');
  fromJson(ClustersSchema, json, { registry });
  const recorded = JSON.parse(recordedText('admin/clusters.json')) as JsonObject;
  t.same(
    shapeOf(only(json.cluster_statuses, '"default:es-tcp"')),
    shapeOf(only(recorded.cluster_statuses, '"default:es-tcp"'))
      .filter((path) => path !== '.host_statuses.stats.value')
      .concat([]),
  );
});

t.test('/listeners, /certs, /memory and /server_info are messages of Envoy', async (t) => {
  const facts = recordedFacts();
  t.equal((await get(facts, '/listeners')).body, recordedText('admin/listeners.txt'));
  t.same(await getJson(facts, '/listeners?format=json'), JSON.parse(recordedText('admin/listeners.json')));
  fromJson(ListenersSchema, await getJson(facts, '/listeners?format=json'), { registry });
  fromJson(MemorySchema, await getJson(facts, '/memory'), { registry });
  const info = await getJson(facts, '/server_info');
  fromJson(ServerInfoSchema, info, { registry });
  t.match(info, {
    version: /^zone-egress\/[^/]+\/[^/]+\/[^/]+\/[^/]+$/,
    state: 'LIVE',
    uptime_all_epochs: '427s',
    node: { id: '.egress-1' },
  });

  const certs = await getJson(facts, '/certs');
  fromJson(CertificatesSchema, certs, { registry });
  const recorded = (JSON.parse(recordedText('admin/certs.json')) as { certificates: JsonObject[] }).certificates;
  const mesh2 = (all: unknown): JsonObject => only(all, 'spiffe://mesh-2/zone-egress');
  t.same(shapeOf(mesh2(certs.certificates)), shapeOf(mesh2(recorded)));
  t.match(mesh2(certs.certificates), {
    ca_cert: [{ serial_number: '0', subject_alt_names: [{ uri: 'spiffe://mesh-2' }], valid_from: /^2026-11-23T08:17:38Z$/ }],
    cert_chain: [{ subject_alt_names: [{ uri: 'spiffe://mesh-2/zone-egress' }, { uri: 'kuma://kuma.io/service/zone-egress' }] }],
  });
});

t.test('missing pages and forbidden methods are answered with Envoy’s text', async (t) => {
  const facts = emptyFacts();
  t.match(await get(facts, '/nope'), { status: 404, body: /^invalid path\. admin commands are:\n {2}\// });
  t.match(await get(facts, '/help'), { status: 200, body: /^admin commands are:\n/ });
  for (const path of ['/quitquitquit', '/healthcheck/fail', '/drain_listeners', '/logging', '/reset_counters'])
    t.match(await get(facts, path), { status: 405, body: 'Method GET not allowed, POST required.' }, path);
  t.match(await get(facts, '/quitquitquit', 'POST'), { status: 403, body: /use the socket of --admin-socket/ });
  t.match(await get(facts, '/runtime_modify', 'POST'), { status: 503, body: 'No admin layer specified' });
  t.match(await get(facts, '/cpuprofiler', 'POST'), { status: 501 });
  t.match(await get(facts, '/runtime'), {
    status: 200,
    contentType: 'application/json',
    body: '{\n "entries": {},\n "layers": []\n}\n',
  });
  t.match(await get(facts, '/stats', 'POST'), { status: 200 });
  t.match(await get(facts, '/stats?filter=('), { status: 400, body: 'Invalid re2 regex: missing ): (' });
  t.match(await get(facts, '/stats?format=nope'), { status: 400, body: /^usage: \/stats\?format=\(/ });
  t.match(await get(facts, '/clusters?filter=('), { status: 400 });
  t.match(await get(facts, '/hot_restart_version'), { status: 200, body: 'disabled' });
  t.match(await get(facts, '/init_dump'), { status: 200, body: '{}\n' });
  t.match(await get(facts, '/ready'), { status: 200, body: 'LIVE\n' });
  const leaving = emptyFacts({ ready: () => ({ ok: false, text: 'TERMINATING' }) });
  t.match(await get(leaving, '/ready'), { status: 503, body: 'TERMINATING\n' });
});

t.test('with a configuration from files there is no dump, and all other pages exist', async (t) => {
  t.match(await get(emptyFacts(), '/config_dump'), { status: 404, body: /see \/routes/ });
  t.match(await getJson(emptyFacts(), '/server_info'), { state: 'LIVE' });
  t.notMatch((await get(emptyFacts(), '/stats')).body, /control_plane/);
});
