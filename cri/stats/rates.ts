/** CPU time that was used at a time, both in nanoseconds; the time is of a clock that nobody sets. */
export interface Sample {
  readonly steadyAt: bigint;
  readonly cpu: bigint;
}

const second = 1_000_000_000n;

/** Shorter ones say more of the scheduler than of the load. */
const shortest = second;

/** What each cgroup used at the last two samplings: rates are the same for everybody, however often each one asks. */
export class CpuRates {
  #older = new Map<string, Sample>();
  #newer = new Map<string, Sample>();

  /** A cgroup that has just been made, and has used nothing. */
  born(key: string, steadyAt: bigint): void {
    this.#newer.set(key, { steadyAt, cpu: 0n });
  }

  /** One sampling of all cgroups that there are; those that are not in it are forgotten. */
  sampled(samples: ReadonlyMap<string, Sample>): void {
    this.#older = this.#newer;
    this.#newer = new Map(samples);
  }

  /**
   * Nanoseconds of CPU time a second, from the sampling before the last one to `sample`; before there was one from the last,
   * or from the cgroup's birth. Undefined over less than a second.
   */
  nanoCores(key: string, { steadyAt, cpu }: Sample): bigint | undefined {
    const from = this.#older.get(key) ?? this.#newer.get(key);
    if (from === undefined || steadyAt - from.steadyAt < shortest || cpu < from.cpu) return undefined;
    return ((cpu - from.cpu) * second) / (steadyAt - from.steadyAt);
  }
}
