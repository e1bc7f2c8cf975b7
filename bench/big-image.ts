import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { image, layer, writeRegistry } from '../critest/harness/image.ts';
import type { TarEntry } from '../critest/harness/tar.ts';

export const bigRegistry = '127.0.0.1:5002';
export const bigName = `${bigRegistry}/berth/big:1`;

const layers = 5;
const filesInLayer = 1000;
const noiseBytes = 43_000;
const textBytes = 30_000;

/** A linear congruential generator (Numerical Recipes' constants): the same image on every machine. */
const noise = (seed: number): Buffer => {
  const bytes = Buffer.alloc(noiseBytes);
  let state = seed >>> 0;
  for (let at = 0; at < noiseBytes; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
};

const entries = (index: number): TarEntry[] =>
  Array.from({ length: filesInLayer }, (_, file) => ({
    name: `d${index}/${file % 40}/f${file}`,
    data: Buffer.concat([noise(index * filesInLayer + file), Buffer.alloc(textBytes, `line ${file} of text\n`)]),
  }));

const directories = (index: number): TarEntry[] => [
  { name: `d${index}/`, type: 'directory' },
  ...Array.from({ length: 40 }, (_, at): TarEntry => ({ name: `d${index}/${at}/`, type: 'directory' })),
];

/** Storage of a docker-registry with an image of 217 MB, 370 MB unpacked, in five layers; made once, outside the tree. */
export const bigImage = async (): Promise<string> => {
  const cache = join(process.env.XDG_CACHE_HOME ?? '/var/cache', 'berth-test');
  const target = join(cache, 'big-1');
  const there = await access(target).then(
    () => true,
    () => false,
  );
  if (there) return target;
  await mkdir(cache, { recursive: true });
  const making = await mkdtemp(join(cache, 'making-'));
  const all = Array.from({ length: layers }, (_, index) => layer([...directories(index), ...entries(index)]));
  await writeRegistry(making, new Map([[bigName, image(all, { Cmd: ['none'] })]]));
  await rename(making, target).catch(() => rm(making, { recursive: true }));
  return target;
};
