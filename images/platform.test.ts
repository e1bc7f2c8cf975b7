import test from 'ava';
import { sha256 } from '../base/digest.ts';
import type { Descriptor } from './manifest.ts';
import { chooseManifest, describePlatform, hostPlatforms, wishedPlatforms } from './platform.ts';

const v2 = 'cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3';
const v3 = `${v2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave`;
const host = (flags: string) => hostPlatforms(`processor : 0\nflags\t\t: ${flags}\n`, 'x64').map(describePlatform);

const entry = (text: string | undefined, more: Partial<Descriptor> = {}): Descriptor => {
  const [os = '', architecture = '', variant] = text?.split('/') ?? [];
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: sha256(`${text}`),
    size: 1,
    annotations: {},
    ...(text !== undefined && { platform: { os, architecture, ...(variant !== undefined && { variant }) } }),
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
  t.deepEqual(host(''), ['linux/amd64/v1', 'linux/amd64']);
  t.deepEqual(host(v2), ['linux/amd64/v2', 'linux/amd64/v1', 'linux/amd64']);
  t.deepEqual(host(v3), ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64/v1', 'linux/amd64']);
});

test('a CPU with AVX2 but without all of v2 is v1', (t) => {
  t.deepEqual(host('avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'), ['linux/amd64/v1', 'linux/amd64']);
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
