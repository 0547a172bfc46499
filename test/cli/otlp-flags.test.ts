import t from 'tap';
import { parseCommand } from '../../src/cli/parse.ts';

const RUN = ['run', '--resources', 'zone'];

t.test('without an endpoint nothing is sent, whatever the standard variables say', async (t) => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_RESOURCE_ATTRIBUTES: 'a=b' };
  t.match(parseCommand(RUN, {}), { parsed: { otlp: null } });
  t.match(parseCommand(RUN, env), { parsed: { otlp: null } });
});

t.test('flags and variables name the collector, the share and the attributes', async (t) => {
  t.match(parseCommand([...RUN, '--otlp-endpoint', 'http://c:4318'], {}), {
    parsed: { otlp: { endpoint: 'http://c:4318', sample: 0.01, attributes: {} } },
  });
  const flags = ['--otlp-sample', '.5', '--otlp-headers-file', 'f', '--otlp-attribute', 'a=b', '--otlp-attribute', 'c=%41'];
  t.match(parseCommand([...RUN, '--otlp-endpoint', 'https://c/x', ...flags], {}), {
    parsed: { otlp: { endpoint: 'https://c/x', sample: 0.5, headersFile: 'f', attributes: { a: 'b', c: '%41' } } },
  });
  const env = {
    ZONE_EGRESS_OTLP_ENDPOINT: 'http://c',
    ZONE_EGRESS_OTLP_SAMPLE: '1',
    OTEL_RESOURCE_ATTRIBUTES: 'k8s.pod.name=a%20b, wrong=%zz',
  };
  t.match(parseCommand(RUN, env), {
    parsed: { otlp: { endpoint: 'http://c', sample: 1, attributes: { 'k8s.pod.name': 'a b', wrong: '%zz' } } },
  });
});

t.test('wrong values are errors, which show no secret', async (t) => {
  for (const [flags, message] of [
    [['--otlp-endpoint', 'c:4318'], /^--otlp-endpoint: allowed is a URL such as/],
    [['--otlp-endpoint', 'grpc://c:4317'], /^--otlp-endpoint: allowed is a URL such as/],
    [['--otlp-endpoint', 'http://me:secret@c'], /^--otlp-endpoint: allowed is a URL without a user and a password/],
    [['--otlp-endpoint', 'http://c/?key=secret'], /^--otlp-endpoint: allowed is a URL without \? and #/],
    [['--otlp-endpoint', 'http://c', '--otlp-sample', '1.5'], /^--otlp-sample "1.5": allowed is a number from 0 to 1/],
    [['--otlp-endpoint', 'http://c', '--otlp-sample', '5%'], /^--otlp-sample "5%": allowed is a number from 0 to 1/],
    [['--otlp-endpoint', 'http://c', '--otlp-attribute', 'a'], /^--otlp-attribute: a must be formatted as key=value/],
    [['--otlp-endpoint', 'http://c:4318/v1/traces'], /^--otlp-endpoint: allowed is a URL without \/v1\/traces at its end/],
    [['--otlp-endpoint', 'http://c/x/v1/logs/'], /^--otlp-endpoint: allowed is a URL without \/v1\/logs at its end/],
    [['--otlp-headers-file', 'f'], /^--otlp-headers-file: is for --otlp-endpoint, which is not given/],
    [['--otlp-sample', '1'], /^--otlp-sample: is for --otlp-endpoint, which is not given/],
    [['--otlp-attribute', 'a=b'], /^--otlp-attribute: is for --otlp-endpoint, which is not given/],
  ] as const) {
    const command = parseCommand([...RUN, ...flags], {});
    t.match(command, { kind: 'usage-error', message }, flags.join(' '));
    t.notMatch(JSON.stringify(command), /secret/);
  }
});
