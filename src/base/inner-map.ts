/** The map inside of a map of maps, made where there is none yet. */
export function innerMap<Value>(map: Map<string, Map<string, Value>>, name: string): Map<string, Value> {
  let found = map.get(name);
  if (found === undefined) {
    found = new Map();
    map.set(name, found);
  }
  return found;
}
