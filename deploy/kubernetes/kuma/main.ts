// post-renderer [IMAGE]: reads manifests from standard input and writes the changed ones to
// standard output, as a post-renderer of Helm.
import { readFileSync } from 'node:fs';
import { IMAGE } from '../parts.ts';
import { replaceEgress } from './post-render.ts';

try {
  process.stdout.write(
    replaceEgress(readFileSync(0, 'utf8'), { image: process.argv[2] ?? process.env.ZONE_EGRESS_IMAGE ?? IMAGE }),
  );
} catch (error) {
  console.error(`post-renderer: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
