/** Rows under a header; columns are as wide as their widest cell, the last one is not padded. */
export const table = (header: readonly string[], rows: readonly (readonly string[])[]): string => {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ''))));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - width(cell)),
      )
      .join('  ');
  return all.map((row) => `${line(row).trimEnd()}\n`).join('');
};

const width = (text: string): number => [...text].length;

/** The first 12 letters of an id or of a digest's hex. */
export const shortId = (id: string): string => id.replace(/^sha\d+:/, '').slice(0, 12);

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export const size = (bytes: bigint | number): string => {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
};

const steps: readonly (readonly [number, string])[] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'm'],
];

/** How long ago, in the largest unit that fits: `5m`, `3d`. `from` is nanoseconds since 1970; 0 is "-". */
export const age = (from: bigint, nowMs = Date.now()): string => {
  if (from === 0n) return '-';
  const seconds = Math.max(0, Math.floor((nowMs - Number(from / 1_000_000n)) / 1000));
  const step = steps.find(([least]) => seconds >= least);
  return step === undefined ? `${seconds}s` : `${Math.floor(seconds / step[0])}${step[1]}`;
};

/** What comes from an image or a pod must not move the cursor. */
export const plain = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '?');
