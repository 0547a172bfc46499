import type { Compiled } from '../../model/compiled.ts';
import type { ConfigSource } from './config-source.ts';

type Good = Extract<Compiled, { kind: 'compiled' }>;

/**
 * Makes of a compiled configuration the one that is served, or the problems that forbid it. Its
 * snapshot needs another version where its content differs.
 */
export type Rewrite = (compiled: Good) => Promise<Compiled>;

/**
 * A source whose configurations are rewritten before anybody sees them; without `rewrite` the
 * source itself.
 */
export function rewrittenSource(source: ConfigSource, rewrite: Rewrite | undefined): ConfigSource {
  if (rewrite === undefined) return source;
  return {
    ...source,
    async load() {
      const compiled = await source.load();
      return compiled.kind === 'compiled' ? rewrite(compiled) : compiled;
    },
  };
}
