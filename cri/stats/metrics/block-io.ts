/** What a cgroup did with a block device. */
export interface BlockIo {
  readonly major: string;
  readonly minor: string;
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
  readonly reads: bigint;
  readonly writes: bigint;
}

const none = { readBytes: 0n, writtenBytes: 0n, reads: 0n, writes: 0n };

/** "8:0 Read 4096": blkio.throttle.io_service_bytes and io_serviced (cgroup-v1/blkio-controller.rst). */
export const parseV1BlockIo = (bytes: string, operations: string): readonly BlockIo[] => {
  const devices = new Map<string, BlockIo>();
  const add = (text: string, read: keyof typeof none, write: keyof typeof none): void => {
    for (const [, major = '', minor = '', what, count = '0'] of text.matchAll(/^(\d+):(\d+) (Read|Write) (\d+)$/gm)) {
      const known = devices.get(`${major}:${minor}`) ?? { major, minor, ...none };
      devices.set(`${major}:${minor}`, { ...known, [what === 'Read' ? read : write]: BigInt(count) });
    }
  };
  add(bytes, 'readBytes', 'writtenBytes');
  add(operations, 'reads', 'writes');
  return [...devices.values()];
};

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0": io.stat (cgroup-v2.rst). */
export const parseV2BlockIo = (text: string): readonly BlockIo[] =>
  [...text.matchAll(/^(\d+):(\d+) (.*)$/gm)].map(([, major = '', minor = '', rest = '']) => {
    const count = (name: string): bigint => BigInt(new RegExp(`\\b${name}=(\\d+)`).exec(rest)?.[1] ?? 0);
    return {
      major,
      minor,
      readBytes: count('rbytes'),
      writtenBytes: count('wbytes'),
      reads: count('rios'),
      writes: count('wios'),
    };
  });
