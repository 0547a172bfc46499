import type { Meta } from '../document.ts';
import type { Ruled } from './to-rules.ts';

export interface Overridden {
  /** Path of the field in the policy's configuration, e.g. `connectionLimits.maxConnections`. */
  readonly field: string;
  /** The policy whose value counts instead. */
  readonly by: Meta;
}

export interface PolicyOutcome {
  readonly policy: Meta;
  readonly lost: readonly Overridden[];
  /** True when at least one value of this policy counts. */
  readonly keepsAny: boolean;
}

/** Finds, for each policy of a merged setting, the values that a later one replaces. */
export function outcomes<Conf>({ parts }: Ruled<Conf>): readonly PolicyOutcome[] {
  if (parts.length < 2) return [];
  const counting = new Map<string, { value: string; by: Meta }>();
  const all = parts.map(({ policy, conf }) => {
    const fields = [...leaves(conf, '')];
    for (const [field, value] of fields) counting.set(field, { value, by: policy.meta });
    return { policy: policy.meta, fields };
  });
  return all.map(({ policy, fields }) => {
    const lost = fields.flatMap(([field, value]): readonly Overridden[] => {
      const winner = counting.get(field);
      return winner === undefined || winner.value === value ? [] : [{ field, by: winner.by }];
    });
    return { policy, lost, keepsAny: fields.length === 0 || lost.length < fields.length };
  });
}

function* leaves(value: unknown, path: string): Generator<readonly [field: string, value: string]> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    if (value !== undefined) yield [path, JSON.stringify(value)];
    return;
  }
  for (const [name, inner] of Object.entries(value)) yield* leaves(inner, path === '' ? name : `${path}.${name}`);
}
