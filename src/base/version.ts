import { readFileSync } from 'node:fs';

/**
 * Reads the version of this package from the package.json above the sources or the compiled files.
 */
export function packageVersion(): string {
  const file = new URL(import.meta.url.endsWith('.ts') ? '../../package.json' : '../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
