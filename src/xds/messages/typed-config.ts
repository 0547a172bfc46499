import type { DescMessage, Message, MessageShape } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';

/** `envoy.extensions.filters.network.rbac.v3.RBAC`; empty without a configuration. */
export function typeOf(config: Any | undefined): string {
  return config === undefined ? '' : config.typeUrl.slice(config.typeUrl.lastIndexOf('/') + 1);
}

/** Returns undefined for another type, and for bytes that cannot be decoded. */
export function unpack<Desc extends DescMessage>(any: Any | undefined, schema: Desc): MessageShape<Desc> | undefined {
  if (any === undefined) return undefined;
  try {
    return anyUnpack(any, schema);
  } catch {
    return undefined;
  }
}

/**
 * Finds a field that no proto here has, at any depth of a message, as `<type> field <number>`; null
 * without one. Such a field may restrict access.
 */
export function unknownField(message: Message): string | null {
  const [first] = message.$unknown ?? [];
  if (first !== undefined) return `${message.$typeName} field ${first.no}`;
  return unknownWithin(message);
}

function unknownWithin(value: object): string | null {
  for (const inner of Object.values(value)) {
    if (typeof inner !== 'object' || inner === null || inner instanceof Uint8Array) continue;
    const found = '$typeName' in inner ? unknownField(inner as Message) : unknownWithin(inner as object);
    if (found !== null) return found;
  }
  return null;
}
