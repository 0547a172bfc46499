/** Writes rows in columns that are as wide as their widest cell; each row is a line. */
export function columns(rows: readonly (readonly string[])[]): string {
  const count = Math.max(0, ...rows.slice(0, 1).map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), 0),
  );
  const line = (row: readonly string[]): string => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}
