/** Returns the inner map of a map of maps, and makes it when it is missing. */
export function innerMap<Value>(map: Map<string, Map<string, Value>>, name: string): Map<string, Value> {
  let found = map.get(name);
  if (found === undefined) {
    found = new Map();
    map.set(name, found);
  }
  return found;
}
