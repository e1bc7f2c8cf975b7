import { invalid } from '../../base/errors.ts';
import type { OciBlockIo, OciRate } from '../../shim/oci.ts';
import type { StringMap } from './types.ts';

/** The annotations that the node's configuration names; "" for none: without a name nothing that a pod says counts (CVE-2023-6476). */
export interface BlockIoNames {
  readonly weight: string;
  readonly max: string;
}

/** What was asked for, in its own words. */
export interface BlockIoTexts {
  readonly weight: string | undefined;
  readonly max: string | undefined;
}

const textOf = (name: string, maps: readonly (StringMap | undefined)[]): string | undefined =>
  name === '' ? undefined : maps.map((map) => map?.[name]).find((value) => value !== undefined);

/** The first of the maps that has an annotation: a container's before its pod's. */
export const blockIoTexts = (names: BlockIoNames, ...maps: readonly (StringMap | undefined)[]): BlockIoTexts => ({
  weight: textOf(names.weight, maps),
  max: textOf(names.max, maps),
});

/** Words of `max`: "/dev/sda rbps=1048576 wiops=100, 8:16 wbps=5" has the device first, after a comma the next. */
const devicesOf = (max: string): readonly (readonly string[])[] =>
  max.split(',').map((part) => part.trim().split(/\s+/));

export const devicePaths = ({ max }: BlockIoTexts): readonly string[] =>
  max === undefined ? [] : devicesOf(max).flatMap(([device = '']) => (device.startsWith('/') ? [device] : []));

type Number2 = Pick<OciRate, 'major' | 'minor'>;

const numbers = (device: string, found: ReadonlyMap<string, Number2>): Number2 => {
  const given = /^(\d{1,4}):(\d{1,7})$/.exec(device);
  if (given) return { major: Number(given[1]), minor: Number(given[2]) };
  const known = found.get(device);
  if (known === undefined)
    throw invalid(`${JSON.stringify(device.slice(0, 80))} is not a block device of this machine`);
  return known;
};

const lists = {
  rbps: 'throttleReadBpsDevice',
  wbps: 'throttleWriteBpsDevice',
  riops: 'throttleReadIOPSDevice',
  wiops: 'throttleWriteIOPSDevice',
} as const;

const rates = (max: string, found: ReadonlyMap<string, Number2>): OciBlockIo => {
  const made: Record<string, OciRate[]> = {};
  for (const [device = '', ...limits] of devicesOf(max)) {
    const { major, minor } = numbers(device, found);
    if (limits.length === 0) throw invalid(`${device}: without a limit such as rbps=1048576`);
    for (const limit of limits) {
      const [, key = '', rate] = /^([rw](?:bps|iops))=([1-9]\d{0,15})$/.exec(limit) ?? [];
      if (rate === undefined)
        throw invalid(`${JSON.stringify(limit.slice(0, 80))} is not rbps, wbps, riops or wiops=NUMBER`);
      const list = lists[key as keyof typeof lists];
      made[list] = [...(made[list] ?? []), { major, minor, rate: Number(rate) }];
    }
  }
  return made;
};

const weightOf = (text: string): number => {
  const weight = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (weight < 10 || weight > 1000)
    throw invalid(`${JSON.stringify(text.slice(0, 40))} is not a weight from 10 to 1000`);
  return weight;
};

const named = <T>(name: string, read: () => T): T => {
  try {
    return read();
  } catch (error) {
    throw invalid(`annotation ${name}: ${error instanceof Error ? error.message : error}`);
  }
};

/** `found`: what is at `devicePaths`. Errors: invalid-argument that names the annotation. */
export const blockIo = (
  names: BlockIoNames,
  { weight, max }: BlockIoTexts,
  found: ReadonlyMap<string, Number2>,
): OciBlockIo | undefined => {
  if (weight === undefined && max === undefined) return undefined;
  return {
    ...(weight === undefined ? {} : { weight: named(names.weight, () => weightOf(weight)) }),
    ...(max === undefined ? {} : named(names.max, () => rates(max, found))),
  };
};

const together = (now: readonly OciRate[] = [], given: readonly OciRate[] = []): readonly OciRate[] => {
  const same = (one: OciRate) => (other: OciRate) => one.major === other.major && one.minor === other.minor;
  return [...now.filter((rate) => !given.some(same(rate))), ...given];
};

/** A device that `given` does not name keeps its limits. */
export const updatedBlockIo = (now: OciBlockIo | undefined, given: OciBlockIo | undefined): OciBlockIo | undefined => {
  if (given === undefined) return now;
  const rated = Object.values(lists).map((list) => [list, together(now?.[list], given[list])] as const);
  return { ...now, ...given, ...Object.fromEntries(rated.filter(([, list]) => list.length > 0)) };
};
