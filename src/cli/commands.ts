import type { CommandEntry } from './command-spec.ts';
import { demoEntry } from './commands/demo.ts';
import { diffEntry } from './commands/diff.ts';
import { explainEntry } from './commands/explain.ts';
import { fakeEntry } from './commands/fake.ts';
import { generateCertsEntry } from './commands/generate-certs.ts';
import { generateDataplaneToken } from './commands/generate-dataplane-token.ts';
import { generatePublicKey } from './commands/generate-public-key.ts';
import { generateSigningKey } from './commands/generate-signing-key.ts';
import { generateZoneEntry } from './commands/generate-zone.ts';
import { generateZoneToken } from './commands/generate-zone-token.ts';
import { routesEntry } from './commands/routes.ts';
import { runEntry } from './commands/run.ts';
import { simulateEntry } from './commands/simulate.ts';
import { tokenInspect } from './commands/token-inspect.ts';
import { validateEntry } from './commands/validate.ts';

/**
 * Every command by the words to type, in the order of the help text. A new one is a file in
 * `commands/` and a line here.
 */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  run: runEntry,
  validate: validateEntry,
  routes: routesEntry,
  explain: explainEntry,
  simulate: simulateEntry,
  diff: diffEntry,
  fake: fakeEntry,
  'generate certs': generateCertsEntry,
  'generate zone': generateZoneEntry,
  'generate signing-key': generateSigningKey,
  'generate public-key': generatePublicKey,
  'generate zone-token': generateZoneToken,
  'generate dataplane-token': generateDataplaneToken,
  'token inspect': tokenInspect,
  demo: demoEntry,
};
