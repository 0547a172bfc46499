import { readFileSync } from 'node:fs';

/**
 * Version of this package, from the package.json above the sources or above what was compiled from
 * them.
 */
export function packageVersion(): string {
  const file = new URL(import.meta.url.endsWith('.ts') ? '../../package.json' : '../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
