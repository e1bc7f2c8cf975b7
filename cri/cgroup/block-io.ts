import type { OciBlockIo, OciRate } from '../../shim/oci.ts';

const lists = [
  ['throttleReadBpsDevice', 'rbps', 'blkio.throttle.read_bps_device'],
  ['throttleWriteBpsDevice', 'wbps', 'blkio.throttle.write_bps_device'],
  ['throttleReadIOPSDevice', 'riops', 'blkio.throttle.read_iops_device'],
  ['throttleWriteIOPSDevice', 'wiops', 'blkio.throttle.write_iops_device'],
] as const;

export interface BlockIoValue {
  readonly file: string;
  readonly value: string | number;
  readonly optional?: true;
}

const numbers = ({ major, minor }: OciRate): string => `${major}:${minor}`;

/** BFQ is what weighs on v1 since Linux 5.0. */
export const v1BlockIo = (blockIo: OciBlockIo = {}): readonly BlockIoValue[] => [
  ...(blockIo.weight === undefined ? [] : [{ file: 'blkio.bfq.weight', value: blockIo.weight }]),
  ...lists.flatMap(([list, , file]) =>
    (blockIo[list] ?? []).map((rate) => ({ file, value: `${numbers(rate)} ${rate.rate}` })),
  ),
];

/** 10..1000 as 1..10000, the straight line that runc has (opencontainers/cgroups, ConvertBlkIOToIOWeightValue). */
export const ioWeight = (weight: number): number => 1 + Math.floor(((weight - 10) * 9999) / 990);

/** BFQ has a file of its own beside the kernel's, with the weight as it is. */
export const v2BlockIo = (blockIo: OciBlockIo = {}): readonly BlockIoValue[] => {
  const devices = new Map<string, string[]>();
  for (const [list, key] of lists)
    for (const rate of blockIo[list] ?? [])
      devices.set(numbers(rate), [...(devices.get(numbers(rate)) ?? []), `${key}=${rate.rate}`]);
  const { weight } = blockIo;
  return [
    ...(weight === undefined
      ? []
      : [
          { file: 'io.weight', value: ioWeight(weight) },
          { file: 'io.bfq.weight', value: weight, optional: true as const },
        ]),
    ...[...devices].map(([device, limits]) => ({ file: 'io.max', value: `${device} ${limits.join(' ')}` })),
  ];
};

/**
 * What puts a file back that holds a line a device: that device's line of before, or none of its limits. Undefined for a value
 * that is not a device's.
 */
export const deviceUndo = (file: string, value: string, before: string): string | undefined => {
  const device = /^\d+:\d+(?= )/.exec(value)?.[0];
  if (device === undefined) return undefined;
  const line = before.split('\n').find((text) => text.startsWith(`${device} `));
  return line ?? (file.endsWith('/io.max') ? `${device} rbps=max wbps=max riops=max wiops=max` : `${device} 0`);
};
