import type { Pressure, Stall } from './figures.ts';

/** "anon 4096\nfile 0": the numbers of a cgroup's flat-keyed file. */
export const parseKeyed = (text: string): ReadonlyMap<string, bigint> => {
  const values = new Map<string, bigint>();
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    const value = space < 0 ? undefined : parseCount(line.slice(space + 1));
    if (value !== undefined) values.set(line.slice(0, space), value);
  }
  return values;
};

/** A whole number; undefined for what is none ("max"). */
export const parseCount = (text: string | undefined): bigint | undefined => {
  const trimmed = text?.trim() ?? '';
  return /^\d{1,20}$/.test(trimmed) ? BigInt(trimmed) : undefined;
};

/** v1 has no word for "no limit": it is the largest number of whole pages. */
const noLimit = 1n << 62n;

export const limitOf = (limit: bigint | undefined): bigint | undefined =>
  limit === undefined || limit >= noLimit ? undefined : limit;

const noStall: Stall = { total: 0n, avg10: 0, avg60: 0, avg300: 0 };

/** "some avg10=0.00 avg60=0.00 avg300=0.00 total=0": a `*.pressure` file. Undefined when it is not one. */
export const parsePressure = (text: string | undefined): Pressure | undefined => {
  const stall = (kind: string): Stall | undefined => {
    const line = new RegExp(`^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)$`, 'm');
    const [, avg10, avg60, avg300, total] = line.exec(text ?? '') ?? [];
    if (total === undefined) return undefined;
    return { total: BigInt(total), avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300) };
  };
  const some = stall('some');
  // Older kernels have no `full` for the CPU.
  return some && { some, full: stall('full') ?? noStall };
};
