import { arch } from 'node:os';
import type { Descriptor } from './manifest.ts';
import { manifestTypes } from './media-types.ts';
import type { Platform } from './types.ts';

/**
 * The platforms that this machine can run, best first. `cpuinfo` is the text of /proc/cpuinfo: it tells the level of an
 * amd64 CPU (x86-64-v2 and v3 of the psABI).
 */
export const hostPlatforms = (cpuinfo: string, architecture: string = arch()): readonly Platform[] => {
  if (architecture === 'x64') return withVariants('amd64', [...amd64Levels(cpuinfo), '']);
  if (architecture === 'arm64') return withVariants('arm64', ['v8', '']);
  if (architecture === 'arm') return withVariants('arm', ['v7', 'v6', 'v5', '']);
  return withVariants(architecture, ['']);
};

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

export const describePlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== '').join('/');

/** arm64 and arm64/v8 are one. */
const variantOf = (platform: Platform): string => platform.variant ?? (platform.architecture === 'arm64' ? 'v8' : '');

export const isSamePlatform = (a: Platform, b: Platform): boolean =>
  a.os === b.os && a.architecture === b.architecture && variantOf(a) === variantOf(b);

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
  const images = imagesIn(entries).filter((entry) => manifestTypes.includes(entry.mediaType));
  for (const platform of platforms) {
    const found = images.find((entry) => entry.platform !== undefined && isSamePlatform(entry.platform, platform));
    if (found !== undefined) return found;
  }
  return images.find((entry) => entry.platform === undefined);
};
