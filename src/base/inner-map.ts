/** Returns the inner map of a map of maps, and makes it when it is missing. */
export function innerMap<Name, Key, Value>(map: Map<Name, Map<Key, Value>>, name: Name): Map<Key, Value> {
  let found = map.get(name);
  if (found === undefined) {
    found = new Map();
    map.set(name, found);
  }
  return found;
}
