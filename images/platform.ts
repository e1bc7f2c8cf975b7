import { arch } from 'node:os';
import type { Descriptor } from './manifest.ts';
import { manifestTypes } from './media-types.ts';
import type { Platform } from './types.ts';

/**
 * The platforms that this machine can run, best first, as containerd orders them. `cpuinfo` is the text of /proc/cpuinfo:
 * it tells the level of an amd64 CPU (x86-64-v2 to v4 of the psABI) and the version of an ARM one.
 */
export const hostPlatforms = (cpuinfo: string, architecture: string = arch()): readonly Platform[] => {
  if (architecture === 'x64')
    return [...withVariants('amd64', [...amd64Levels(cpuinfo), '']), ...withVariants('386', [''])];
  if (architecture === 'arm64') return [...withVariants('arm64', ['v8']), ...withVariants('arm', armVersions(8))];
  if (architecture === 'arm') return withVariants('arm', armVersions(armVersion(cpuinfo)));
  return withVariants(goNames[architecture] ?? architecture, ['']);
};

/** Node's names for the machines whose Go names differ; ppc64 and mips are little-endian where Node runs. */
const goNames: Readonly<Record<string, string>> = { ia32: '386', ppc64: 'ppc64le', mipsel: 'mipsle' };

/** The platforms that satisfy a wish: itself, and its architecture without a variant. */
export const wishedPlatforms = (wish: Platform): readonly Platform[] =>
  withVariants(wish.architecture, [...new Set([wish.variant ?? '', ''])]).map((platform) => ({
    ...platform,
    os: wish.os,
  }));

const withVariants = (architecture: string, variants: readonly string[]): readonly Platform[] =>
  variants.map((variant) => ({ os: 'linux', architecture, ...(variant !== '' && { variant }) }));

const levels: readonly (readonly [string, readonly string[]])[] = [
  ['v2', ['cx16', 'lahf_lm', 'popcnt', 'pni', 'sse4_1', 'sse4_2', 'ssse3']],
  ['v3', ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe', 'xsave']],
  ['v4', ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl']],
];

const amd64Levels = (cpuinfo: string): readonly string[] => {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(' '));
  const found = ['v1'];
  for (const [level, needed] of levels) {
    if (!needed.every((flag) => flags.has(flag))) break;
    found.unshift(level);
  }
  return found;
};

/** The first Raspberry Pis are ARMv6 and say 7. */
const armVersion = (cpuinfo: string): number => {
  if (/^model name\s*:\s*armv6-compatible/im.test(cpuinfo)) return 6;
  return Number(/^cpu architecture\s*:\s*([5-8])/im.exec(cpuinfo)?.[1] ?? 7);
};

const armVersions = (newest: number): readonly string[] =>
  [8, 7, 6, 5].filter((version) => version <= newest).map((version) => `v${version}`);

export const describePlatform = (platform: Platform): string => {
  const name = [platform.os, platform.architecture, platform.variant].filter(
    (part) => part !== undefined && part !== '',
  );
  return [name.join('/'), ...(platform.osFeatures ?? [])].join(' with ');
};

const aliases: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  i386: '386',
  armhf: 'arm/v7',
  armel: 'arm/v6',
};

/** What is meant when the variant is not said; of amd64 that is v1. */
const usualVariants: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

/** One spelling for each platform: `amd64` and `x86_64/v1`, `arm64` and `aarch64/8`, `arm` and `armhf` are the same. */
const canonical = ({ os, architecture, variant = '' }: Platform): string => {
  const [name = '', own = variant] = (aliases[architecture.toLowerCase()] ?? architecture.toLowerCase()).split('/');
  const version = own
    .toLowerCase()
    .replace(/^(?=\d)/, 'v')
    .replace(/\.0$/, '');
  return [os.toLowerCase() || 'linux', name, version || (usualVariants[name] ?? '')].join('/');
};

export const isSamePlatform = (a: Platform, b: Platform): boolean => canonical(a) === canonical(b);

/** The same without variants: configs often say none. */
export const isSameMachine = (a: Platform, b: Platform): boolean => {
  const [left, right] = [canonical(a), canonical(b)].map((text) => text.split('/').slice(0, 2).join('/'));
  return left === right;
};

/** No feature that an index can ask for is one that Linux machines declare. */
const canRun = ({ platform }: Descriptor): boolean => (platform?.osFeatures ?? []).length === 0;

/** BuildKit's attestations are listed as images of the platform unknown/unknown. */
const isAttestation = (entry: Descriptor): boolean =>
  entry.annotations['vnd.docker.reference.type'] !== undefined ||
  (entry.platform?.os === 'unknown' && entry.platform.architecture === 'unknown');

/** The entries that are images, attestations left out. */
export const imagesIn = (entries: readonly Descriptor[]): readonly Descriptor[] =>
  entries.filter((entry) => !isAttestation(entry));

/** The entry for the best of `platforms`; one that names no platform comes last. Indexes in the index are not looked at. */
export const chooseManifest = (
  entries: readonly Descriptor[],
  platforms: readonly Platform[],
): Descriptor | undefined => {
  const images = imagesIn(entries).filter((entry) => manifestTypes.includes(entry.mediaType) && canRun(entry));
  for (const platform of platforms) {
    const found = images.find((entry) => entry.platform !== undefined && isSamePlatform(entry.platform, platform));
    if (found !== undefined) return found;
  }
  return images.find((entry) => entry.platform === undefined);
};
