/**
 * Requests and reads the bootstrap of real control planes: 2.14.3, 2.12.14, 2.9.19 recorded, and
 * Kuma's own expectations for the other variants.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parseBootstrap } from '../../src/xds/bootstrap/bootstrap.ts';
import type { Bootstrap } from '../../src/xds/bootstrap/bootstrap.ts';
import { bootstrapRequest } from '../../src/xds/bootstrap/bootstrap-request.ts';
import type { ControlPlaneOptions } from '../../src/xds/bootstrap/control-plane-options.ts';
import { KUMA, LIVE, withKuma } from '../data.ts';

function answer(yaml: string): string {
  return JSON.stringify({ bootstrap: Buffer.from(yaml).toString('base64'), kumaSidecarConfiguration: {} });
}

function parsed(yaml: string): Bootstrap {
  const outcome = parseBootstrap(answer(yaml), '1.2.3');
  if (outcome.kind === 'refused') throw new Error(outcome.why);
  return outcome.bootstrap;
}

function refusal(body: string): string {
  const outcome = parseBootstrap(body, '1.2.3');
  return outcome.kind === 'refused' ? outcome.why : 'read';
}

/** The texts of the recorded request. */
interface RecordedTexts {
  readonly caCert: string;
  readonly dataplaneToken: string;
  readonly dataplaneTokenPath: string;
  readonly dataplaneResource: string;
  readonly workdir: string;
}

const recorded = (path: string): string => readFileSync(new URL(path, LIVE), 'utf8');
const golden = (name: string): string => readFileSync(new URL(`bootstrap/${name}.yaml`, KUMA), 'utf8');

t.test('the request is the one of kuma-dp, but for what this egress is and does', async (t) => {
  const text = recorded('bootstrap/kuma-dp.request.http');
  const real = JSON.parse(text.slice(text.indexOf('{'))) as Readonly<Record<string, unknown>> & RecordedTexts;
  const options: ControlPlaneOptions = {
    url: 'https://localhost:5678',
    caCert: real.caCert,
    systemTrust: null,
    skipVerify: false,
    token: () => Promise.resolve(null),
    tokenPath: real.dataplaneTokenPath,
    name: 'egress-1',
    resource: real.dataplaneResource,
    retryBackoffMs: 3_000,
    retryMaxMs: 300_000,
    readinessPort: 9_902,
    drainTimeMs: 30_000,
    workDir: real.workdir,
    systemCaPath: '/etc/ssl/certs/ca-certificates.crt',
    ipv6Enabled: true,
    maxHeapSizeBytes: 0,
    dynamicMetadata: {},
    warnings: [],
  };
  const ours: Record<string, unknown> = {
    ...bootstrapRequest(options, { version: '1.2.3', operatingSystem: 'linux', token: real.dataplaneToken }),
  };
  const differences = new Set(
    [...Object.keys(real), ...Object.keys(ours)].filter((key) => JSON.stringify(real[key]) !== JSON.stringify(ours[key])),
  );
  t.same(
    [...differences].sort(),
    [
      // Features that this egress lacks: OpenTelemetry by a pipe, DNS for sidecars.
      'dnsPort',
      'otelEnv',
      // The supported ones of the four features, and the identity of this egress.
      'features',
      'version',
    ].sort(),
  );
  t.notOk('dnsPort' in ours);
  t.notOk('otelEnv' in ours);
  t.same(ours.features, ['feature-reuse-port']);
  const offering = bootstrapRequest({ ...options, delta: true }, { version: '1.2.3', operatingSystem: 'linux', token: null });
  t.same(offering.features, ['feature-reuse-port', 'feature-delta-grpc'], 'delta where the environment says so');
  t.same(
    Object.keys(ours),
    Object.keys(real).filter((key) => key in ours),
    'in the same order',
  );
  const { envoy } = ours.version as { readonly envoy: { readonly version: string; readonly build: string } };
  t.equal(envoy.build.split('/').length, 5, 'the five parts that kuma-dp reads of Envoy');
  t.equal(envoy.build.split('/')[1], envoy.version);
  t.notMatch(JSON.stringify(ours.version), /"v?\d+\.\d+/, 'nothing that reads as a version of Envoy or Kuma');
  t.notMatch(JSON.stringify(ours.features), /unified|delta/);
});

t.test('what is not there is left out or empty, as kuma-dp has it', async (t) => {
  const options: ControlPlaneOptions = {
    url: 'https://localhost:5678',
    systemTrust: null,
    skipVerify: false,
    token: () => Promise.resolve(null),
    name: 'there',
    resource: null,
    retryBackoffMs: 1,
    retryMaxMs: 1,
    readinessPort: 1,
    drainTimeMs: 0,
    systemCaPath: '',
    ipv6Enabled: false,
    maxHeapSizeBytes: 0,
    dynamicMetadata: {},
    warnings: [],
  };
  const request = bootstrapRequest(options, { version: '1', operatingSystem: 'linux', token: null });
  for (const key of ['dataplaneToken', 'dataplaneTokenPath', 'dataplaneResource']) t.notOk(key in request, key);
  t.match(request, { mesh: '', name: 'there', caCert: '', workdir: '' });
});

t.test('2.14.3: who we are, where ADS is, how it proves itself', async (t) => {
  const { node, ads, admin, readinessPort, document } = parsed(recorded('bootstrap/kuma-dp.bootstrap.yaml'));
  t.match(node, {
    id: '.egress-1',
    cluster: 'egress',
    userAgentName: 'zone-egress',
    userAgentVersionType: { case: 'userAgentVersion', value: '1.2.3' },
    metadata: {
      'dataplane.proxyType': 'egress',
      'dataplane.readinessReporter.port': '9902',
      'dataplane.admin.port': '9901',
      ipv6Enabled: true,
      version: { kumaDp: { version: '2.14.3' } },
    },
  });
  t.match(JSON.parse(node.metadata?.['dataplane.resource'] as string), { type: 'ZoneEgress', name: 'egress-1' });
  t.same(ads.target, { host: 'localhost', port: 5_678 });
  t.match(ads.tls, { kind: 'tls', verify: true, serverName: null, ca: /^-----BEGIN CERTIFICATE-----\n/ });
  t.match(ads.auth, { kind: 'inline', token: /^eyJ/ });
  t.equal(ads.keepAlive, null);
  t.same(admin, { kind: 'pipe', path: '/run/kuma-dp/egress-1/kuma-envoy-admin.sock' });
  t.equal(readinessPort, 9_902);
  t.notMatch(JSON.stringify(document), /eyJhbGci/, 'the document can be shown');
  t.match(JSON.stringify(document), /"key":"authorization","value":"\[redacted\]"/);
});

t.test('the answer as it came over HTTP', async (t) => {
  const text = recorded('bootstrap/kuma-dp.response.http');
  t.match(parseBootstrap(text.slice(text.indexOf('{')), '1'), { kind: 'read', bootstrap: { node: { id: '.egress-1' } } });
});

t.test('2.12.14 and 2.9.19: the same, with an admin address in place of a pipe', async (t) => {
  for (const version of ['2.12.14', '2.9.19']) {
    const { node, ads, admin, readinessPort } = parsed(recorded(`versions/${version}/bootstrap/like-kuma-dp-2.14.3.yaml`));
    t.equal(node.id, '.egress-1', version);
    t.equal(ads.target.host, 'localhost');
    t.match(ads.tls, { kind: 'tls', verify: true, serverName: null, ca: /BEGIN CERTIFICATE/ });
    t.equal(ads.auth.kind, 'inline');
    t.same(admin, { kind: 'tcp', address: '127.0.0.1', port: 9_901 });
    t.equal(readinessPort, 9_902);
    t.equal(parsed(recorded(`versions/${version}/bootstrap/minimal.yaml`)).readinessPort, null, 'none where none was told');
  }
});

t.test('every document of the recorded cases is read, with the form of ADS that it asks for', async (t) => {
  for (const name of ['ok-minimal', 'no-version', 'no-workdir', 'dynamic-metadata', 'max-heap'])
    t.equal(parsed(recorded(`bootstrap/cases/${name}.bootstrap.yaml`)).node.cluster, 'egress', name);
  t.match(parsed(recorded('bootstrap/cases/no-workdir.bootstrap.yaml')).admin, { kind: 'tcp', port: 9_901 });
  t.match(parsed(recorded('bootstrap/cases/dynamic-metadata.bootstrap.yaml')).node.metadata, { dynamicMetadata: { a: 'b' } });
  for (const path of ['bootstrap/cases/delta.bootstrap.yaml', 'versions/2.12.14/bootstrap/with-delta-and-unified-naming.yaml'])
    t.equal(parsed(recorded(path)).ads.protocol, 'delta', path);
  t.equal(
    parsed(recorded('versions/2.9.19/bootstrap/with-delta-and-unified-naming.yaml')).ads.protocol,
    'sotw',
    '2.9 knows no delta',
  );
  const rest = recorded('bootstrap/cases/delta.bootstrap.yaml').replace('DELTA_GRPC', 'REST');
  t.match(refusal(answer(rest)), /adsConfig\.apiType REST: allowed are GRPC and DELTA_GRPC/);
});

t.test('the gRPC client of Google: address, trust, keep-alive and the file of the token', withKuma, async (t) => {
  const yaml = golden('generator.default-config-token-path');
  const { ads } = parsed(yaml);
  t.same(ads.target, { host: 'localhost', port: 5_678 });
  t.match(ads.tls, { kind: 'tls', verify: true, serverName: null, ca: /BEGIN CERTIFICATE/ });
  t.same(ads.auth, { kind: 'file', path: '/path/to/file' });
  t.same(ads.keepAlive, { timeMs: 10_000, timeoutMs: 30_000 });
  const without = refusal(answer(yaml.replaceAll('targetUri: localhost:5678', 'targetUri: localhost')));
  t.match(without, /googleGrpc\.targetUri "localhost": allowed is host:port/);
});

t.test('Kuma’s other expectations: no admin, no token, incremental', withKuma, async (t) => {
  t.match(parsed(golden('bootstrap.universal')), { admin: { kind: 'none' }, ads: { auth: { kind: 'inline', token: 'token' } } });
  for (const name of [
    'bootstrap.k8s',
    'generator.default-config',
    'generator.default-config.kubernetes',
    'generator.system-cert-config.kubernetes',
  ])
    t.equal(parsed(golden(name)).ads.target.port, 5_678, name);
  const minimal = golden('generator.custom-config-minimal-request-and-delta');
  t.equal(parsed(minimal).ads.protocol, 'delta');
  const sotw = parsed(minimal.replace('DELTA_GRPC', 'GRPC'));
  t.match(sotw, {
    ads: { target: { port: 15_678 }, auth: { kind: 'none' } },
    admin: { kind: 'tcp', address: '192.168.0.1', port: 9_902 },
  });
});

t.test('a control plane that calls itself otherwise is asked for that name', async (t) => {
  const yaml = recorded('bootstrap/kuma-dp.bootstrap.yaml');
  const renamed = yaml.replaceAll('exact: localhost', 'exact: cp.example').replace('sni: localhost', 'sni: cp.example');
  t.match(parsed(renamed).ads, { target: { host: 'localhost' }, tls: { serverName: 'cp.example' } });
  t.match(
    parsed(yaml.replace('address: localhost', 'address: 2001:db8::1').replaceAll('exact: localhost', 'exact: 2001:db8::1')).ads,
    {
      target: { host: '2001:db8::1' },
      tls: { serverName: null },
    },
  );
});

t.test('an unusable part of a bootstrap is reported with its place, without secrets', async (t) => {
  const yaml = recorded('bootstrap/kuma-dp.bootstrap.yaml');
  const cases: readonly [body: string, why: RegExp][] = [
    ['<html>', /no JSON: is this the data plane server/],
    [yaml, /YAML in place of JSON/],
    ['{}', /has no bootstrap in it/],
    ['null', /has no bootstrap in it/],
    [answer('a: [1'), /^bootstrap of the control plane:1:/],
    [answer('- a'), /is not one document with a map/],
    [answer('a: 1'), /apiType none: allowed are GRPC and DELTA_GRPC/],
    [answer(yaml.replace('apiType: GRPC', 'apiType: REST')), /apiType REST: allowed are GRPC and DELTA_GRPC/],
    [answer(yaml.replace('id: .egress-1', 'other: x')), /node\.id: is missing/],
    [answer(yaml.replace('id: .egress-1', 'id: [a]')), /node\.id: is missing/],
    [answer(yaml.replace('cluster: egress', 'cluster: [egress]')), /node: is not one of Envoy/],
    [answer(yaml.replace('envoyGrpc:', 'otherGrpc:')), /has neither envoyGrpc nor googleGrpc/],
    [answer(yaml.replace('clusterName: ads_cluster', 'clusterName: elsewhere')), /has no "elsewhere", where ADS is said to be/],
    [answer(yaml.replace('portValue: 5678', 'portValue: 0')), /"ads_cluster": has no address with a port/],
    [answer(yaml.replace('exact: localhost', 'prefix: localhost')), /matchTypedSubjectAltNames: allowed is a matcher with exact/],
    [answer(yaml.replace('exact: localhost', 'exact: other')), /matchTypedSubjectAltNames other, localhost: allowed is one name/],
    [answer(yaml.replace(/inlineBytes: \S+/, 'inlineBytes: AAAA')), /trustedCa: is no certificate that can be read/],
    [answer(yaml.replace(/inlineBytes: \S+/, 'filename: /ca')), /trustedCa\.filename: allowed is inlineBytes or inlineString/],
  ];
  for (const [body, why] of cases) {
    t.match(refusal(body), why);
    t.notMatch(refusal(body), /eyJ/);
  }
});

t.test('an answer cut anywhere, or with a changed character, is read or refused, never thrown', async (t) => {
  const yaml = recorded('bootstrap/kuma-dp.bootstrap.yaml');
  let refused = 0;
  for (let at = 0; at < yaml.length; at += 97) {
    if (refusal(answer(yaml.slice(0, at))) !== 'read') refused++;
    refusal(answer(`${yaml.slice(0, at)}{${yaml.slice(at + 1)}`));
  }
  t.ok(refused > 20, `${refused} cuts were refused`);
});
