import { LOG_LEVELS } from './values.ts';
import type { OptionSpec } from './options.ts';
import { FILE_OPTIONS } from './run-options.ts';

type Json = string | number | boolean | readonly Json[] | { readonly [key: string]: Json };
type Schema = Readonly<Record<string, Json>>;

/** Returns the JSON Schema of the file of `--config`, made from the table of options. */
export function configSchema(): string {
  const properties = Object.entries(FILE_OPTIONS).map(([name, spec]) => [name, schemaOf(spec)] as const);
  const schema: Schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Options of zone-egress run',
    description: 'The file of zone-egress run --config FILE. Flags win over it, and variables of the environment over flags.',
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(properties),
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

export function isSwitch({ kind }: OptionSpec): boolean {
  return kind === 'flag';
}

function schemaOf(spec: OptionSpec): Schema {
  const { help, fallback, env = [] } = spec;
  const variables = env.length === 0 ? '' : ` (variable ${env.join(', ')})`;
  const otherwise: Record<string, Json> = fallback === undefined ? {} : { default: defaultOf(spec, fallback) };
  return { description: `${help}${variables}`, ...valueSchema(spec), ...otherwise };
}

function defaultOf(spec: OptionSpec, fallback: string): Json {
  if (isSwitch(spec)) return fallback === 'true';
  return spec.kind === 'count' || spec.kind === 'port' || spec.kind === 'share' ? Number(fallback) : fallback;
}

const TEXT = { type: 'string', minLength: 1 } as const;

/** Returns what an editor can check of a kind; the reader of the file checks more. */
function valueSchema({ kind, most, choices }: OptionSpec): Schema {
  switch (kind) {
    case 'flag':
      return { type: 'boolean' };
    case 'count':
      return { type: 'integer', minimum: 0, maximum: most ?? 999_999_999 };
    case 'port':
      return { type: 'integer', minimum: 0, maximum: 65_535 };
    case 'duration':
      return { type: 'string', pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$', examples: ['500ms', '30s', '1m30s'] };
    case 'bytes':
      return {
        type: ['string', 'integer'],
        pattern: '^[0-9]{1,12}([KkMmGg][Bb])?$',
        minimum: 1_000,
        examples: ['100MB', '512KB'],
      };
    case 'share':
      return { type: 'number', minimum: 0, maximum: 1 };
    case 'level':
      return { type: 'string', enum: LOG_LEVELS };
    case 'text':
      return choices === undefined ? TEXT : { type: 'string', enum: choices };
    case 'list':
    case 'cidrs':
      return { anyOf: [TEXT, { type: 'array', items: TEXT }] };
    case 'pairs':
      return {
        anyOf: [
          TEXT,
          { type: 'array', items: TEXT },
          { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } },
        ],
      };
    default:
      return kind satisfies never;
  }
}
