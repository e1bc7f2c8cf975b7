import { Samples } from './samples.ts';
import { podConfig, type Target } from './target.ts';

export const calls = [
  'RunPodSandbox',
  'CreateContainer',
  'StartContainer',
  'ExecSync',
  'ContainerStatus',
  'StopContainer',
  'RemoveContainer',
  'StopPodSandbox',
  'RemovePodSandbox',
] as const;
export type Sequence = ReadonlyMap<(typeof calls)[number], Samples>;

export const emptySequence = (): Sequence => new Map(calls.map((name) => [name, new Samples()]));

const command = ['sleep', '86400'];

/** One pod with one container from its making to its removal, call after call. */
export const runSequence = async (target: Target, network: 'cni' | 'host', into: Sequence): Promise<void> => {
  const { client, image } = target;
  const take = <T>(name: (typeof calls)[number], action: () => Promise<T>): Promise<T> =>
    (into.get(name) ?? new Samples()).take(action);
  const sandbox_config = podConfig(target, network);
  const { pod_sandbox_id } = await take('RunPodSandbox', () => client.RunPodSandbox({ config: sandbox_config }));
  const config = { metadata: { name: 'c', attempt: 0 }, image: { image }, command, log_path: 'c.log' };
  const { container_id } = await take('CreateContainer', () =>
    client.CreateContainer({ pod_sandbox_id, config, sandbox_config }),
  );
  await take('StartContainer', () => client.StartContainer({ container_id }));
  await take('ExecSync', () => client.ExecSync({ container_id, cmd: ['true'], timeout: 10 }));
  await take('ContainerStatus', () => client.ContainerStatus({ container_id }));
  await take('StopContainer', () => client.StopContainer({ container_id, timeout: 0 }));
  await take('RemoveContainer', () => client.RemoveContainer({ container_id }));
  await take('StopPodSandbox', () => client.StopPodSandbox({ pod_sandbox_id }));
  await take('RemovePodSandbox', () => client.RemovePodSandbox({ pod_sandbox_id }));
};
