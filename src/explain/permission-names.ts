import type { Permission } from '../model/permission.ts';

/** The names of all that decides in a permission, each once: policies, or the lack of any. */
export function deciders(permission: Permission): readonly string[] {
  return [...new Set(namesIn(permission).flatMap((by) => by.split(', ')))];
}

function namesIn(permission: Permission): readonly string[] {
  switch (permission.kind) {
    case 'allow-all':
    case 'deny-all':
    case 'unsupported':
      return [permission.by];
    case 'rules':
      return permission.rules.length === 0 ? [permission.by] : permission.rules.map(({ by }) => by);
    case 'all-of':
      return permission.all.length === 0 ? [permission.by] : permission.all.flatMap(namesIn);
    default:
      return permission satisfies never;
  }
}
