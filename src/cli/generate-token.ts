import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { dataplaneToken, publicKeyIn, signingKeyIn, tokenLife, zoneToken } from '../identity/proxy-token.ts';
import type { SigningKey, TokenLife } from '../identity/proxy-token.ts';
import type { GenerateDataplaneTokenCommand } from './commands/generate-dataplane-token.ts';
import type { KeyFormat } from './commands/generate-signing-key.ts';
import type { GenerateZoneTokenCommand } from './commands/generate-zone-token.ts';
import { parsedFile } from './file-text.ts';
import { untilStopped } from './load-folder.ts';
import type { SigningOptions } from './signing-options.ts';
import type { Terminal } from './terminal.ts';

type Key = SigningKey['key'];

/** Prints an RSA key of 2,048 bits in PKCS#1, the form that a control plane reads. */
export async function generateSigningKeyCommand({ format }: { readonly format: KeyFormat }, terminal: Terminal): Promise<number> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2_048 });
  const pem = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
  terminal.out(format === 'pem' ? pem : Buffer.from(pem).toString('base64'));
  return 0;
}

export function generatePublicKeyCommand(
  { signingKeyPath }: { readonly signingKeyPath: string },
  terminal: Terminal,
): Promise<number> {
  return withKey(signingKeyPath, publicKeyIn, terminal, (key) => key.export({ type: 'pkcs1', format: 'pem' }).toString());
}

export function generateZoneTokenCommand(options: GenerateZoneTokenCommand, terminal: Terminal): Promise<number> {
  return withSigning(options, terminal, (life, key) => zoneToken(options, life, key));
}

export function generateDataplaneTokenCommand(options: GenerateDataplaneTokenCommand, terminal: Terminal): Promise<number> {
  return withSigning(options, terminal, (life, key) => dataplaneToken(options, life, key));
}

function withSigning(
  { signingKeyPath, kid, validForMs }: SigningOptions,
  terminal: Terminal,
  token: (life: TokenLife, key: SigningKey) => string,
): Promise<number> {
  const life = tokenLife(Date.now(), validForMs);
  return withKey(signingKeyPath, signingKeyIn, terminal, (key) => token(life, { key, kid }));
}

/**
 * Prints what `made` returns of the key in the file, without a line feed at the end, as kumactl
 * does.
 */
function withKey(path: string, read: (text: string) => Key, terminal: Terminal, made: (key: Key) => string): Promise<number> {
  return untilStopped(terminal, () => {
    terminal.out(made(parsedFile(path, read)));
    return Promise.resolve(0);
  });
}
