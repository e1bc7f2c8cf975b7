import { messageOf } from '../../base/errors.ts';
import type { CgroupMode } from '../cgroup/mode.ts';
import { parentPath } from '../cgroup/parent.ts';
import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { steady } from './cgroup.ts';
import type { CgroupFigures } from './figures.ts';
import { pauses } from './in-slices.ts';
import { CpuRates, type Sample } from './rates.ts';

const sampleEveryMs = 5000;

type Part = Pick<Runtime, 'log' | 'sandboxes' | 'containers' | 'cgroupReader'>;

/** CPU time of all pods and containers, sampled every five seconds. */
export class CpuSampler implements Disposable {
  readonly #part: Part;
  readonly #rates = new CpuRates();
  readonly #timer: NodeJS.Timeout;
  #isSampling = false;

  constructor(part: Part) {
    this.#part = part;
    this.#timer = setInterval(() => void this.sample(), sampleEveryMs).unref();
  }

  /** To be told when it has just started. */
  born(container: Container): void {
    const path = containerCgroup(this.#part.cgroupReader.mode, container);
    if (path !== undefined) this.#rates.born(path, steady());
  }

  /** Nanoseconds of CPU time a second over the last five to ten seconds, or since the start. */
  nanoCores(path: string, { steadyAt, cpu }: CgroupFigures): bigint | undefined {
    return cpu === undefined ? undefined : this.#rates.nanoCores(path, { steadyAt, cpu });
  }

  /** One sampling of all that there is; a failed one is left out. */
  async sample(): Promise<void> {
    if (this.#isSampling) return;
    this.#isSampling = true;
    try {
      const samples = await this.#samples();
      this.#rates.sampled(samples);
      this.#part.cgroupReader.keepOnly(samples);
    } catch (error) {
      this.#part.log.warn({ error: messageOf(error) }, 'sampling the CPU time failed');
    } finally {
      this.#isSampling = false;
    }
  }

  async #samples(): Promise<ReadonlyMap<string, Sample>> {
    const samples = new Map<string, Sample>();
    const pause = pauses();
    for (const path of this.#paths()) {
      const sample = this.#part.cgroupReader.cpu(path);
      if (sample !== undefined) samples.set(path, sample);
      await pause();
    }
    return samples;
  }

  #paths(): readonly string[] {
    const { sandboxes, containers, cgroupReader } = this.#part;
    const all = [
      ...containers.values().map((container) => containerCgroup(cgroupReader.mode, container)),
      ...sandboxes.values().map(podCgroup),
    ];
    return all.filter((path) => path !== undefined);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Below each hierarchy's mount; undefined while the container has none. */
export const containerCgroup = (mode: CgroupMode, { record }: Container): string | undefined => {
  const mount = (mode.unified ?? mode.hierarchies[0])?.mount ?? '';
  const [directory = ''] = record.cgroups;
  return record.state.kind === 'running' && directory.startsWith(`${mount}/`)
    ? directory.slice(mount.length)
    : undefined;
};

/** The pod's own cgroup, which kubelet makes and names; without one several pods may share a parent. */
export const podCgroup = ({ config, record }: Sandbox): string | undefined =>
  record.state === 'ready' && config.linux?.cgroup_parent ? parentPath(config.linux.cgroup_parent) : undefined;
