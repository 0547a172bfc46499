/**
 * Writes messages without secrets. Fields that Envoy's protos mark as sensitive are `[redacted]`,
 * and so are the values of headers that carry credentials, which Envoy would show. An `Any` of an
 * unknown type may hold a secret: only its type is shown.
 */
import { create, getOption, toBinary, toJson } from '@bufbuild/protobuf';
import type { DescField, DescMessage, JsonObject, JsonValue, Message, MessageShape } from '@bufbuild/protobuf';
import { AnySchema, StructSchema, anyUnpack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import { ANY_TYPES } from '../messages/any-types.ts';
import { sensitive } from '#envoy/udpa/annotations/sensitive_pb.js';

export const REDACTED = '[redacted]';
/** Deeper than any real message of a control plane. */
const MAX_DEPTH = 60;
const CREDENTIAL_HEADER = /authorization|cookie|token|secret|password|api-?key|credential/i;

/** Writes proto3 JSON with the field names of the protos, `@type` first, as Envoy does. */
export function shownJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonObject {
  const json = toJson(schema, shownMessage(message, 0) as MessageShape<Desc>, { registry: ANY_TYPES, useProtoFieldName: true });
  return typeFirst(json) as JsonObject;
}

/** Writes the same in the form inside of an `Any`. */
export function shownAnyJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonObject {
  return { '@type': `type.googleapis.com/${schema.typeName}`, ...shownJson(schema, message) };
}

function shownMessage(message: Message, depth: number): Message {
  if (depth > MAX_DEPTH) throw new Error(`show ${message.$typeName}: nested more than ${MAX_DEPTH} deep`);
  if (isAny(message)) return shownAny(message, depth);
  const secrets = secretFields(message.$typeName);
  let changed: Record<string, unknown> | null = null;
  for (const [name, value] of Object.entries(message)) {
    const shown = secrets.has(name) ? redacted(value, depth + 1) : shownValue(value, { secrets, depth: depth + 1 });
    if (shown === value) continue;
    changed ??= Object.assign(Object.create(Object.getPrototypeOf(message) as object | null), message) as Record<string, unknown>;
    changed[name] = shown;
  }
  const shown = (changed ?? message) as Message;
  return isCredentialHeader(shown) ? ({ ...shown, value: REDACTED, rawValue: new Uint8Array() } as Message) : shown;
}

function shownValue(value: unknown, within: { readonly secrets: ReadonlySet<string>; readonly depth: number }): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const { secrets, depth } = within;
  if (isMessage(value)) return shownMessage(value, depth);
  if (Array.isArray(value)) {
    const items = value.map((item) => shownValue(item, within));
    return items.some((item, i) => item !== value[i]) ? items : value;
  }
  // A oneof, a map, or a google.protobuf.Struct, which is a plain object.
  const { case: which } = value as { readonly case?: unknown };
  const entries = Object.entries(value).map(([key, item]) => {
    const isSecret = key === 'value' && typeof which === 'string' && secrets.has(which);
    return [key, isSecret ? redacted(item, depth) : shownValue(item, { secrets, depth: depth + 1 })] as const;
  });
  return entries.some(([key, item]) => item !== (value as Readonly<Record<string, unknown>>)[key])
    ? Object.fromEntries(entries)
    : value;
}

/** Redacts every text and every byte field at every depth. */
function redacted(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) return undefined;
  if (typeof value === 'string') return value === '' ? value : REDACTED;
  if (value instanceof Uint8Array) return value.length === 0 ? value : new TextEncoder().encode(REDACTED);
  if (typeof value !== 'object' || value === null) return value;
  if (isMessage(value) && isAny(value)) return placeholder(value.typeUrl);
  if (Array.isArray(value)) return value.map((item) => redacted(item, depth + 1));
  const entries = Object.entries(value).map(([key, item]) => [key, KEPT.has(key) ? item : redacted(item, depth + 1)] as const);
  return Object.assign(Object.create(Object.getPrototypeOf(value) as object | null), Object.fromEntries(entries));
}

/** Fields that are no values of the message. */
const KEPT: ReadonlySet<string> = new Set(['$typeName', 'case']);

function shownAny(packed: Any, depth: number): Any {
  const schema = ANY_TYPES.getMessage(packed.typeUrl.slice(packed.typeUrl.lastIndexOf('/') + 1));
  if (packed.typeUrl === '') return packed;
  if (schema === undefined) return placeholder(packed.typeUrl);
  let message: Message | undefined;
  try {
    message = anyUnpack(packed, schema);
  } catch {
    return placeholder(packed.typeUrl);
  }
  if (message === undefined) return placeholder(packed.typeUrl);
  const shown = shownMessage(message, depth + 1);
  return shown === message ? packed : create(AnySchema, { typeUrl: packed.typeUrl, value: toBinary(schema, shown) });
}

function placeholder(typeUrl: string): Any {
  const value = toBinary(
    StructSchema,
    create(StructSchema, { fields: { not_shown: { kind: { case: 'stringValue', value: typeUrl } } } }),
  );
  return create(AnySchema, { typeUrl: 'type.googleapis.com/google.protobuf.Struct', value });
}

function isMessage(value: object): value is Message {
  return '$typeName' in value;
}

function isAny(message: Message): message is Any {
  return message.$typeName === AnySchema.typeName;
}

function isCredentialHeader(message: Message): boolean {
  if (message.$typeName !== 'envoy.config.core.v3.HeaderValue') return false;
  const { key } = message as Message & { readonly key: string };
  return CREDENTIAL_HEADER.test(key);
}

const NO_FIELDS: ReadonlySet<string> = new Set();
let secretsByType: ReadonlyMap<string, ReadonlySet<string>> | null = null;

/** Returns names as messages spell them. */
function secretFields(typeName: string): ReadonlySet<string> {
  secretsByType ??= findSecretFields();
  return secretsByType.get(typeName) ?? NO_FIELDS;
}

function findSecretFields(): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  const seen = new Set<string>();
  const visit = (desc: DescMessage): void => {
    if (seen.has(desc.typeName)) return;
    seen.add(desc.typeName);
    const names = desc.fields.filter((field) => getOption(field, sensitive)).map(({ localName }) => localName);
    if (names.length > 0) found.set(desc.typeName, new Set(names));
    for (const field of desc.fields) {
      const inner = messageOf(field);
      if (inner !== undefined) visit(inner);
    }
  };
  for (const type of ANY_TYPES) if (type.kind === 'message') visit(type);
  return found;
}

function messageOf(field: DescField): DescMessage | undefined {
  return field.fieldKind === 'scalar' || field.fieldKind === 'enum' ? undefined : field.message;
}

/** Moves `@type` to the front, where readers of Envoy's output expect it. */
function typeFirst(json: JsonValue): JsonValue {
  if (Array.isArray(json)) return json.map(typeFirst);
  if (typeof json !== 'object' || json === null) return json;
  const { '@type': type, ...rest } = json;
  const fields = Object.entries(rest).map(([key, value]) => [key, typeFirst(value)] as const);
  return Object.fromEntries(type === undefined ? fields : [['@type', type], ...fields]);
}
