// Makes generated/envoy from Envoy's protos, as @grpc/grpc-js-xds ships them, with protobuf-es:
// `node scripts/envoy-types/generate.mjs`. The result is committed.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { npm, root } from '../setup.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const out = join(root, 'generated', 'envoy');

/** The messages that a zone egress receives, requests and shows; their imports follow. */
const WANTED = [
  'envoy/service/discovery/v3/ads',
  'envoy/config/cluster/v3/cluster',
  'envoy/config/endpoint/v3/endpoint',
  'envoy/config/listener/v3/listener',
  'envoy/config/route/v3/route',
  'envoy/config/rbac/v3/rbac',
  'envoy/config/bootstrap/v3/bootstrap',
  'envoy/config/grpc_credential/v3/file_based_metadata',
  'envoy/admin/v3/certs',
  'envoy/admin/v3/clusters',
  'envoy/admin/v3/config_dump',
  'envoy/admin/v3/init_dump',
  'envoy/admin/v3/listeners',
  'envoy/admin/v3/memory',
  'envoy/admin/v3/server_info',
  'envoy/extensions/access_loggers/file/v3/file',
  'envoy/extensions/access_loggers/filters/cel/v3/cel',
  'envoy/extensions/common/matching/v3/extension_matcher',
  'envoy/extensions/filters/common/matcher/action/v3/skip_action',
  'envoy/extensions/filters/http/fault/v3/fault',
  'envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit',
  'envoy/extensions/filters/http/rbac/v3/rbac',
  'envoy/extensions/filters/http/router/v3/router',
  'envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector',
  'envoy/extensions/filters/network/connection_limit/v3/connection_limit',
  'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager',
  'envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit',
  'envoy/extensions/filters/network/rbac/v3/rbac',
  'envoy/extensions/filters/network/set_filter_state/v3/set_filter_state',
  'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy',
  'envoy/extensions/load_balancing_policies/least_request/v3/least_request',
  'envoy/extensions/load_balancing_policies/maglev/v3/maglev',
  'envoy/extensions/load_balancing_policies/random/v3/random',
  'envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash',
  'envoy/extensions/load_balancing_policies/round_robin/v3/round_robin',
  'envoy/extensions/load_balancing_policies/subset/v3/subset',
  'envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality',
  'envoy/extensions/matching/common_inputs/network/v3/network_inputs',
  'envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs',
  'envoy/extensions/regex_engines/v3/google_re2',
  'envoy/extensions/transport_sockets/tls/v3/tls',
  'envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config',
  'envoy/extensions/upstreams/http/v3/http_protocol_options',
];

const IMPORT_STATE = 'import "envoy/type/matcher/v3/filter_state.proto";';
const FILTER_STATE = 'repeated type.matcher.v3.FilterStateMatcher filter_state = 16;';
const STATE_VALUES = `repeated common.set_filter_state.v3.FilterStateValue on_downstream_tls_handshake = 2;
  repeated common.set_filter_state.v3.FilterStateValue on_downstream_data = 3;`;

if (!existsSync(join(here, 'node_modules'))) npm(here, existsSync(join(here, 'package-lock.json')) ? ['ci'] : ['install']);
const shipped = join(here, 'node_modules', '@grpc', 'grpc-js-xds', 'deps');
const work = mkdtempSync(join(tmpdir(), 'zone-egress-proto-'));
try {
  for (const folder of ['envoy-api', 'googleapis', 'protoc-gen-validate', 'xds'])
    cpSync(join(shipped, folder), join(work, folder), { recursive: true });
  for (const folder of ['java', 'tests']) rmSync(join(work, 'protoc-gen-validate', folder), { recursive: true, force: true });
  // The shipped copy of validate.proto is older than the rules in Envoy's protos.
  edit('protoc-gen-validate/validate/validate.proto', (text) =>
    text.replace('bool strict = 25 [default = true];', '$&\n  optional bool ignore_empty = 26;'),
  );
  // OpenCensus is not shipped, and no egress receives it.
  edit('envoy-api/envoy/config/trace/v3/trace.proto', (text) => text.replace(/^import public [^\n]*opencensus[^\n]*\n/m, ''));
  rmSync(join(work, 'envoy-api/envoy/config/trace/v3/opencensus.proto'), { force: true });
  // Fields that are newer than the shipped protos; Kuma 3.0 sends them to name the client of a route.
  const routes = 'envoy-api/envoy/config/route/v3/route_components.proto';
  edit(routes, (text) => text.replace(/^import "envoy\/type\/matcher\/v3\/metadata\.proto";$/m, `${IMPORT_STATE}\n$&`));
  edit(routes, (text) => text.replace(/^ *repeated type\S+MetadataMatcher dynamic_metadata = 13;$/m, `$&\n${FILTER_STATE}`));
  edit('envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state.proto', (text) =>
    text.replace(/^ *repeated \S+FilterStateValue on_new_connection = 1;$/m, `$&\n${STATE_VALUES}`),
  );
  writeFileSync(
    join(work, 'buf.yaml'),
    'version: v2\nmodules:\n  - path: envoy-api\n  - path: googleapis\n  - path: protoc-gen-validate\n  - path: xds\n',
  );
  const plugin = join(here, 'node_modules', '@bufbuild', 'protoc-gen-es', 'bin', 'protoc-gen-es');
  writeFileSync(
    join(work, 'buf.gen.yaml'),
    `version: v2\nplugins:\n  - local: [${JSON.stringify(process.execPath)}, ${JSON.stringify(plugin)}]\n    out: out\n    opt: target=js+dts,import_extension=js\n    include_imports: true\n`,
  );
  const buf = join(here, 'node_modules', '@bufbuild', `buf-${process.platform}-${process.arch}`, 'bin', 'buf');
  const paths = WANTED.flatMap((name) => ['--path', `envoy-api/${name}.proto`]);
  const { status } = spawnSync(buf, ['generate', ...paths], { cwd: work, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  const license = readFileSync(join(out, 'LICENSE'));
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'LICENSE'), license);
  // Moves Envoy's own packages to the top, beside their imports: `envoy/config/…` becomes
  // `config/…`.
  for (const name of readdirSync(join(work, 'out'))) {
    cpSync(join(work, 'out', name), name === 'envoy' ? out : join(out, name), { recursive: true });
  }
  for (const path of readdirSync(out, { recursive: true, encoding: 'utf8' })) {
    // Removes the comments: they are Envoy's documentation, and four fifths of the text.
    if (path.endsWith('.d.ts') || path.endsWith('.js')) {
      const file = join(out, path);
      const text = readFileSync(file, 'utf8')
        .replace(/^[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n/gm, '')
        .replace(/\n{3,}/g, '\n\n')
        .replace(/(from ")(\.[^"]+)(")/g, (_, before, to, after) => `${before}${moved(path, to)}${after}`);
      writeFileSync(file, text);
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

/**
 * Corrects an import after Envoy's packages have moved up by one folder. `path` is the present
 * place of the importing file.
 */
function moved(path, to) {
  const top = ['google', 'udpa', 'validate', 'xds'].includes(path.split('/')[0]) ? '' : 'envoy/';
  const target = posix.normalize(posix.join(posix.dirname(top + path), to)).replace(/^envoy\//, '');
  const relative = posix.relative(posix.dirname(path), target);
  return relative.startsWith('.') ? relative : `./${relative}`;
}

function edit(path, change) {
  const file = join(work, path);
  const before = readFileSync(file, 'utf8');
  const after = change(before);
  if (after === before) throw new Error(`${path}: nothing to change; are these other protos?`);
  writeFileSync(file, after);
}
