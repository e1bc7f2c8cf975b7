import { access, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { sha256 } from '../base/digest.ts';
import { image, type Layer, mediaTypes, writeRegistry } from '../critest/harness/image.ts';
import { type TarEntry, tar } from '../critest/harness/tar.ts';
import { Dice, makePools } from './content.ts';
import { beginNothingWhenInterrupted } from './left.ts';

export const bigRegistry = '127.0.0.1:5002';
export const farRegistry = '127.0.0.1:5001';
export type Compression = 'gzip' | 'zstd';

/** Each round pulls an image of its own: nothing has to be removed before, which would make ext4 slow for minutes. */
export const bigName = (compression: Compression, round: number): string =>
  `${bigRegistry}/berth/big:${compression}-${round}`;
/** Eight layers: the five, and the three that the crowd shares. */
export const wideName = (round: number): string => `${bigRegistry}/berth/wide:${round}`;
/** The largest layer alone, by the port of another way to the registry. */
export const farName = (round: number): string => `${farRegistry}/berth/far:${round}`;
/** Ten images whose lower three layers are the same, each with one of its own. */
export const crowdNames = (round: number): readonly string[] =>
  Array.from({ length: crowdImages }, (_, i) => `${bigRegistry}/berth/crowd${i}:${round}`);

/** Files in each layer of the big image, 30,000 in all: one large layer below, as distributions' images have. */
const bigLayers = [11_000, 8000, 5000, 4000, 2000];
const sharedLayers = [4000, 3000, 2000];
const ownFiles = 300;
const crowdImages = 10;
const filesInDirectory = 24;
/** Half of the files have less; the mean is 23 kB, as in a distribution. */
const medianBytes = 2900;
const spread = 2.05;
const largestBytes = 24 << 20;

/** What a file of this size is, mostly: large ones are programs and libraries, small ones text; some are compressed. */
const kindOf = (dice: Dice, size: number): 'text' | 'code' | 'noise' => {
  const chance = dice.next();
  if (chance < 0.03) return 'noise';
  return chance < (size > 50_000 ? 0.8 : 0.2) ? 'code' : 'text';
};

const entriesOf = (seed: number, files: number, from: ReturnType<typeof makePools>): TarEntry[] => {
  const dice = new Dice(seed);
  const entries: TarEntry[] = [{ name: `usr${seed}/`, type: 'directory' }];
  for (let file = 0; file < files; file += 1) {
    const directory = `usr${seed}/d${Math.floor(file / filesInDirectory)}/`;
    if (file % filesInDirectory === 0) entries.push({ name: directory, type: 'directory' });
    const size = Math.min(largestBytes, Math.floor(medianBytes * Math.exp(spread * dice.normal())));
    const bytes = from[kindOf(dice, size)];
    const at = dice.below(bytes.length - size);
    entries.push({ name: `${directory}file${file}.conf`, data: bytes.subarray(at, at + size) });
    if (file % 40 === 0) entries.push({ name: `${directory}link${file}`, type: 'symlink', link: `file${file}.conf` });
  }
  return entries;
};

const compressors = { gzip: gzipSync, zstd: zstdCompressSync };

/** Every layer by its name, compressed; made once (a minute), outside the tree. */
const cached = async (): Promise<string> => {
  const cache = join(process.env.XDG_CACHE_HOME ?? '/var/cache', 'berth-test');
  const target = join(cache, 'layers-3');
  const there = await access(target).then(
    () => true,
    () => false,
  );
  if (there) return target;
  await mkdir(cache, { recursive: true });
  const making = await mkdtemp(join(cache, 'making-'));
  const pools = makePools();
  const put = async (name: string, seed: number, files: number, kinds: readonly Compression[]): Promise<void> => {
    const plain = tar(entriesOf(seed, files, pools));
    for (const kind of kinds) await writeFile(join(making, `${name}.${kind}`), compressors[kind](plain));
  };
  for (const [i, files] of bigLayers.entries()) await put(`big-${i}`, i, files, ['gzip', 'zstd']);
  for (const [i, files] of sharedLayers.entries()) await put(`shared-${i}`, 100 + i, files, ['gzip']);
  for (let i = 0; i < crowdImages; i += 1) await put(`own-${i}`, 200 + i, ownFiles, ['gzip']);
  await rename(making, target).catch(() => rm(making, { recursive: true }));
  return target;
};

/** The layer with one more entry in front, in a gzip member or zstd frame of its own: other digests, the same work. */
const variant = async (from: string, name: string, compression: Compression, round: number): Promise<Layer> => {
  const [packed, plain] = await Promise.all([
    readFile(join(from, `${name}.${compression}`)),
    readFile(join(from, `${name}.gzip`)).then((bytes) => gunzipSync(bytes)),
  ]);
  const front = tar([{ name: `round-${round}-${compression}` }]).subarray(0, 512);
  const blob = Buffer.concat([compressors[compression](front), packed]);
  const mediaType = compression === 'gzip' ? mediaTypes.layer : mediaTypes.zstdLayer;
  return { diffId: sha256(Buffer.concat([front, plain])), digest: sha256(blob), blob, mediaType };
};

type Variants = (names: readonly string[], compression: Compression) => Promise<Layer[]>;

/** Storage of a docker-registry with the images above for so many rounds. */
export const writeBigImages = async (directory: string, rounds: number): Promise<void> => {
  const from = await cached();
  for (let round = 0; round < rounds; round += 1) {
    const variants: Variants = async (names, compression) => {
      const layers: Layer[] = [];
      for (const name of names) layers.push(await variant(from, name, compression, round));
      return layers;
    };
    await writeRound(directory, round, variants);
  }
};

const writeRound = async (directory: string, round: number, variants: Variants): Promise<void> => {
  const put = (name: string, layers: readonly Layer[]): Promise<void> => {
    beginNothingWhenInterrupted();
    return writeRegistry(directory, new Map([[name, image(layers, { Cmd: ['none'] })]]));
  };
  const big = bigLayers.map((_, i) => `big-${i}`);
  for (const compression of ['gzip', 'zstd'] as const)
    await put(bigName(compression, round), await variants(big, compression));
  const shared = sharedLayers.map((_, i) => `shared-${i}`);
  const below = await variants(shared, 'gzip');
  await put(farName(round), await variants(big.slice(0, 1), 'gzip'));
  await put(wideName(round), [...(await variants(big, 'gzip')), ...below]);
  for (const [i, name] of crowdNames(round).entries())
    await put(name, [...below, ...(await variants([`own-${i}`], 'gzip'))]);
};
