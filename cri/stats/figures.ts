/** Microseconds stalled since the cgroup was made, and the shares of the last 10, 60 and 300 s in percent (kernel: psi.rst). */
export interface Stall {
  readonly total: bigint;
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

export interface Pressure {
  readonly some: Stall;
  readonly full: Stall;
}

export interface MemoryFigures {
  /** All in bytes but the counts of faults. */
  readonly usage: bigint;
  /** Without page cache that was not used of late: what kubelet ranks pods by. */
  readonly workingSet: bigint;
  readonly rss: bigint;
  /** Page cache, and of it what was used of late and what was not; and mapped files. */
  readonly cache: bigint;
  readonly activeFile: bigint;
  readonly inactiveFile: bigint;
  readonly mapped: bigint;
  /** Missing without a limit. */
  readonly limit: bigint | undefined;
  readonly swap: bigint;
  /** Of swap alone; missing without a limit. */
  readonly swapLimit: bigint | undefined;
  readonly faults: bigint;
  readonly majorFaults: bigint;
}

/** What the kernel counts of one cgroup with all below it. What it does not count here is missing. */
export interface CgroupFigures {
  /** Of the reading, nanoseconds since 1970. */
  readonly at: bigint;
  /** The same in nanoseconds of a clock that nobody sets. */
  readonly steadyAt: bigint;
  /** Nanoseconds of CPU time since the cgroup was made. */
  readonly cpu: bigint | undefined;
  readonly memory: MemoryFigures | undefined;
  readonly pressure: {
    readonly cpu: Pressure | undefined;
    readonly memory: Pressure | undefined;
    readonly io: Pressure | undefined;
  };
}
