import type { CgroupMode } from '../cgroup/mode.ts';
import { now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { readCpu } from './cgroup.ts';
import type { CgroupFigures } from './figures.ts';
import { CpuRates, type Sample } from './rates.ts';

const sampleEveryMs = 5000;

type Part = Pick<Runtime, 'sandboxes' | 'containers' | 'cgroups'>;

/** CPU time of all pods and containers, sampled every five seconds. */
export class CpuSampler implements Disposable {
  readonly #part: Part;
  readonly #rates = new CpuRates();
  readonly #timer: NodeJS.Timeout;

  constructor(part: Part) {
    this.#part = part;
    this.#timer = setInterval(() => this.#sample(), sampleEveryMs).unref();
  }

  /** Nanoseconds of CPU time a second over the last five to ten seconds, or since the cgroup's start at `since`. */
  nanoCores(path: string, { at, cpu }: CgroupFigures, since?: bigint): bigint | undefined {
    if (cpu === undefined) return undefined;
    return this.#rates.nanoCores(path, { at, cpu }, since === undefined ? undefined : { at: since, cpu: 0n });
  }

  #sample(): void {
    const { sandboxes, containers, cgroups } = this.#part;
    const paths = [
      ...containers.values().map((container) => containerCgroup(cgroups, container)),
      ...sandboxes.values().map(podCgroup),
    ];
    this.#rates.sampled(new Map(paths.flatMap((path) => sampleOf(cgroups, path))));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const sampleOf = (mode: CgroupMode, path: string | undefined): [string, Sample][] => {
  const cpu = path === undefined ? undefined : readCpu(mode, path);
  return path === undefined || cpu === undefined ? [] : [[path, { at: now(), cpu }]];
};

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
  record.state === 'ready' && config.linux?.cgroup_parent ? config.linux.cgroup_parent : undefined;
