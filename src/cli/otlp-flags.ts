import { DEFAULT_SHARE, endpointProblem } from '../observe/otlp/otlp-options.ts';
import type { OtlpOptions } from '../observe/otlp/otlp-options.ts';
import type { OptionTable, ParsedOptions } from './options.ts';
import { pairs } from './values.ts';

const STANDARD = 'OTEL_RESOURCE_ATTRIBUTES';

/** The standard variable of an endpoint is not read: it is set for whole clusters of programs. */
export const OTLP_OPTIONS: OptionTable = {
  'otlp-endpoint': {
    kind: 'text',
    env: ['ZONE_EGRESS_OTLP_ENDPOINT'],
    value: 'URL',
    help: 'send spans and logs by OTLP over HTTP to this collector of OpenTelemetry, such as http://collector:4318',
  },
  'otlp-sample': {
    kind: 'share',
    env: ['ZONE_EGRESS_OTLP_SAMPLE'],
    fallback: String(DEFAULT_SHARE),
    value: 'SHARE',
    help: 'share of sessions and requests whose spans are sent, from 0 to 1; refused ones always have a log record',
  },
  'otlp-headers-file': {
    kind: 'text',
    env: ['ZONE_EGRESS_OTLP_HEADERS_FILE'],
    value: 'FILE',
    help: 'file of headers for the collector, one NAME: VALUE a line, such as a token; it is read for each delivery',
  },
  'otlp-attribute': {
    kind: 'pairs',
    env: ['ZONE_EGRESS_OTLP_ATTRIBUTES', STANDARD],
    value: 'KEY=VALUE',
    help: 'attribute of the resource beside service.name, service.version and the zone; repeat or separate by commas',
  },
};

/** The default share is not among them: `config print` writes it into the file that it makes. */
const ALONE = ['otlp-headers-file', 'otlp-sample', 'otlp-attribute'] as const;

/** Null where nothing is to be sent. */
export function otlpIn(given: ParsedOptions): OtlpOptions | null {
  const endpoint = given.text('otlp-endpoint');
  if (endpoint === null) {
    const alone = ALONE.filter((name) => name !== 'otlp-sample' || given.text(name) !== String(DEFAULT_SHARE))
      .map((name) => given.source(name))
      .find((source) => source !== null && source !== STANDARD);
    if (alone !== undefined) throw new Error(`${alone}: is for --otlp-endpoint, which is not given`);
    return null;
  }
  const problem = endpointProblem(endpoint);
  if (problem !== null) throw new Error(`${given.source('otlp-endpoint') ?? ''}: ${problem}`);
  const headersFile = given.text('otlp-headers-file');
  return {
    endpoint,
    sample: Number(given.text('otlp-sample')),
    ...(headersFile === null ? {} : { headersFile }),
    attributes: attributesIn(given),
  };
}

function attributesIn(given: ParsedOptions): Readonly<Record<string, string>> {
  const source = given.source('otlp-attribute');
  const decoded = source === STANDARD ? decode : (value: string): string => value;
  try {
    const all = given.each('otlp-attribute').flatMap(pairs);
    return Object.fromEntries(all.map(([key, value]) => [key.trim(), decoded(value.trim())]));
  } catch (error) {
    throw new Error(`${source ?? ''}: ${error instanceof Error ? error.message : ''}`, { cause: error });
  }
}

/** The specification of the variable has values with percent signs, as in URLs. */
function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
