/** Names and values alternate, as `node:http` gives them; names are in lower case. */
export type FlatHeaders = readonly string[];

/** Returns the values of a header in their order. */
export function valuesOf(headers: FlatHeaders, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) values.push(headers[i + 1] ?? '');
  return values;
}
