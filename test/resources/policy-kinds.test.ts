/** The texts and paths of Kuma's own validators, at the place in the file. */
import t from 'tap';
import { compileTexts, compileZone, EGRESS, lines, MESH } from './fixtures/compiling.ts';

/** Returns the errors of one policy; its `spec` is on line 4. */
function errors(kind: string, spec: string): readonly string[] {
  const compiled = compileZone(`type: ${kind}\nmesh: default\nname: x\nspec: ${spec}\n`);
  return lines(compiled)
    .filter((line) => !line.includes(' warning: '))
    .map((line) => line.replace(/^zone\.yaml:\d+:\d+ /, ''));
}

const toMesh = (conf: string): string => `{to: [{targetRef: {kind: Mesh}, default: ${conf}}]}`;
const AT = 'spec.to[0].default';

t.test('MeshCircuitBreaker', async (t) => {
  const say = (spec: string): readonly string[] => errors('MeshCircuitBreaker', spec);
  const all = toMesh('{connectionLimits: {maxConnections: 1}, outlierDetection: {detectors: {totalFailures: {}}}}');
  t.same(say(all), []);
  t.same(say('{targetRef: {kind: Mesh}}'), ["spec: at least one of 'from', 'to' or 'rules' has to be defined"]);
  const limits = '{connectionLimits: {maxConnections: 1}}';
  t.same(say(`{to: [{targetRef: {kind: Mesh}, default: ${limits}}], rules: [{default: ${limits}}]}`), [
    "spec: fields 'to' and 'from' must be empty when 'rules' is defined",
  ]);
  t.same(say('{to: [{default: {}}]}'), [
    'spec.to[0].targetRef.kind: must be defined',
    `${AT}: at least one of: 'connectionLimits' or 'outlierDetection' should be configured`,
  ]);
  t.same(say('{to: [{targetRef: {kind: MeshServiceSubset, name: x}, default: {connectionLimits: {}}}]}'), [
    "spec.to[0].targetRef.kind: value 'MeshServiceSubset' is not supported",
  ]);
  const names = ['maxConnections', 'maxConnectionPools', 'maxPendingRequests', 'maxRetries', 'maxRequests'];
  t.same(
    say(toMesh(`{connectionLimits: {${names.map((name) => `${name}: 0`).join(', ')}}}`)),
    names.map((name) => `${AT}.connectionLimits.${name}: must be greater than 0`),
  );
  t.same(
    say(toMesh('{outlierDetection: {interval: 0s, baseEjectionTime: 0s, maxEjectionPercent: 101, healthyPanicThreshold: "x"}}')),
    [
      `${AT}.outlierDetection.detectors: must be defined`,
      `${AT}.outlierDetection.interval: must be greater than zero when defined`,
      `${AT}.outlierDetection.baseEjectionTime: must be greater than zero when defined`,
      `${AT}.outlierDetection.maxEjectionPercent: must be in inclusive range [0, 100]`,
      `${AT}.outlierDetection.healthyPanicThreshold: string must be a valid number`,
    ],
  );
  const detectors = (text: string): readonly string[] => say(toMesh(`{outlierDetection: {detectors: ${text}}}`));
  t.same(detectors('{}'), [
    `${AT}.outlierDetection.detectors: must have at least one defined: totalFailures, gatewayFailures, localOriginFailures, successRate, failurePercentage`,
  ]);
  t.same(
    detectors(
      '{totalFailures: {consecutive: 0}, successRate: {minimumHosts: 0, standardDeviationFactor: 0}, failurePercentage: {requestVolume: 0, threshold: 101}}',
    ),
    [
      `${AT}.outlierDetection.detectors.totalFailures.consecutive: must be greater than 0`,
      `${AT}.outlierDetection.detectors.successRate.minimumHosts: must be greater than 0`,
      `${AT}.outlierDetection.detectors.successRate.standardDeviationFactor: must be greater than 0`,
      `${AT}.outlierDetection.detectors.failurePercentage.requestVolume: must be greater than 0`,
      `${AT}.outlierDetection.detectors.failurePercentage.threshold: must be in inclusive range [0, 100]`,
    ],
  );
  t.same(say(toMesh('{outlierDetection: {interval: soon, healthyPanicThreshold: 101, detectors: {totalFailures: {}}}}')), [
    `${AT}.outlierDetection.interval: must be a duration such as 10s, 500ms or 1m30s`,
    `${AT}.outlierDetection.healthyPanicThreshold: must be in inclusive range [0.0, 100.0]`,
  ]);
});

t.test('MeshHealthCheck', async (t) => {
  const say = (conf: string): readonly string[] => errors('MeshHealthCheck', toMesh(conf));
  t.same(say('{tcp: {}}'), []);
  t.same(say('{interval: 1s}'), [`${AT}: must have at least one defined: http, tcp, grpc`]);
  const durations = ['interval', 'timeout', 'initialJitter', 'intervalJitter', 'noTrafficInterval'];
  t.same(
    say(`{tcp: {}, ${durations.map((name) => `${name}: 0s`).join(', ')}}`),
    durations.map((name) => `${AT}.${name}: must be greater than zero when defined`),
  );
  t.same(
    say(
      '{tcp: {}, unhealthyThreshold: 0, healthyThreshold: 0, intervalJitterPercent: 101, healthyPanicThreshold: 101, eventLogPath: ""}',
    ),
    [
      `${AT}.unhealthyThreshold: must be greater than zero when defined`,
      `${AT}.healthyThreshold: must be greater than zero when defined`,
      `${AT}.intervalJitterPercent: must be in inclusive range [0, 100]`,
      `${AT}.healthyPanicThreshold: must be in inclusive range [0.0, 100.0]`,
      `${AT}.eventLogPath: must be a valid path when defined`,
    ],
  );
  t.same(say('{http: {path: "", expectedStatuses: [200, 99, 600]}}'), [
    `${AT}.http.path: must be defined`,
    `${AT}.http.expectedStatuses[1]: must be in inclusive range [100, 599]`,
    `${AT}.http.expectedStatuses[2]: must be in inclusive range [100, 599]`,
  ]);
});

t.test('MeshLoadBalancingStrategy', async (t) => {
  const say = (conf: string): readonly string[] => errors('MeshLoadBalancingStrategy', toMesh(conf));
  t.same(say('{loadBalancer: {type: Maglev}}'), []);
  t.same(errors('MeshLoadBalancingStrategy', '{to: [{targetRef: {kind: MeshExternalService, name: m}, default: {}}]}'), [
    "spec.to[0].targetRef.kind: value 'MeshExternalService' is not supported",
  ]);
  t.same(say('{localityAwareness: {localZone: {affinityTags: [{key: "", weight: 0}, {key: k}]}}}'), [
    `${AT}.localityAwareness.localZone.affinityTags: all or none affinity tags should have weight`,
    `${AT}.localityAwareness.localZone.affinityTags[0].key: must not be empty`,
    `${AT}.localityAwareness.localZone.affinityTags[0].weight: must be greater than 0`,
  ]);
  const failover = `${AT}.localityAwareness.crossZone.failover`;
  t.same(
    say(
      '{localityAwareness: {crossZone: {failover: [{from: {zones: []}, to: {type: Any, zones: [a]}}, {from: {zones: [""]}, to: {type: Only}}, {to: {type: x}}], failoverThreshold: {percentage: 0}}}}',
    ),
    [
      `${failover}[0].from.zones: must not be empty`,
      `${failover}[0].to.zones: must be empty when type is Any`,
      `${failover}[1].from.zones[0]: must not be empty`,
      `${failover}[1].to.zones: must not be empty when type is Only`,
      `${failover}[2].to.type: unrecognized type`,
      `${AT}.localityAwareness.crossZone.failoverThreshold.percentage: must be greater than 0`,
    ],
  );
  t.same(say('{loadBalancer: {type: LeastRequest, leastRequest: {activeRequestBias: "-1"}}}'), [
    `${AT}.loadBalancer.leastRequest.activeRequestBias: must be greater or equal then: 0`,
  ]);
  t.same(
    say(
      '{hashPolicies: [], loadBalancer: {type: RingHash, ringHash: {hashPolicies: [{type: Header}, {type: Cookie, cookie: {name: c, path: x}}]}}}',
    ),
    [
      `${AT}.loadBalancer.ringHash.hashPolicies: hashPolicies already specified in the root level`,
      `${AT}.loadBalancer.ringHash.hashPolicies[0].header: must be defined`,
      `${AT}.loadBalancer.ringHash.hashPolicies[1].cookie.path: must be an absolute path`,
    ],
  );
  const route =
    '{to: [{targetRef: {kind: MeshHTTPRoute, name: r}, default: {loadBalancer: {type: Random}, localityAwareness: {}}}]}';
  const only = 'field is not allowed when targetRef.kind is MeshHTTPRoute, only hashPolicies is supported';
  t.same(errors('MeshLoadBalancingStrategy', route), [`${AT}.loadBalancer: ${only}`, `${AT}.localityAwareness: ${only}`]);
});

t.test('MeshRateLimit', async (t) => {
  const item = (conf: string): string =>
    `{targetRef: {kind: MeshService, name: es}, from: [{targetRef: {kind: Mesh}, default: ${conf}}]}`;
  const say = (conf: string): readonly string[] => errors('MeshRateLimit', item(conf));
  const at = 'spec.from[0].default.local';
  t.same(say('{local: {tcp: {disabled: true}}}'), []);
  t.same(say('{}'), [`${at}: must be defined`]);
  t.same(say('{local: {}}'), [`${at}: must have at least one defined: tcp, http`]);
  t.same(say('{local: {tcp: {}, http: {}}}'), [
    `${at}.tcp: must have at least one defined: disabled, connectionRate`,
    `${at}.http: must have at least one defined: disabled, requestRate, onRateLimit`,
  ]);
  t.same(say('{local: {tcp: {connectionRate: {num: 0, interval: 50ms}}, http: {onRateLimit: {status: 0}}}}'), [
    `${at}.tcp.connectionRate.num: must be greater than 0`,
    `${at}.tcp.connectionRate.interval: must be greater than: 50ms`,
    `${at}.http.onRateLimit.status: must be greater than 0`,
  ]);
  t.same(
    errors('MeshRateLimit', item('{local: {tcp: {disabled: true}}}').replace('{kind: MeshService, name: es}', '{kind: Mesh}')),
    [
      'spec.from: must not be defined when the scope includes a Gateway, select only proxyType Sidecar or select only gateways and use spec.to',
    ],
  );
  const to =
    '{targetRef: {kind: MeshService, name: es}, to: [{targetRef: {kind: Mesh}, default: {local: {tcp: {disabled: true}}}}]}';
  t.same(errors('MeshRateLimit', to), ['spec.to: must not be defined']);
});

t.test('MeshFaultInjection: with the index behind the kind of fault, as Kuma has it', async (t) => {
  const item = (http: string): string =>
    `{targetRef: {kind: MeshService, name: es}, from: [{targetRef: {kind: Mesh}, default: {http: ${http}}}]}`;
  const at = 'spec.from[0].default.http';
  t.same(
    errors(
      'MeshFaultInjection',
      item(
        '[{}, {abort: {httpStatus: 600, percentage: 101}, delay: {value: -1s, percentage: 1}, responseBandwidth: {limit: 1mbps, percentage: 1}}]',
      ),
    ),
    [
      `${at}.abort[1].httpStatus: must be in inclusive range [100, 599]`,
      `${at}[1].abort.percentage: must be in inclusive range [0.0, 100.0]`,
      `${at}.delay[1].value: must not be negative when defined`,
      `${at}.responseBandwidth[1].limit: must be in kbps/Mbps/Gbps units`,
    ],
  );
});

/** Does it for the older kinds, whose fields are not under `spec`. */
function legacy(kind: string, fields: string): readonly string[] {
  return lines(compileZone(`type: ${kind}\nmesh: default\nname: x\n${fields}\n`))
    .filter((line) => !line.includes(' warning: '))
    .map((line) => line.replace(/^zone\.yaml:\d+:\d+ /, ''));
}

const BOTH = "sources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*'}}]";

t.test('RateLimit and FaultInjection, the older ones', async (t) => {
  t.same(legacy('RateLimit', BOTH), ['conf: must have conf']);
  t.same(legacy('RateLimit', `${BOTH}\nconf: {http: {onRateLimit: {headers: [{key: ""}]}}}`), [
    'conf.http.requests: requests must be set',
    'conf.http.interval: interval must be set',
    'conf.http.onRateLimit.header["0"]: key must be set',
    'conf.http.onRateLimit.header["0"]: value must be set',
  ]);
  t.same(legacy('RateLimit', 'conf: {http: {requests: 1, interval: 1s}}'), [
    'sources: must have at least one element',
    'destinations: must have at least one element',
  ]);
  t.same(legacy('FaultInjection', `${BOTH}\nconf: {delay: {}}`), ['conf: must have at least one of the faults configured']);
  t.same(
    legacy(
      'FaultInjection',
      `${BOTH}\nconf: {delay: {percentage: 101}, abort: {httpStatus: 503}, responseBandwidth: {percentage: 1, limit: x}}`,
    ),
    [
      'conf.delay.value: cannot be empty',
      'conf.delay.percentage: has to be in [0.0 - 100.0] range',
      'conf.abort.percentage: cannot be empty',
      'conf.responseBandwidth.limit: has to be in kbps/mbps/gbps units',
    ],
  );
});

t.test('MeshService and MeshMultiZoneService are checked, and reported to have no effect here', async (t) => {
  const name = 'n'.repeat(64);
  const service = `type: MeshService\nmesh: default\nname: ${name}\nspec: {selector: {dataplaneRef: {name: a}, dataplaneTags: {a: b}}}\n`;
  t.same(lines(compileZone(service)), [
    `zone.yaml:11:1 warning: MeshService ${name}: has no effect on a zone egress: clients reach it through the other zone's ingress`,
    'zone.yaml:13:7 name: must not be longer than 63 characters',
    'zone.yaml:14:18 spec.selector: must specify only one of: dataplaneTags, dataplaneRef, or dataplaneLabels',
  ]);
  t.same(errors('MeshMultiZoneService', '{}'), [
    'spec.selector.meshService.matchLabels: cannot be empty',
    'spec.ports: cannot be empty',
  ]);
  t.same(
    errors(
      'MeshMultiZoneService',
      '{selector: {meshService: {matchLabels: {a: b}}}, ports: [{port: 80, name: "", appProtocol: x}]}',
    ),
    [
      'spec.ports[0].name: must not be empty',
      'spec.ports[0].appProtocol: appProtocol must be one of: grpc, http, http2, kafka, tcp',
    ],
  );
});

t.test('unknown fields of a policy are found at every level, with what was meant', async (t) => {
  const spec = '{too: [], to: [{targetRef: {kind: Mesh}, default: {connectionLimits: {maxConections: 5}}}]}';
  const text = `type: MeshCircuitBreaker\nmesh: default\nname: x\nspec: ${spec}\n`;
  const unknown = [
    'zone.yaml:14:8 warning: spec.too: unknown field, did you mean "to"?',
    'zone.yaml:14:77 warning: spec.to[0].default.connectionLimits.maxConections: unknown field, did you mean "maxConnections"?',
  ];
  t.same(
    lines(compileTexts([EGRESS, MESH, text])).filter((line) => line.includes('unknown')),
    unknown,
  );
  t.equal(compileTexts([EGRESS, MESH, text], { strict: true }).kind, 'invalid');
});

t.test('a reference says in Kuma’s words what it may have', async (t) => {
  const ref = (text: string): readonly string[] =>
    errors('MeshCircuitBreaker', `{to: [{targetRef: ${text}, default: {connectionLimits: {}}}]}`);
  const at = 'spec.to[0].targetRef';
  t.same(ref('{kind: MeshExternalService}'), [`${at}: name or labels must be set when kind is MeshExternalService`]);
  t.same(ref('{kind: MeshExternalService, name: a, sectionName: s, labels: {a: b}}'), [
    `${at}.sectionName: must not be set with kind MeshExternalService`,
    `${at}.labels: either labels or name must be specified`,
  ]);
  const top = '{targetRef: {kind: MeshGateway}, to: [{targetRef: {kind: Mesh}, default: {connectionLimits: {}}}]}';
  t.same(errors('MeshCircuitBreaker', top), ['spec.targetRef.name: must be set when kind is MeshGateway']);
  const proxies = '{targetRef: {kind: Mesh, proxyTypes: []}, to: [{targetRef: {kind: Mesh}, default: {connectionLimits: {}}}]}';
  t.same(errors('MeshCircuitBreaker', proxies), ['spec.targetRef.proxyTypes: must be undefined or have at least one element']);
});
