#!/usr/bin/env node
// The command `zone-egress`: runs the compiled package where there is one, the sources in a
// checkout. It is plain JavaScript for any Node, so that one that is too old prints a reason
// instead of failing on a file that it cannot parse.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const compiled = new URL('../dist/src/main.js', import.meta.url);
const checkout = new URL('../scripts/node.mjs', import.meta.url);
const [major, minor] = process.versions.node.split('.').map(Number);
const modern = major > 22 || (major === 22 && minor >= 23);

if (existsSync(checkout)) {
  process.argv.splice(2, 0, fileURLToPath(new URL('./main.ts', import.meta.url)));
  await import(checkout.href);
} else if (!modern) {
  console.error(`zone-egress needs Node.js 22.23 or later, this is ${process.version}`);
  process.exitCode = 1;
} else if (!existsSync(compiled)) {
  console.error(
    'zone-egress: this package was packed without its compiled files (npm pack --ignore-scripts): pack it again with scripts',
  );
  process.exitCode = 1;
} else {
  await import(compiled.href);
}
