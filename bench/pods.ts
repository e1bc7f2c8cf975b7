import { setTimeout } from 'node:timers/promises';
import { added, processes } from './memory.ts';
import { podConfig, type Target } from './target.ts';

export interface Running {
  readonly pods: readonly string[];
  readonly seconds: number;
  /** KiB a pod, by the name of the process that holds it. */
  readonly memory: ReadonlyMap<string, number>;
}

const one = async (target: Target, network: 'cni' | 'host'): Promise<string> => {
  const { client, image } = target;
  const sandbox_config = podConfig(target, network);
  const { pod_sandbox_id } = await client.RunPodSandbox({ config: sandbox_config });
  const config = { metadata: { name: 'c', attempt: 0 }, image: { image }, command: ['sleep', '86400'], log_path: 'c' };
  const { container_id } = await client.CreateContainer({ pod_sandbox_id, config, sandbox_config });
  await client.StartContainer({ container_id });
  return pod_sandbox_id;
};

/** Pods of one container each, `width` at a time: their ids. */
export const makePods = async (
  target: Target,
  network: 'cni' | 'host',
  count: number,
  width: number,
): Promise<readonly string[]> => {
  const pods: string[] = [];
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      pods.push(await one(target, network));
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return pods;
};

/** `count` pods of one container each, `width` at a time; and what they take while they run. */
export const runPods = async (
  target: Target,
  network: 'cni' | 'host',
  count: number,
  width: number,
): Promise<Running> => {
  const before = await processes();
  const started = performance.now();
  const pods = await makePods(target, network, count, width);
  const seconds = (performance.now() - started) / 1000;
  await setTimeout(2000);
  const sums = added(before, await processes(), target.processes);
  const memory = new Map([...sums].map(([name, kib]) => [name, kib / count]));
  return { pods, seconds, memory };
};

export const removePods = async (target: Target, pods: readonly string[]): Promise<number> => {
  const started = performance.now();
  for (const pod_sandbox_id of pods) {
    await target.client.StopPodSandbox({ pod_sandbox_id });
    await target.client.RemovePodSandbox({ pod_sandbox_id });
  }
  return (performance.now() - started) / 1000;
};

/** `width` at a time. */
export const dropPods = async (target: Target, pods: readonly string[], width: number): Promise<void> => {
  const left = [...pods];
  const worker = async (): Promise<void> => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) await removePods(target, [id]);
  };
  await Promise.all(Array.from({ length: width }, worker));
};
