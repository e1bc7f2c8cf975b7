/** Nanoseconds of CPU time that were used at a time, in nanoseconds since 1970. */
export interface Sample {
  readonly at: bigint;
  readonly cpu: bigint;
}

const second = 1_000_000_000n;

/** Shorter ones say more of the scheduler than of the load. */
const shortest = second;

/** A cgroup older than this had two samplings, or the daemon is younger than it: its whole life says nothing of now. */
const young = 15n * second;

/** What each cgroup used at the last two samplings: rates are the same for everybody, however often each one asks. */
export class CpuRates {
  #older = new Map<string, Sample>();
  #newer = new Map<string, Sample>();

  /** One sampling of all cgroups that there are; those that are not in it are forgotten. */
  sampled(samples: ReadonlyMap<string, Sample>): void {
    this.#older = this.#newer;
    this.#newer = new Map(samples);
  }

  /**
   * Nanoseconds of CPU time a second, from the sampling before the last one to `sample`; before there was one from `first`,
   * when that is not long ago, or from the last. Undefined over less than a second.
   */
  nanoCores(key: string, sample: Sample, first: Sample | undefined): bigint | undefined {
    const start = first !== undefined && sample.at - first.at < young ? first : undefined;
    const from = this.#older.get(key) ?? start ?? this.#newer.get(key);
    if (from === undefined || sample.at - from.at < shortest || sample.cpu < from.cpu) return undefined;
    return ((sample.cpu - from.cpu) * second) / (sample.at - from.at);
  }
}
