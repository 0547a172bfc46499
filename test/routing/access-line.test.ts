import t from 'tap';
import { jsonFormat, parseFormatText, textFormat } from '../../src/resources/access-format.ts';
import { accessLine, EVALUATED_OPERATORS } from '../../src/routing/access-line.ts';
import type { AccessFacts } from '../../src/routing/access-line.ts';
import { formatTime } from '../../src/routing/format-time.ts';

const SESSION: AccessFacts = {
  type: 'TcpConnectionEnd',
  connectionId: '0.7',
  streamId: '',
  startedAt: Date.UTC(2026, 10, 3, 4, 5, 6, 78),
  writtenAt: Date.UTC(2026, 10, 3, 4, 5, 7, 9),
  durationMs: 12.9,
  bytesReceived: 5,
  bytesSent: 70,
  protocol: '',
  status: 0,
  flags: '',
  details: '',
  terminationDetails: '',
  transportFailure: '',
  endpoint: '[::1]:443',
  upstreamProtocol: '',
  cluster: 'c',
  attempts: 1,
  clientAddress: '10.0.0.1',
  clientPort: 4_321,
  tlsVersion: 'TLSv1.3',
  sni: 'shop{mesh=default}',
  uris: ['spiffe://default/web', 'kuma://team/red'],
  issuer: 'CN=ca',
  expiry: '2027-01-02T03:04:05.000Z',
  serviceTimeMs: -1,
  request: null,
  response: null,
  hostname: 'host',
};

const REQUEST: AccessFacts = {
  ...SESSION,
  type: 'DownstreamEnd',
  streamId: '0.7.1',
  protocol: 'HTTP/2',
  status: 503,
  flags: 'UF,DI',
  details: 'via_upstream',
  upstreamProtocol: 'HTTP/1.1',
  serviceTimeMs: 4.5,
  request: {
    method: 'GET',
    path: '/x?secret=1',
    authority: 'api.test',
    headers: ['user-agent', 'curl "7"', 'x-b', 'first', 'x-b', 'second', 'bad', 'a\x1b[31m\nb', 'old', '\x9b31m\x85é'],
  },
  response: ['x-envoy-upstream-service-time', '4'],
};

function line(text: string, facts: AccessFacts = SESSION, omitEmpty = false): string {
  const read = textFormat(text, omitEmpty);
  if (read.kind === 'invalid') throw new Error(read.why);
  return accessLine(read.parsed, facts);
}

function json(value: object, facts: AccessFacts = SESSION, omitEmpty = false): string {
  const read = jsonFormat(value, omitEmpty);
  if (read.kind === 'invalid') throw new Error(read.why);
  return accessLine(read.parsed, facts);
}

const why = (text: string): string => {
  const read = parseFormatText(text);
  return read.kind === 'invalid' ? read.why : 'is fine';
};

t.test('operators of a session have the values that Envoy writes', async (t) => {
  t.equal(
    line('[%START_TIME%] %RESPONSE_FLAGS% %UPSTREAM_HOST% %DURATION%ms %BYTES_SENT%/%BYTES_RECEIVED% 100%%\n'),
    '[2026-11-03T04:05:06.078Z] - [::1]:443 12ms 70/5 100%\n',
  );
  t.equal(line('%REQUESTED_SERVER_NAME%'), 'invalid:shop_mesh_default_', 'a name that is no host name, as Envoy writes it');
  t.equal(line('%REQUESTED_SERVER_NAME%', { ...SESSION, sni: 'sni.extsvc.m.a.80' }), 'sni.extsvc.m.a.80');
  t.equal(
    line('%DOWNSTREAM_PEER_URI_SAN%|%DOWNSTREAM_PEER_URI_SAN:4%'.replace(':4%', '%')),
    'spiffe://default/web,kuma://team/red|spiffe://default/web,kuma://team/red',
  );
  t.equal(
    line('%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%'),
    '10.0.0.1:4321 10.0.0.1 4321',
  );
  t.equal(line('%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%'), '::1 443');
  t.equal(
    line(
      '%PROTOCOL% %RESPONSE_CODE% %REQ(:PATH)% %RESP(X)% %FILTER_STATE(a:TYPED)% %DYNAMIC_METADATA(a:b)% %DOWNSTREAM_TLS_CIPHER%',
    ),
    '- 0 - - - - -',
  );
  t.equal(line('%PROTOCOL%|%DURATION%|', { ...SESSION, durationMs: null }, true), '||', 'omitted, not written as a dash');
  t.equal(
    line('%ACCESS_LOG_TYPE% %CONNECTION_ID% %STREAM_ID% %DOWNSTREAM_PEER_CERT_V_END(%F)%'),
    'TcpConnectionEnd 0.7 0.7 2027-01-02',
  );
});

t.test('operators of a request read its heads', async (t) => {
  t.equal(
    line('%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(:AUTHORITY)% %PROTOCOL%', REQUEST),
    'GET /x?secret=1 api.test HTTP/2',
  );
  t.equal(line('%REQ(User-Agent)%|%REQ(X-A?X-B)%|%REQ(X-B):3%|%REQ(X-A)%', REQUEST), 'curl "7"|first|fir|-');
  t.equal(
    line('%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% %RESP(:STATUS)% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%', REQUEST),
    '4 503 4 8',
  );
  t.equal(
    line('%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS%', REQUEST),
    'UF,DI UpstreamConnectionFailure,DelayInjected via_upstream',
  );
  t.equal(line('%REQ(BAD)%', REQUEST), 'a\\x1b[31m\\x0ab', 'no client begins a line of its own');
  t.equal(line('%REQ(OLD)%', REQUEST), '\\x9b31m\\x85é', 'nor gives orders to a terminal in the older form');
  const long = { ...REQUEST, request: { ...REQUEST.request!, path: `/${'x'.repeat(60_000)}` } };
  t.equal(line('%REQ(:PATH)%', long).length, 8_192, 'nor makes one of any length');
});

t.test('JSON keeps numbers, has null for what is unknown, and sorts its names', async (t) => {
  const format = {
    z: '%BYTES_SENT%',
    a: { path: '%REQ(:PATH)%', both: '%DURATION% ms' },
    list: ['%PROTOCOL%', 7, true],
    no: '%REQ(X-A)%',
  };
  t.equal(json(format, REQUEST), '{"a":{"both":"12 ms","path":"/x?secret=1"},"list":["HTTP/2",7,true],"no":null,"z":70}\n');
  t.equal(json({ a: '%PROTOCOL%', b: '%DURATION%' }, SESSION, true), '{"b":12}\n');
  t.equal(json({ quote: '%REQ(USER-AGENT)%', __proto__x: 'y' }, REQUEST), '{"__proto__x":"y","quote":"curl \\"7\\""}\n');
});

t.test('what is no format of Envoy is a sentence', async (t) => {
  t.equal(why('%DURATON%'), 'has %DURATON%, which is no command operator of Envoy');
  t.match(why('100% sure'), /^has at "% sure" no command operator such as %DURATION%: a percent sign is written as %%$/);
  t.match(why('%REQ%'), /without the name of a header/);
  t.match(why('%DURATION(x)%'), /takes nothing in brackets/);
  t.match(why('%START_TIME(%Y%'), /no command operator/);
  for (const name of EVALUATED_OPERATORS) t.equal(why(`%${name}${/^RE(?:Q|SP)$/.test(name) ? '(A)' : ''}%`), 'is fine', name);
});

t.test('START_TIME has the letters of strftime, in UTC', async (t) => {
  const at = Date.UTC(2026, 0, 9, 15, 4, 5, 67);
  const formats: Readonly<Record<string, string>> = {
    '%Y/%m/%dT%H:%M:%S%z %s': '2026/01/09T15:04:05+0000 1767971045',
    '%s.%3f %3s %f': '1767971045.067 1767971045067 067000000',
    '%E3S %E*S %S': '05.067 05.067 05',
    '%a %A %b %B %e %j %I %p %y %T %R %F %D %Z %%':
      'Fri Friday Jan January  9 009 03 PM 26 15:04:05 15:04 2026-01-09 01/09/26 UTC %',
    '%Q': '%Q',
  };
  for (const [format, written] of Object.entries(formats)) t.equal(formatTime(at, format), written, format);
  t.equal(formatTime(at, ''), '2026-01-09T15:04:05.067Z');
});
