import type { CommandEntry } from './command-spec.ts';
import { alarmsEntry } from './commands/alarms.ts';
import { completionEntries } from './commands/completion.ts';
import { configPrintEntry } from './commands/config-print.ts';
import { configSchemaEntry } from './commands/config-schema.ts';
import { decisionsEntry } from './commands/decisions.ts';
import { demoEntry } from './commands/demo.ts';
import { diffEntry } from './commands/diff.ts';
import { drainEntry } from './commands/drain.ts';
import { explainEntry } from './commands/explain.ts';
import { fakeEntry } from './commands/fake.ts';
import { generateCertsEntry } from './commands/generate-certs.ts';
import { generateDataplaneTokenEntry } from './commands/generate-dataplane-token.ts';
import { generatePublicKeyEntry } from './commands/generate-public-key.ts';
import { generateSigningKeyEntry } from './commands/generate-signing-key.ts';
import { generateZoneEntry } from './commands/generate-zone.ts';
import { generateZoneTokenEntry } from './commands/generate-zone-token.ts';
import { logLevelEntry } from './commands/log-level.ts';
import { manEntry } from './commands/man.ts';
import { migrateEntry } from './commands/migrate.ts';
import { probeEntry } from './commands/probe.ts';
import { routesEntry } from './commands/routes.ts';
import { runEntry } from './commands/run.ts';
import { sessionsEntry } from './commands/sessions.ts';
import { simulateEntry } from './commands/simulate.ts';
import { suggestEntry } from './commands/suggest.ts';
import { tokenInspectEntry } from './commands/token-inspect.ts';
import { topEntry } from './commands/top.ts';
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
  sessions: sessionsEntry,
  decisions: decisionsEntry,
  alarms: alarmsEntry,
  'log-level': logLevelEntry,
  drain: drainEntry,
  top: topEntry,
  simulate: simulateEntry,
  suggest: suggestEntry,
  probe: probeEntry,
  diff: diffEntry,
  migrate: migrateEntry,
  fake: fakeEntry,
  'generate certs': generateCertsEntry,
  'generate zone': generateZoneEntry,
  'generate signing-key': generateSigningKeyEntry,
  'generate public-key': generatePublicKeyEntry,
  'generate zone-token': generateZoneTokenEntry,
  'generate dataplane-token': generateDataplaneTokenEntry,
  'token inspect': tokenInspectEntry,
  'config print': configPrintEntry,
  'config schema': configSchemaEntry,
  ...completionEntries,
  man: manEntry,
  demo: demoEntry,
};
