type Range = readonly [first: number, last: number];

/** "0-3,7", the kernel's way to name processors and memory nodes: sorted, without overlaps; undefined when it is none. */
export type NumberList = readonly Range[];

const joined = (ranges: readonly Range[]): NumberList => {
  const all: [number, number][] = [];
  for (const [first, last] of ranges.toSorted(([a], [b]) => a - b)) {
    const before = all.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else all.push([first, last]);
  }
  return all;
};

export const parseList = (text: string): NumberList | undefined => {
  const ranges: Range[] = [];
  for (const part of text.split(',')) {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    if (first === undefined || Number(first) > Number(last)) return undefined;
    ranges.push([Number(first), Number(last)]);
  }
  return joined(ranges);
};

/** As the kernel writes it. */
export const formatList = (list: NumberList): string =>
  list.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');

/** The first number of `wanted` that `there` lacks; undefined when it has all. */
export const missingFrom = (wanted: NumberList, there: NumberList): number | undefined => {
  for (const [first, last] of wanted) {
    const around = there.find(([from, to]) => from <= first && first <= to);
    if (around === undefined) return first;
    if (around[1] < last) return around[1] + 1;
  }
  return undefined;
};
