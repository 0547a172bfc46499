import { Buffer } from 'node:buffer';
import type { DataSource } from '#envoy/config/core/v3/base_pb.js';

export type DataText =
  | { readonly kind: 'text'; readonly text: string }
  /** Text in a file or variable of the machine, not sent over ADS. `where` names it. */
  | { readonly kind: 'elsewhere'; readonly where: string }
  | { readonly kind: 'absent' };

/** Reads PEM and other text that is sent inside of a resource. */
export function dataText(source: DataSource | undefined): DataText {
  const specifier = source?.specifier;
  switch (specifier?.case) {
    case 'inlineBytes':
      return textOf(Buffer.from(specifier.value).toString('utf8'));
    case 'inlineString':
      return textOf(specifier.value);
    case 'filename':
      return { kind: 'elsewhere', where: `the file ${specifier.value}` };
    case 'environmentVariable':
      return { kind: 'elsewhere', where: `the variable ${specifier.value}` };
    case undefined:
      return { kind: 'absent' };
    default:
      return specifier satisfies never;
  }
}

function textOf(text: string): DataText {
  return text === '' ? { kind: 'absent' } : { kind: 'text', text };
}
