import { required } from './options.ts';
import type { ParsedOptions, OptionTable } from './options.ts';

/** The signing and the validity of a token, by the names of kumactl. */
export interface SigningOptions {
  readonly validForMs: number;
  readonly signingKeyPath: string;
  readonly kid: string;
}

export const SIGNING_OPTIONS: OptionTable = {
  'valid-for': { kind: 'duration', value: 'DUR', help: 'how long the token is valid, such as 720h' },
  'signing-key-path': { kind: 'text', value: 'FILE', help: 'private key that signs tokens' },
  kid: { kind: 'text', value: 'ID', help: 'id of the key: the number at the end of the name of its secret' },
};

/** Throws for a missing option of `command`, and for an invalid lifetime. */
export function signingOptions(given: ParsedOptions, command: string): SigningOptions {
  required(given, 'valid-for', command);
  const validForMs = given.duration('valid-for');
  if (validForMs < 1_000) throw new Error(`--valid-for ${given.text('valid-for') ?? ''}: allowed is a second or more`);
  return {
    validForMs,
    signingKeyPath: required(given, 'signing-key-path', command),
    kid: required(given, 'kid', command),
  };
}
