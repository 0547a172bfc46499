/**
 * Merges configurations: the last value of each field counts, maps are merged, lists are replaced.
 * This is a JSON merge patch, as in Kuma.
 */
export function mergeConfs<Conf extends object>(confs: readonly Conf[]): Conf | null {
  const [first, ...rest] = confs;
  if (first === undefined) return null;
  // Every input is a Conf, so the merge of their fields is one too.
  return rest.reduce<Conf>((merged, conf) => merge(merged, conf) as Conf, first);
}

function merge(from: object, over: object): object {
  const merged: Record<string, unknown> = { ...from };
  for (const [name, value] of Object.entries(over)) {
    if (value === undefined) continue;
    const old = merged[name];
    merged[name] = isMap(old) && isMap(value) ? merge(old, value) : value;
  }
  return merged;
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
