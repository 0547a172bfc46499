/** Checks the form of a line of a recording: other programs may have written it. */
import { NORMAL_ENDS, REFUSALS } from '../base/refusal.ts';

export type RecordedFields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is RecordedFields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Tells whether each present field has the type of the blank one. */
export function isLike(fields: RecordedFields, blanks: object): boolean {
  return Object.entries(blanks).every(([name, blank]) => {
    const value = fields[name];
    return value === undefined || (Array.isArray(blank) ? isTexts(value) : typeof value === typeof blank);
  });
}

export function isReason(reason: unknown): boolean {
  return typeof reason === 'string' && (Object.hasOwn(REFUSALS, reason) || Object.hasOwn(NORMAL_ENDS, reason));
}

export function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
