import type { OptionTable, ParsedOptions } from './options.ts';

/** Options of the commands that ask an egress whose admin listener speaks TLS. */
export const ADMIN_TLS_OPTIONS: OptionTable = {
  'admin-ca': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_CA'],
    value: 'FILE',
    help: 'with --admin https://…: the CA of its certificate (PEM); default: the public CAs',
  },
  'admin-cert': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_CERT'],
    value: 'FILE',
    help: 'with --admin https://…: the client certificate to show, which lets changes be made; with --admin-key',
  },
  'admin-key': { kind: 'text', env: ['ZONE_EGRESS_ADMIN_KEY'], value: 'FILE', help: 'the private key of --admin-cert' },
};

/** The options of the commands that ask a running egress. */
export const ADMIN_OPTION: OptionTable = {
  admin: {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN'],
    value: 'URL',
    help: 'the admin pages of the egress, e.g. http://127.0.0.1:9901, or the path of its --admin-socket',
  },
  ...ADMIN_TLS_OPTIONS,
};

/** The option that lets a command change an egress over TCP. */
export const TOKEN_OPTION: OptionTable = {
  'admin-token-file': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_TOKEN_FILE'],
    value: 'FILE',
    help: 'file with a token of the egress, for changes over TCP; its first token is sent',
  },
};

/** Options of the commands that change a running egress. */
export const CHANGE_OPTIONS: OptionTable = { ...ADMIN_OPTION, ...TOKEN_OPTION };

/** Options of the commands that look for sessions in a running egress. */
export const FIND_OPTIONS: OptionTable = {
  ...ADMIN_OPTION,
  mesh: { kind: 'text', value: 'NAME', help: 'only this mesh' },
  destination: { kind: 'text', value: 'NAME', help: 'only this destination' },
  client: {
    kind: 'text',
    value: 'ID',
    help: 'only this client: a SPIFFE id or an address, or the beginning of one with * behind it',
  },
};

/** Returns the parameters of a page for the options that are given. */
export function findText(given: ParsedOptions): Readonly<Record<string, string>> {
  const named = ['mesh', 'destination', 'client'].map((name) => [name, given.text(name)] as const);
  return Object.fromEntries(named.flatMap(([name, text]) => (text === null ? [] : [[name, text]])));
}

/** Returns the text of an option that has to be one of these. Throws with what is allowed. */
export function choice<Text extends string>(given: ParsedOptions, name: string, allowed: readonly Text[]): Text {
  const text = given.text(name);
  const found = allowed.find((each) => each === text);
  if (found !== undefined) return found;
  const names = `${allowed.slice(0, -1).join(', ')} and ${allowed.at(-1) ?? ''}`;
  throw new Error(`--${name} ${JSON.stringify(text)}: allowed are ${names}`);
}
