import t from 'tap';
import { ALLOW_ALL, compileTexts, compileZone, EGRESS, external, lines, linesOf, MESH } from './fixtures/compiling.ts';

/**
 * Returns the messages of one document after a ZoneEgress and a mesh, without its place in the
 * file.
 */
function say(text: string): readonly string[] {
  const before = [EGRESS, MESH].join('---\n').split('\n').length;
  return compileZone(text).problems.map(({ severity, line, column, field, message }) => {
    const place = `${line - before}:${column}`;
    return `${place}${severity === 'warning' ? ' warning' : ''} ${field}: ${message}`;
  });
}

t.test('Mesh', async (t) => {
  const mesh = (more: string): readonly string[] => lines(compileTexts([EGRESS, `type: Mesh\nname: m\n${more}`]));
  t.same(mesh('routing: {zoneEgress: true}\n'), ['zone.yaml:6:1 mtls: has to be set when zoneEgress enabled']);
  t.same(mesh('mtls: {enabledBackend: x, backends: [{name: a, type: builtin}]}\n'), [
    'zone.yaml:8:24 mtls.enabledBackend: has to be set to one of the backends in the mesh',
  ]);
  t.same(mesh('mtls:\n  backends:\n  - {name: a, type: builtin}\n  - {name: a, type: builtin}\n'), [
    'zone.yaml:10:3 mtls.backends: cannot have more than 1 backends',
    'zone.yaml:11:12 mtls.backends[1].name: "a" name is already used for another backend',
  ]);
  for (const [expiration, place] of [
    ['{rotation: {expiration: 1day}}', '8:95'],
    ['{rotation: {expiration: "1h30m"}}', '8:95'],
    ['{requestTimeout: 1s}', '8:71'],
  ]) {
    t.same(mesh(`mtls: {enabledBackend: a, backends: [{name: a, type: builtin, dpCert: ${expiration}}]}\n`), [
      `zone.yaml:${place} mtls.dpcert.rotation.expiration: has to be a valid format`,
    ]);
  }
});

t.test('ZoneIngress', async (t) => {
  const ingress = (networking: string, services = '[]'): readonly string[] =>
    say(`type: ZoneIngress\nname: zi\nzone: zone-1\nnetworking: ${networking}\navailableServices: ${services}\n`);
  t.same(ingress('{port: 10001}'), []);
  t.same(ingress('{}'), ['4:13 networking.port: port must be in the range [1, 65535]']);
  t.same(ingress('{port: 1, advertisedPort: 2}'), ['4:13 networking.advertisedAddress: has to be defined with advertisedPort']);
  t.same(ingress('{port: 1, advertisedAddress: a}'), [
    '4:13 networking.advertisedPort: has to be defined with advertisedAddress',
  ]);
  t.same(ingress('{port: 1, advertisedAddress: 0x7f000001, advertisedPort: 2}'), [
    '4:42 networking.advertisedAddress: must be a string: put it in quotes',
    '4:42 networking.advertisedAddress: has to be defined with advertisedPort',
  ]);
  t.same(ingress('{port: 1, advertisedAddress: "127.1", advertisedPort: 70000}'), [
    '4:42 networking.advertisedAddress.address: address has to be valid IP address or domain name',
    '4:67 networking.advertisedPort: port must be in the range [1, 65535]',
  ]);
  t.same(ingress('{port: 1}', '[{tags: {a: b}}, {tags: {kuma.io/service: "a b"}}]'), [
    '5:28 availableService[0].tags: mandatory tag "kuma.io/service" is missing',
    '5:62 availableService[1].tags["kuma.io/service"]: tag value must consist of alphanumeric characters, dots, dashes and underscores',
  ]);
});

t.test('ExternalService', async (t) => {
  const address = (text: string): readonly string[] =>
    linesOf(compileZone(ALLOW_ALL, external('es', `networking: {address: ${text}}`)), 'error').map((line) =>
      line.replace(/^\S+ /, ''),
    );
  const at = 'networking.address:';
  t.same(address('"ext.test:443"'), []);
  t.same(address('"[2001:db8::1]:443"'), []);
  t.same(address('""'), [`${at} address can't be empty`]);
  t.same(address('ext.test'), [
    `${at} unable to parse address`,
    `${at} address has to be a valid IP address or a domain name`,
    `${at} unable to parse port in address`,
    `${at} port must be in the range [1, 65535]`,
  ]);
  t.same(address('"ext.test:0"'), [`${at} port must be in the range [1, 65535]`]);
  t.same(address('"ext.test:http"'), [`${at} unable to parse port in address`, `${at} port must be in the range [1, 65535]`]);
  t.same(address('[a]'), [`${at} must be a string`]);
  t.same(linesOf(compileZone(ALLOW_ALL, external('es', '')), 'error'), ['zone.yaml:17:1 networking: should have networking']);
  t.same(linesOf(compileZone(ALLOW_ALL, external('es', 'networking: {address: "es:1"}')), 'error'), [
    'zone.yaml:20:25 tags["kuma.io/service"]: cannot be the same as networking.address',
  ]);
  const networking = (tls: string): readonly string[] =>
    say(external('es', `networking: {address: "ext.test:443", tls: ${tls}}`)).filter((line) => !line.includes('warning'));
  t.same(networking('{serverName: "", caCert: {}}'), [
    '5:57 networking.tls.serverName: cannot be empty',
    '5:69 networking.tls.caCert: data source cannot be empty',
  ]);
  for (const name of [
    '"a\\0.test"',
    '"a\\n.test"',
    '"a b"',
    'ext.test:443',
    '"*.test"',
    'é.test',
    '"127.1"',
    '"0x7f000001"',
    '"-a.test"',
  ])
    t.same(
      networking(`{serverName: ${name}}`).map((line) => line.replace(/^\S+ /, '')),
      ['networking.tls.serverName: must be a valid DNS name or IP address'],
      name,
    );
  for (const name of ['ext.test', 'ext.test.', '_a.test', '192.0.2.1', '"2001:db8::1"'])
    t.same(networking(`{serverName: ${name}}`), [], name);
  t.same(networking('{caCert: {inlineString: a, secret: b}}'), [
    '5:53 networking.tls.caCert: only one of secret, inlineString can be defined',
  ]);
});

t.test('tags of an ExternalService', async (t) => {
  const tags = (text: string): readonly string[] =>
    linesOf(
      compileZone(`type: ExternalService\nmesh: default\nname: es\ntags: ${text}\nnetworking: {address: "ext.test:443"}\n`),
      'error',
    ).map((line) => line.replace(/^\S+ /, ''));
  t.same(tags('{}'), ['tags: mandatory tag "kuma.io/service" is missing']);
  t.same(tags('{kuma.io/service: ""}'), ['tags["kuma.io/service"]: tag value must be non-empty']);
  t.same(tags('{kuma.io/service: a, "b c": d}'), [
    'tags["b c"]: tag name must consist of alphanumeric characters, dots, dashes, slashes and underscores',
  ]);
  t.same(tags('{kuma.io/service: "a{b=c}"}'), [
    'tags["kuma.io/service"]: tag value must consist of alphanumeric characters, dots, dashes and underscores',
  ]);
  t.same(tags('{kuma.io/service: a, kuma.io/protocol: htp}'), [
    'tags["kuma.io/protocol"]: tag "kuma.io/protocol" has an invalid value "htp". Allowed values: grpc, http, http2, kafka, tcp',
  ]);
  t.same(tags('{kuma.io/service: a, kuma.io/protocol: HTTP}'), []);
  t.same(tags('{kuma.io/service: a, version: 1}'), ['tags["version"]: must be a string: put it in quotes']);
});

t.test('TrafficPermission and TrafficRoute', async (t) => {
  const head = (type: string): string => `type: ${type}\nmesh: default\nname: x\n`;
  t.same(say(`${head('TrafficPermission')}sources: []\ndestinations: [{match: {}}, {}]\n`), [
    '4:10 sources: must have at least one element',
    '5:24 destinations[0].match: must have at least one tag',
    '5:29 destinations[1].match: must have at least one tag',
  ]);
  t.same(say(`${head('TrafficPermission')}sources: [{match: {a: "b c"}}]\ndestinations: [{match: {a: "*"}}]\n`), [
    '4:23 sources[0].match["a"]: tag value must consist of alphanumeric characters, dots, dashes, slashes and underscores or be "*"',
  ]);
  const route = (conf: string): readonly string[] =>
    say(
      `${head('TrafficRoute')}sources: [{match: {kuma.io/service: "*"}}]\ndestinations: [{match: {kuma.io/service: "*"}}]\n${conf}\n`,
    );
  t.same(route(''), ['1:1 conf: cannot be empty']);
  t.same(route('conf: {}'), ['6:7 conf: requires either "destination" or "split"']);
  t.same(route('conf: {destination: {a: b}, split: []}'), [
    '6:7 conf: "split" cannot be defined at the same time as "destination"',
    '6:21 conf.destination: mandatory tag "kuma.io/service" is missing',
    '6:36 conf.split: must have at least one element',
  ]);
  t.same(route('conf: {split: [{destination: {kuma.io/service: a}}]}'), [
    '6:15 conf.split: there must be at least one split entry with weight above 0',
    '6:16 conf.split[0].weight: needs to be defined',
  ]);
  t.same(
    say(
      `${head('TrafficRoute')}sources: [{match: {a: b}}]\ndestinations: [{match: {a: b}}]\nconf: {destination: {kuma.io/service: a}}\n`,
    ),
    [
      '4:19 sources[0].match: mandatory tag "kuma.io/service" is missing',
      '5:24 destinations[0].match: must consist of exactly one tag "kuma.io/service"',
      '5:24 destinations[0].match: mandatory tag "kuma.io/service" is missing',
      '5:28 destinations[0].match["a"]: tag "a" is not allowed',
    ],
  );
});

t.test('MeshTrafficPermission', async (t) => {
  const spec = (text: string): readonly string[] => say(`type: MeshTrafficPermission\nmesh: default\nname: x\nspec: ${text}\n`);
  t.same(spec('{targetRef: {kind: Mesh}}'), ["4:7 spec: at least one of 'from' or 'rules' has to be defined"]);
  t.same(
    spec(
      '{from: [{targetRef: {kind: Mesh}, default: {action: Deny}}], rules: [{default: {deny: [{spiffeID: {type: Exact, value: spiffe://a/b}}]}}]}',
    ),
    ["4:7 spec: field 'from' must be empty when 'rules' is defined"],
  );
  t.same(spec('{from: [{default: {}}]}'), [
    '4:15 spec.from[0].targetRef.kind: must be defined',
    '4:25 spec.from[0].default.action: must be defined',
  ]);
  t.same(spec('{targetRef: {kind: MeshGateway, name: a}, from: [{targetRef: {kind: Dataplane}, default: {action: Maybe}}]}'), [
    "4:26 spec.targetRef.kind: value 'MeshGateway' is not supported",
    "4:75 spec.from[0].targetRef.kind: value 'Dataplane' is not supported",
    '4:105 spec.from[0].default.action: must be one of ["Allow", "Deny", "AllowWithShadowDeny"]',
  ]);
  t.same(
    spec(
      '{targetRef: {kind: MeshService}, from: [{targetRef: {kind: MeshSubset, name: a, tags: {b: "*"}}, default: {action: Deny}}]}',
    ),
    [
      '4:19 spec.targetRef: name or labels must be set when kind is MeshService',
      '4:84 spec.from[0].targetRef.name: must not be set with kind MeshSubset',
      '4:97 spec.from[0].targetRef.tags["b"]: tag value must consist of alphanumeric characters, dots, dashes and underscores',
    ],
  );
  t.same(
    spec(
      '{rules: [{default: {}}, {default: {allow: [{spiffeID: {type: Prefix, value: spiffe://a/}}, {spiffeID: {type: Exact, value: x}}]}}]}',
    ).filter((line) => !line.includes('warning')),
    [
      "4:16 spec.rules[0]: at least one of 'allow', 'allowWithShadowDeny', 'deny' has to be defined",
      '4:61 spec.rules[1].allow[0].spiffeID: must be a valid Spiffe ID: path cannot have a trailing slash',
      '4:109 spec.rules[1].allow[1].spiffeID: must be a valid Spiffe ID: scheme is missing or invalid',
    ],
  );
});

t.test('addresses that only look like one are neither address nor name', async (t) => {
  const hosts = [
    '0x7f000001',
    '2130706433',
    '127.1',
    '0177.0.0.1',
    '127.0.0.01',
    '1.2.3.4.5',
    'a.0x1',
    '①.test',
    'a。test',
    'a..b',
    '-a',
    'fe80::1%eth0',
    '1.2.3.4.',
  ];
  for (const host of hosts) {
    const written = host.includes(':') ? `[${host}]` : host;
    const found = linesOf(compileZone(ALLOW_ALL, external('es', `networking: {address: "${written}:443"}`)), 'error');
    t.same(found, ['zone.yaml:21:23 networking.address: address has to be a valid IP address or a domain name'], host);
  }
  for (const host of ['127.0.0.1', '1.example', 'a_b.test', 'ext.test.', '0x7f.test', 'localhost']) {
    t.same(linesOf(compileZone(ALLOW_ALL, external('es', `networking: {address: "${host}:443"}`)), 'error'), [], host);
  }
});

t.test('numbers that do not fit and words that there are not are refused, as Kuma refuses them', async (t) => {
  const mesh = (more: string): string => `type: Mesh\nname: other\n${more}\n`;
  const ingress = (instances: string): string =>
    `type: ZoneIngress\nname: zi\nzone: z\nnetworking: {port: 1, advertisedAddress: a, advertisedPort: 1}\navailableServices: [{tags: {kuma.io/service: b}, mesh: default, instances: ${instances}}]\n`;
  const breaker = (conf: string): string =>
    `type: MeshCircuitBreaker\nmesh: default\nname: b\nspec: {targetRef: {kind: Mesh}, to: [{targetRef: {kind: Mesh}, default: {connectionLimits: {${conf}}}}]}\n`;
  const check = (conf: string): string =>
    `type: MeshHealthCheck\nmesh: default\nname: h\nspec: {targetRef: {kind: Mesh}, to: [{targetRef: {kind: Mesh}, default: {interval: 1s, timeout: 1s, tcp: {}, ${conf}}}]}\n`;
  const route = (weight: string): string =>
    `type: TrafficRoute\nmesh: default\nname: r\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: {split: [{weight: ${weight}, destination: {kuma.io/service: a}}]}\n`;
  for (const [text, field] of [
    [mesh('meshServices: {mode: Always}'), 'meshServices.mode'],
    [mesh('meshServices: {mode: exclusive}'), 'meshServices.mode'],
    [mesh('meshServices: {mode: 9}'), 'meshServices.mode'],
    [mesh('mtls: {enabledBackend: a, backends: [{name: a, type: builtin, mode: LAX}]}'), 'mtls.backends[0].mode'],
    [ingress('4294967296'), 'availableServices[0].instances'],
    [ingress('"4294967296"'), 'availableServices[0].instances'],
    [ingress('1e20'), 'availableServices[0].instances'],
    [ingress('-1'), 'availableServices[0].instances'],
    [ingress('1.5'), 'availableServices[0].instances'],
    [breaker('maxConnections: 4294967296'), 'spec.to[0].default.connectionLimits.maxConnections'],
    [breaker('maxRetries: 99999999999999999999'), 'spec.to[0].default.connectionLimits.maxRetries'],
    [check('healthyThreshold: 2147483648'), 'spec.to[0].default.healthyThreshold'],
    [route('4294967296'), 'conf.split[0].weight'],
  ] as const) {
    t.ok(
      compileZone(text).problems.some((problem) => problem.severity === 'error' && problem.field === field),
      text,
    );
  }
  for (const text of [
    mesh('meshServices: {mode: Exclusive}'),
    mesh('meshServices: {mode: 3}'),
    mesh('mtls: {enabledBackend: a, backends: [{name: a, type: builtin, mode: PERMISSIVE}]}'),
    ingress('4294967295'),
    breaker('maxConnections: 4294967295'),
    check('healthyThreshold: 2147483647'),
  ]) {
    t.same(linesOf(compileZone(text), 'error'), [], text);
  }
});
