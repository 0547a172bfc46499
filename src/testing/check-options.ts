/**
 * Checks the options of the functions of `zone-egress/testing`, for callers from JavaScript: a
 * wrong option is refused before it can make a test pass for a wrong reason.
 */
import { NORMAL_ENDS, REFUSALS } from '../base/refusal.ts';
import { byName, callback, either, flag, having, listOf, name, oneOf, options, port, text } from '../base/shape.ts';
import type { Check, ShapeChecks } from '../base/shape.ts';
import { clock, signal, traffic } from '../control/option-checks.ts';
import type { Question } from '../explain/question.ts';

import type { RequestWants } from './egress/fake-request.ts';
import type { SessionWants } from './egress/session-expectations.ts';
import type { FakeClientOptions } from './egress/fake-client.ts';
import type { FakeEgressOptions } from './egress/fake-egress-api.ts';
import { behaviour } from './egress/fake-external-service.ts';
import { isRefused } from './egress/fake-session.ts';
import type {
  FakeExternalOptions,
  FakeMeshOptions,
  FakePermission,
  FakeServiceOptions,
  FakeTlsOptions,
  FakeZoneOptions,
  Place,
} from './egress/fake-zone-options.ts';
import { BAD_CLIENTS, certificateAndKey } from './egress/test-mesh.ts';

const testMesh = having('a mesh of createTestMesh', 'client', 'badClient', 'rotate');
const place = either('host:port, or { address, port }', {
  string: name,
  object: options<Place>({ address: name, port }, ['address', 'port']),
});

const service = options<FakeServiceOptions>({ zone: name, behaviour, onConnection: callback });
const tls = options<FakeTlsOptions>({
  serverName: text,
  ca: text,
  client: either('true, or { cert, key }', { boolean: flag, object: certificateAndKey }),
});

const ZONE: ShapeChecks<FakeZoneOptions> = {
  meshes: either('names, or { name: { services } }', {
    list: listOf(name),
    object: byName(options<FakeMeshOptions>({ services: byName(service), mesh: testMesh })),
  }),
  external: byName(
    options<FakeExternalOptions>({
      mesh: name,
      kind: oneOf(['ExternalService', 'MeshExternalService']),
      to: place,
      tls: either('true, or { serverName, ca, client }', { boolean: flag, object: tls }),
      protocol: oneOf(['tcp', 'http', 'http2', 'grpc']),
      behaviour,
      onConnection: callback,
    }),
  ),
  permissions: listOf(options<FakePermission>({ from: name, to: name }, ['from', 'to'])),
  resources: either('a folder, YAML, or a list of { path, text }', {
    string: text,
    list: listOf(options<{ path: string; text: string }>({ path: name, text }, ['path', 'text'])),
  }),
  overrides: byName(place),
};

export const zoneOptions: Check = options<FakeZoneOptions>(ZONE);

export const egressOptions: Check = options<FakeEgressOptions>({
  ...ZONE,
  allowOutside: either('true, or a list of hosts', { boolean: flag, list: listOf(name) }),
  dns: byName(listOf(text)),
  clock,
  zone: name,
  port,
  admin: flag,
  traffic,
  random: callback,
  signal,
});

export const clientOptions: Check = options<FakeClientOptions>(
  {
    mesh: name,
    service: name,
    tags: byName(text),
    certificate: either('the name of a bad one, or { cert, key }', { string: oneOf(BAD_CLIENTS), object: certificateAndKey }),
  },
  ['service'],
);

export const connectTo: Check = either('a destination, an SNI, or { sni }', {
  string: text,
  object: options<{ sni: string }>({ sni: text }, ['sni']),
});

export const question: Check = (value, at) => {
  const isById = typeof value === 'object' && value !== null && 'id' in value;
  (isById ? byId : bySni)(value, at);
};

const byId = options<Extract<Question, { id: string }>>({ id: text }, ['id']);
const bySni = options<Exclude<Question, { id: string }>>({
  sni: (value, at) => void (value === null || text(value, at)),
  from: listOf(text),
  method: text,
  path: text,
  headers: listOf(text),
});

/** Allows a value of the field, a pattern, or a function that tests it. */
function wanted(check: Check): Check {
  return (value, at) => {
    if (value instanceof RegExp || typeof value === 'function') return;
    check(value, at);
  };
}

const number: Check = (value, at) => {
  if (typeof value !== 'number') throw new TypeError(`${at}: a number, a pattern or a function is wanted`);
};

/** Allows one element of a list, or all of them. */
function wantedList(check: Check): Check {
  return wanted(either('one of its elements, or a list of all', { string: check, list: listOf(wanted(check)) }));
}

function wantsOf(reasons: readonly string[]): Check {
  return options<SessionWants>({
    id: wanted(text),
    reason: wanted(oneOf(reasons)),
    detail: wanted(text),
    startedAt: wanted(number),
    snapshotVersion: wanted(text),
    clientAddress: wanted(text),
    clientPort: wanted(number),
    sni: wanted(text),
    alpn: wantedList(text),
    tlsOffered: wanted(text),
    mode: wanted(oneOf(['passthrough', 'terminate', ''])),
    mesh: wanted(text),
    destination: wanted(text),
    cluster: wanted(text),
    requests: wanted(number),
    tlsVersion: wanted(text),
    spiffeIds: wantedList(text),
    uris: wantedList(text),
    certificateIssuer: wanted(text),
    certificateExpiry: wanted(text),
    permission: wanted(text),
    shadowDenied: wanted(flag),
    endpoint: wanted(text),
    endpointTls: wanted(flag),
    attempts: wanted(number),
    bytesUp: wanted(number),
    bytesDown: wanted(number),
    helloMs: wanted(number),
    handshakeMs: wanted(number),
    connectMs: wanted(number),
    totalMs: wanted(number),
    limit: wanted(oneOf(['max-connections', 'max-pending', 'rate'])),
    check: wanted(oneOf(['chain', 'names'])),
    waitedMs: wanted(number),
    resumed: wanted(flag),
    wouldRefuse: wanted(text),
    refused: wanted(flag),
    from: wantedList(text),
    note: wanted(text),
  });
}

const REASONS = [...Object.keys(REFUSALS), ...Object.keys(NORMAL_ENDS)];

export const sessionWants: Check = wantsOf(REASONS);
/** The reasons of a carried session. Refusals have only the other reasons. */
export const carriedWants: Check = wantsOf(REASONS.filter((reason) => !isRefused(reason)));
export const refusalWants: Check = wantsOf(REASONS.filter(isRefused));

const anything: Check = () => {};

/** The fields of a request of an HTTP service. */
export const requestWants: Check = options<RequestWants>({
  id: wanted(text),
  session: wanted(text),
  reason: wanted(oneOf(REASONS)),
  detail: wanted(text),
  startedAt: wanted(number),
  snapshotVersion: wanted(text),
  clientAddress: wanted(text),
  sni: wanted(text),
  mesh: wanted(text),
  destination: wanted(text),
  cluster: wanted(text),
  spiffeIds: wantedList(text),
  uris: wantedList(text),
  protocol: wanted(oneOf(['HTTP/1.1', 'HTTP/2', ''])),
  method: wanted(text),
  path: wanted(text),
  authority: wanted(text),
  host: wanted(text),
  requestId: wanted(text),
  traceparent: wanted(text),
  wouldRefuse: wanted(text),
  status: wanted(number),
  flags: wanted(text),
  details: wanted(text),
  endpoint: wanted(text),
  endpointTls: wanted(flag),
  attempts: wanted(number),
  connections: wanted(number),
  connectMs: wanted(number),
  forwarded: wanted(flag),
  bytesUp: wanted(number),
  bytesDown: wanted(number),
  serviceTimeMs: wanted(number),
  totalMs: wanted(number),
  headers: anything,
  rateLimit: wanted(text),
  refused: wanted(flag),
  from: wantedList(text),
  received: anything,
});
