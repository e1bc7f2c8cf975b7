/** Columns as wide as their widest cell, the first to the left, the others to the right. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
};

const barWidth = 40;

/** The share of `most` as a bar of blocks. */
export const bar = (value: number, most: number): string =>
  '█'.repeat(Math.max(1, Math.round((value / most) * barWidth)));

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`;

/** How often the second is the first. */
export const ratio = (own: number, other: number | undefined): string =>
  other === undefined ? '' : `${(other / own).toFixed(1)}×`;
