import type { CgroupMode } from '../cgroup/mode.ts';
import { now } from '../runtime.ts';
import { readV1, readV1Cpu, readV1Processes, v1Paths } from './cgroup-v1.ts';
import { readV2, readV2Cpu, readV2Processes, v2Paths } from './cgroup-v2.ts';
import type { CgroupFigures } from './figures.ts';
import { KeptFiles, type Room } from './kept-files.ts';
import { openFilesLimit } from './metrics/processes.ts';
import type { Sample } from './rates.ts';

/** Descriptors at most, of which each holds some five kilobytes of the kernel's memory; and at most a quarter of all that berthd may have. */
const mostKept = 6000;
const mostOfAll = 4n;
/** So long after the last reading, beside that of the CPU alone, descriptors are kept. */
const keepMs = 60_000;

interface Entry {
  readonly files: KeptFiles;
  /** Of all figures, by performance.now(). */
  readAt: number;
}

/** Nanoseconds that no setting of the clock changes. */
export const steady = (): bigint => process.hrtime.bigint();

/** Reads what the kernel counts of cgroups; a cgroup's path is below each hierarchy's mount. */
export class CgroupReader implements Disposable {
  readonly mode: CgroupMode;
  readonly #entries = new Map<string, Entry>();
  readonly #room: Room;

  constructor(mode: CgroupMode) {
    this.mode = mode;
    this.#room = { left: Math.min(mostKept, Number((openFilesLimit(process.pid) ?? 0n) / mostOfAll)) };
  }

  /** Most of it is missing when the cgroup has gone. */
  figures(path: string): CgroupFigures {
    const entry = this.#entry(path);
    entry.readAt = performance.now();
    const figures = this.mode.unified === undefined ? readV1(entry.files) : readV2(entry.files);
    return { at: now(), steadyAt: steady(), ...figures };
  }

  /** CPU time; undefined when the cgroup is not there. */
  cpu(path: string): Sample | undefined {
    const { files } = this.#entry(path);
    const cpu = this.mode.unified === undefined ? readV1Cpu(files) : readV2Cpu(files);
    return cpu === undefined ? undefined : { steadyAt: steady(), cpu };
  }

  /** How many processes and threads there are. */
  processes(path: string): bigint | undefined {
    const { files } = this.#entry(path);
    return this.mode.unified === undefined ? readV1Processes(files) : readV2Processes(files);
  }

  #entry(path: string): Entry {
    const known = this.#entries.get(path);
    if (known !== undefined) return known;
    const { unified } = this.mode;
    const paths = unified === undefined ? v1Paths(this.mode, path) : v2Paths(unified.mount + path);
    const entry = { files: new KeptFiles(paths, this.#room), readAt: 0 };
    this.#entries.set(path, entry);
    return entry;
  }

  /** Closes what belongs to other cgroups than these, and what was not read for a while. */
  keepOnly(paths: { has(path: string): boolean }): void {
    const idle = performance.now() - keepMs;
    for (const [path, { files, readAt }] of this.#entries)
      if (!paths.has(path)) {
        files[Symbol.dispose]();
        this.#entries.delete(path);
      } else if (readAt < idle) files.closeFrom(1);
  }

  [Symbol.dispose](): void {
    this.keepOnly(new Set());
  }
}
