// post-renderer [IMAGE]: manifests on standard input, the changed ones on standard output, as Helm
// wants it of a post-renderer.
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
