/** Writes a number with its noun: `1 address`, `2 addresses`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
