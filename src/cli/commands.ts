import type { CommandEntry } from './command-spec.ts';
import { demo } from './commands/demo.ts';
import { diff } from './commands/diff.ts';
import { explain } from './commands/explain.ts';
import { fake } from './commands/fake.ts';
import { generateCerts } from './commands/generate-certs.ts';
import { generateDataplaneToken } from './commands/generate-dataplane-token.ts';
import { generatePublicKey } from './commands/generate-public-key.ts';
import { generateSigningKey } from './commands/generate-signing-key.ts';
import { generateZone } from './commands/generate-zone.ts';
import { generateZoneToken } from './commands/generate-zone-token.ts';
import { routes } from './commands/routes.ts';
import { run } from './commands/run.ts';
import { simulate } from './commands/simulate.ts';
import { tokenInspect } from './commands/token-inspect.ts';
import { validate } from './commands/validate.ts';

/**
 * Every command by the words to type, in the order of the help text. A new one is a file in
 * `commands/` and a line here.
 */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  run,
  validate,
  routes,
  explain,
  simulate,
  diff,
  fake,
  'generate certs': generateCerts,
  'generate zone': generateZone,
  'generate signing-key': generateSigningKey,
  'generate public-key': generatePublicKey,
  'generate zone-token': generateZoneToken,
  'generate dataplane-token': generateDataplaneToken,
  'token inspect': tokenInspect,
  demo,
};
