import { readFileSync } from 'node:fs';

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly 'x-kubernetes-group-version-kind'?: readonly {
    readonly group: string;
    readonly version: string;
    readonly kind: string;
  }[];
}

type Definitions = Readonly<Record<string, Schema>>;

const read = (name: string): Definitions =>
  JSON.parse(readFileSync(new URL(`../data/kubernetes/${name}`, import.meta.url), 'utf8')) as Definitions;

/** The kinds of Kubernetes, and two of the operator of Prometheus. */
const definitions: Definitions = {
  ...read('api-1.33.json'),
  ...read('service-monitor-v1.json'),
  ...read('prometheus-rule-v1.json'),
};

/** Kinds whose values are written in more than one type. */
const EITHER: Readonly<Record<string, readonly string[]>> = {
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': ['number', 'string'],
  'io.k8s.apimachinery.pkg.api.resource.Quantity': ['number', 'string'],
};

export interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Returns what the API server would refuse with strict validation, including unknown fields. */
export function problemsOf(manifest: Kind): readonly string[] {
  const [version = '', group = ''] = manifest.apiVersion.split('/').reverse();
  const schema = Object.values(definitions).find((each) =>
    each['x-kubernetes-group-version-kind']?.some(
      (gvk) => gvk.group === group && gvk.version === version && gvk.kind === manifest.kind,
    ),
  );
  return schema === undefined
    ? [`no such kind: ${manifest.apiVersion} ${manifest.kind}`]
    : check(schema, manifest, manifest.kind);
}

function check(schema: Schema, value: unknown, path: string): readonly string[] {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace('#/definitions/', '');
    const either = EITHER[name];
    if (either !== undefined)
      return either.includes(typeof value) ? [] : [`${path}: ${typeof value} instead of ${either.join(' or ')}`];
    const definition = definitions[name];
    return definition === undefined ? [`${path}: no definition ${name}`] : check(definition, value, path);
  }
  const found = Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : value === null ? 'null' : typeof value;
  const wanted = schema.type ?? (schema.properties === undefined ? undefined : 'object');
  if (wanted !== undefined && found !== wanted) return [`${path}: ${found} instead of ${wanted}`];
  if (typeof value === 'string') return checkText(schema, value, path);
  if (Array.isArray(value)) return value.flatMap((each, at) => check(schema.items ?? {}, each, `${path}[${at}]`));
  return typeof value === 'object' && value !== null ? checkObject(schema, value as Record<string, unknown>, path) : [];
}

function checkText({ enum: allowed, pattern }: Schema, value: string, path: string): readonly string[] {
  if (allowed?.includes(value) === false) return [`${path}: ${value} instead of ${allowed.join(', ')}`];
  return pattern !== undefined && !new RegExp(pattern).test(value) ? [`${path}: ${value} does not match ${pattern}`] : [];
}

function checkObject(schema: Schema, value: Readonly<Record<string, unknown>>, path: string): readonly string[] {
  const missing = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${path}.${name}: missing`);
  const fields = Object.entries(value).flatMap(([name, each]) => {
    const field = schema.properties?.[name] ?? schema.additionalProperties;
    if (field !== undefined) return check(field, each, `${path}.${name}`);
    return schema.properties === undefined ? [] : [`${path}.${name}: unknown field`];
  });
  return [...missing, ...fields];
}
