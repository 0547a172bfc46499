import type { Duration } from '@bufbuild/protobuf/wkt';
import { isPositive } from '../messages/duration.ts';

/** Makes Envoy's message for a value that the rules of its proto forbid. */
export function constraint(message: string, field: string, rule: string): string {
  return `Proto constraint validation failed (${message}ValidationError.${field}: ${rule})`;
}

/** Checks durations that are present but not above zero, by the name of the field. */
export function* notPositive(message: string, durations: Readonly<Record<string, Duration | undefined>>): Iterable<string> {
  for (const [field, duration] of Object.entries(durations)) {
    if (duration !== undefined && !isPositive(duration)) yield constraint(message, field, 'value must be greater than 0s');
  }
}

/** Checks values that are present and above the limit. */
export function* above(
  limit: number,
  message: string,
  numbers: Readonly<Record<string, number | bigint | undefined>>,
): Iterable<string> {
  for (const [field, number] of Object.entries(numbers)) {
    if (number !== undefined && number > limit) yield constraint(message, field, `value must be less than or equal to ${limit}`);
  }
}

/** Checks for a number that no enum constant has: proto3 keeps it, Envoy refuses it. */
export function* undefinedEnum(
  message: string,
  enums: Readonly<Record<string, readonly [value: number, constants: Readonly<Record<number, string>>]>>,
): Iterable<string> {
  for (const [field, [value, constants]] of Object.entries(enums)) {
    if (constants[value] === undefined) yield constraint(message, field, 'value must be one of the defined enum values');
  }
}
