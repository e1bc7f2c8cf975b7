import { readdir, readFile } from 'node:fs/promises';

export interface Processes {
  /** Proportional set size in KiB, by pid. */
  readonly pss: ReadonlyMap<number, { readonly name: string; readonly kib: number }>;
}

/** Every process of the machine with its PSS (smaps_rollup); one that ends meanwhile is left out. */
export const processes = async (): Promise<Processes> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const pss = new Map<number, { name: string; kib: number }>();
  for (const pid of pids) {
    const found = await one(pid).catch(() => undefined);
    if (found !== undefined) pss.set(pid, found);
  }
  return { pss };
};

const one = async (pid: number): Promise<{ name: string; kib: number } | undefined> => {
  const [rollup, name] = await Promise.all([
    readFile(`/proc/${pid}/smaps_rollup`, 'utf8'),
    readFile(`/proc/${pid}/comm`, 'utf8'),
  ]);
  const kib = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
  return kib === undefined ? undefined : { name: name.trim(), kib: Number(kib) };
};

/** What was added between the two in processes of these names: new ones, and growth of the old ones. In KiB. */
export const added = (before: Processes, after: Processes, names: RegExp): ReadonlyMap<string, number> => {
  const sums = new Map<string, number>();
  const add = (name: string, kib: number): void => void sums.set(name, (sums.get(name) ?? 0) + kib);
  for (const [pid, { name, kib }] of after.pss) {
    const old = before.pss.get(pid);
    if (!names.test(name)) continue;
    if (old === undefined) add(name, kib);
    else if (kib !== old.kib) add(`${name} (grown)`, kib - old.kib);
  }
  return sums;
};
