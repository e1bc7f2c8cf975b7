import test from 'ava';
import { sha256 } from '../base/digest.ts';
import type { Descriptor } from './manifest.ts';
import { chooseManifest, describePlatform, hostPlatforms, isSamePlatform, wishedPlatforms } from './platform.ts';
import type { Platform } from './types.ts';

const v2 = 'cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3';
const v3 = `${v2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave`;
const v4 = `${v3} avx512f avx512bw avx512cd avx512dq avx512vl`;
const host = (flags: string) => hostPlatforms(`processor : 0\nflags\t\t: ${flags}\n`, 'x64').map(describePlatform);

const platformIn = (text: string): Platform => {
  const [os = '', architecture = '', variant] = text.split('/');
  return { os, architecture, ...(variant !== undefined && { variant }) };
};

const entry = (text: string | undefined, more: Partial<Descriptor> = {}): Descriptor => {
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: sha256(`${text}`),
    size: 1,
    annotations: {},
    ...(text !== undefined && { platform: platformIn(text) }),
    ...more,
  };
};

const choose = (flags: string, ...texts: (string | undefined)[]): string | undefined => {
  const platforms = hostPlatforms(`flags : ${flags}\n`, 'x64');
  const found = chooseManifest(
    texts.map((text) => entry(text)),
    platforms,
  );
  return found === undefined ? 'none' : found.platform && describePlatform(found.platform);
};

test('an amd64 CPU runs its own level and all below', (t) => {
  const least = ['linux/amd64/v1', 'linux/amd64', 'linux/386'];
  t.deepEqual(host(''), least);
  t.deepEqual(host(v2), ['linux/amd64/v2', ...least]);
  t.deepEqual(host(v3), ['linux/amd64/v3', 'linux/amd64/v2', ...least]);
  t.deepEqual(host(v4), ['linux/amd64/v4', 'linux/amd64/v3', 'linux/amd64/v2', ...least]);
});

test('a CPU with AVX2 but without all of v2 is v1', (t) => {
  t.is(host('avx avx2 bmi1 bmi2 f16c fma abm movbe xsave')[0], 'linux/amd64/v1');
});

test('the highest level that runs is chosen', (t) => {
  t.is(choose(v3, 'linux/amd64', 'linux/amd64/v2', 'linux/amd64/v3'), 'linux/amd64/v3');
  t.is(choose(v2, 'linux/amd64', 'linux/amd64/v2', 'linux/amd64/v3'), 'linux/amd64/v2');
  t.is(choose('', 'linux/amd64/v2', 'linux/amd64'), 'linux/amd64');
});

test('a level that does not run is not chosen', (t) => {
  t.is(choose(v2, 'linux/amd64/v3'), 'none');
  t.is(choose(v3, 'windows/amd64', 'linux/arm64'), 'none');
});

test('an entry without a platform comes after those with one', (t) => {
  t.is(choose('', undefined, 'linux/amd64'), 'linux/amd64');
  t.is(choose('', 'linux/arm64', undefined), undefined);
});

test('arm64 and arm64/v8 are one, arm takes v7 before v6', (t) => {
  const arm64 = hostPlatforms('', 'arm64');
  t.truthy(chooseManifest([entry('linux/arm64')], arm64));
  t.truthy(chooseManifest([entry('linux/arm64/v8')], arm64));
  const arm = chooseManifest([entry('linux/arm/v6'), entry('linux/arm/v7')], hostPlatforms('', 'arm'));
  t.is(arm?.platform?.variant, 'v7');
});

test('attestations are no images', (t) => {
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest' };
  t.is(
    chooseManifest([entry('linux/amd64', { annotations }), entry('unknown/unknown')], hostPlatforms('', 'x64')),
    undefined,
  );
});

test('a wish for a variant also takes the image without one', (t) => {
  const wished = wishedPlatforms({ os: 'linux', architecture: 'arm', variant: 'v6' });
  t.deepEqual(wished.map(describePlatform), ['linux/arm/v6', 'linux/arm']);
});

test('names of platforms mean the same in every spelling that registries hold', (t) => {
  const same: readonly (readonly string[])[] = [
    ['linux/amd64', 'linux/amd64/v1', 'linux/x86_64', 'Linux/x86-64', 'linux/AMD64/V1'],
    ['linux/arm64', 'linux/arm64/v8', 'linux/aarch64', 'linux/arm64/8', 'linux/arm64/v8.0'],
    ['linux/arm', 'linux/arm/v7', 'linux/armhf', 'linux/arm/7'],
    ['linux/arm/v6', 'linux/armel', 'linux/arm/6'],
    ['linux/386', 'linux/i386'],
    ['linux/amd64/v2'],
    ['linux/arm64/v9'],
    ['windows/amd64'],
  ];
  const all = same.flatMap((spellings, group) => spellings.map((text) => ({ group, platform: platformIn(text) })));
  for (const a of all)
    for (const b of all)
      t.is(
        isSamePlatform(a.platform, b.platform),
        a.group === b.group,
        `${describePlatform(a.platform)} and ${describePlatform(b.platform)}`,
      );
});

test('a 64-bit machine takes 32-bit images when there is nothing better', (t) => {
  t.is(choose(v3, 'linux/386'), 'linux/386');
  t.is(choose(v3, 'linux/386', 'linux/amd64'), 'linux/amd64');
  const arm64 = hostPlatforms('', 'arm64');
  t.is(chooseManifest([entry('linux/arm/v6'), entry('linux/arm/v7')], arm64)?.platform?.variant, 'v7');
  t.is(chooseManifest([entry('linux/arm/v6'), entry('linux/arm64')], arm64)?.platform?.architecture, 'arm64');
});

test('an ARM machine runs its own version and those below; a Raspberry Pi that says 7 is 6', (t) => {
  const of = (cpuinfo: string) => hostPlatforms(cpuinfo, 'arm').map(({ variant }) => variant);
  t.deepEqual(of('CPU architecture: 7\n'), ['v7', 'v6', 'v5']);
  t.deepEqual(of('CPU architecture: 6TEJ\n'), ['v6', 'v5']);
  t.deepEqual(of('model name\t: ARMv6-compatible processor rev 7\nCPU architecture: 7\n'), ['v6', 'v5']);
  t.is(chooseManifest([entry('linux/arm')], hostPlatforms('CPU architecture: 6\n', 'arm')), undefined);
});

test('an image that needs features of the machine is not chosen, one of another OS version is', (t) => {
  const platform = { os: 'linux', architecture: 'amd64' };
  const needing = entry(undefined, { platform: { ...platform, osFeatures: ['erofs'] } });
  t.is(chooseManifest([needing], hostPlatforms('', 'x64')), undefined);
  t.is(describePlatform({ ...platform, osFeatures: ['erofs'] }), 'linux/amd64 with erofs');
});
