import { tcpPlace } from '../../model/access-log.ts';
import type { AccessLogFormat } from '../../model/access-log.ts';
import { jsonFormat, textFormat } from '../access-format.ts';
import type { ParsedFormat } from '../access-format.ts';
import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { oneOfTexts } from './conf.ts';
import { checkGatewayLists, confOf, readPolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

export type MeshAccessLog = Policy<AccessLogConf>;

export interface AccessLogConf {
  /** The backends of type File and Tcp. */
  readonly files?: readonly FileBackend[];
  /** The types of the other backends, which are not served. */
  readonly others?: readonly string[];
}

export interface FileBackend {
  readonly path: string;
  /** As it was written, with Kuma's placeholders. Null for Kuma's default. */
  readonly format: BackendFormat | null;
}

export interface BackendFormat {
  readonly plain?: string;
  readonly json?: Readonly<Record<string, string>>;
  readonly omitEmpty: boolean;
}

const TOP = ['Mesh', 'MeshSubset', 'MeshGateway', 'MeshService', 'MeshServiceSubset', 'Dataplane'] as const;
const TO = ['Mesh', 'MeshService', 'MeshExternalService', 'MeshMultiZoneService', 'MeshHTTPRoute'] as const;

function readMeshAccessLog(document: Document, findings: Findings): MeshAccessLog {
  const shape = { top: TOP, to: TO, from: ['Mesh'], hasRules: true, conf: readConf } as const;
  const read = readPolicy(document, shape, findings);
  const { policy, spec } = read;
  const { to, from, rules } = policy;
  checkGatewayLists(read);
  if (rules.length > 0 && (to.length > 0 || from.length > 0))
    findings.error(spec.at, 'spec', "fields 'to' and 'from' must be empty when 'rules' is defined");
  if (!['to', 'from', 'rules'].some((list) => spec.has(list) && !spec.isEmpty(list)))
    findings.error(spec.at, 'spec', "at least one of 'from', 'to' or 'rules' has to be defined");
  return policy;
}

function readConf(item: Fields): AccessLogConf {
  const { conf, path } = confOf(item, ['backends']);
  const backends = conf?.objects('backends', ['type', 'tcp', 'file', 'openTelemetry']);
  if (backends === undefined) {
    if (conf?.has('backends') !== true) item.errorAt(conf?.at ?? item.at, `${path}.backends`, 'must be defined');
    return {};
  }
  const files: FileBackend[] = [];
  const others: string[] = [];
  for (const backend of backends) {
    const type = oneOfTexts(backend, 'type', ['Tcp', 'File', 'OpenTelemetry']);
    if (type === undefined) {
      if (!backend.has('type')) backend.error('type', 'must be defined');
      continue;
    }
    if (type === 'OpenTelemetry') {
      others.push(type);
      readOpenTelemetry(backend);
      continue;
    }
    const file = type === 'File' ? readFile(backend) : readTcp(backend);
    if (file !== null) files.push(file);
  }
  return { files, ...(others.length === 0 ? {} : { others }) };
}

/** Checks a backend that is not served. */
function readOpenTelemetry(backend: Fields): void {
  const fields = backend.object('openTelemetry', ['endpoint', 'attributes', 'body', 'backendRef']);
  if (fields === undefined) {
    if (!backend.has('openTelemetry')) backend.error('openTelemetry', 'must be defined');
  } else if (!fields.has('endpoint') && !fields.has('backendRef')) {
    fields.errorAt(fields.at, fields.path, 'must have at least one defined: endpoint, backendRef');
  }
}

function readTcp(backend: Fields): FileBackend | null {
  const fields = backend.object('tcp', ['address', 'format']);
  if (fields === undefined) {
    if (!backend.has('tcp')) backend.error('tcp', 'must be defined');
    return null;
  }
  const path = tcpPlace(fields.text('address') ?? '');
  const format = readFormat(fields);
  if (path === null) fields.error('address', 'tcp backend requires valid address');
  return path === null || format === undefined ? null : { path, format };
}

function readFile(backend: Fields): FileBackend | null {
  const fields = backend.object('file', ['path', 'format']);
  if (fields === undefined) {
    if (!backend.has('file')) backend.error('file', 'must be defined');
    return null;
  }
  const path = fields.text('path') ?? '';
  const format = readFormat(fields);
  if (!/^\/./.test(path) || path.includes('\0')) {
    fields.error('path', 'file backend requires a valid path');
    return null;
  }
  return format === undefined ? null : { path, format };
}

/** Returns undefined where the format cannot be used, which is reported. */
function readFormat(backend: Fields): BackendFormat | null | undefined {
  if (!backend.has('format')) return null;
  const fields = backend.object('format', ['type', 'plain', 'json', 'omitEmptyValues']);
  const type = fields === undefined ? undefined : oneOfTexts(fields, 'type', ['Plain', 'Json']);
  if (fields === undefined || type === undefined) {
    if (fields?.has('type') === false) fields.error('type', 'must be defined');
    return undefined;
  }
  const omitEmpty = fields.flag('omitEmptyValues') ?? false;
  const format = type === 'Plain' ? readPlain(fields) : readJson(fields);
  return format === undefined ? undefined : { ...format, omitEmpty };
}

function readPlain(fields: Fields): Pick<BackendFormat, 'plain'> | undefined {
  const plain = fields.text('plain');
  if (plain === undefined || plain === '') {
    fields.error('plain', plain === undefined ? 'must be defined' : 'must not be empty');
    return undefined;
  }
  return isRead(fields, 'plain', plain) ? { plain } : undefined;
}

function readJson(fields: Fields): Pick<BackendFormat, 'json'> | undefined {
  const list = fields.objects('json', ['key', 'value']);
  if (list === undefined || list.length === 0) {
    fields.error('json', fields.has('json') ? 'must not be empty' : 'must be defined');
    return undefined;
  }
  const entries = list.map((each): readonly [string, string] => {
    const [key, value] = [each.text('key') ?? '', each.text('value') ?? ''];
    if (key === '') each.error('key', 'key cannot be empty');
    if (value === '') each.error('value', 'value cannot be empty');
    else isRead(each, 'value', value);
    return [key, value];
  });
  return { json: Object.fromEntries(entries) };
}

/** Reports an operator that Envoy does not know: it would refuse the whole listener. */
function isRead(fields: Fields, name: string, text: string): boolean {
  const read = textFormat(withKumaValues(text, NO_VALUES), false);
  if (read.kind === 'invalid') fields.error(name, read.why);
  return read.kind === 'parsed';
}

/** The values that Kuma puts in the place of its placeholders. */
export interface KumaValues {
  readonly sourceAddress: string;
  readonly mesh: string;
  readonly zone: string;
  /** The KRI of the workload; empty without one. */
  readonly workload: string;
}

const NO_VALUES: KumaValues = { sourceAddress: '', mesh: '', zone: '', workload: '' };

/** Kuma's defaults for a zone proxy: those of TCP, also where HTTP is spoken. */
const DEFAULT_FORMAT =
  '[%START_TIME%] %RESPONSE_FLAGS% %KUMA_MESH% %KUMA_SOURCE_ADDRESS_WITHOUT_PORT%(%KUMA_SOURCE_SERVICE%)->%UPSTREAM_HOST%(%KUMA_DESTINATION_SERVICE%) took %DURATION%ms, sent %BYTES_SENT% bytes, received: %BYTES_RECEIVED% bytes';

/** A zone proxy does not know the services of its clients. */
function withKumaValues(format: string, { sourceAddress, mesh, zone, workload }: KumaValues): string {
  const host = sourceAddress.includes(':') ? `[${sourceAddress}]` : sourceAddress;
  return format
    .replaceAll('%KUMA_SOURCE_ADDRESS%', () => `${host}:0`)
    .replaceAll('%KUMA_SOURCE_ADDRESS_WITHOUT_PORT%', () => sourceAddress)
    .replaceAll('%KUMA_SOURCE_SERVICE%', 'unknown')
    .replaceAll('%KUMA_DESTINATION_SERVICE%', 'unknown')
    .replaceAll('%KUMA_MESH%', () => mesh)
    .replaceAll('%KUMA_TRAFFIC_DIRECTION%', 'UNSPECIFIED')
    .replaceAll('%KUMA_ZONE%', () => zone)
    .replaceAll('%KUMA_WORKLOAD%', () => workload);
}

/** Makes the format of a backend, as Kuma gives it to Envoy. It was checked when it was read. */
export function formatOf(format: BackendFormat | null, values: KumaValues): ParsedFormat<AccessLogFormat> {
  if (format?.json !== undefined) {
    const fields = Object.entries(format.json).map(([key, value]): readonly [string, string] => [
      key,
      withKumaValues(value, values),
    ]);
    return jsonFormat(Object.fromEntries(fields), format.omitEmpty);
  }
  return textFormat(`${withKumaValues(format?.plain ?? DEFAULT_FORMAT, values)}\n`, format?.omitEmpty ?? false);
}

export const meshAccessLog: PolicyKind<MeshAccessLog, 'accessLogs'> = policyKind('accessLogs', readMeshAccessLog);
