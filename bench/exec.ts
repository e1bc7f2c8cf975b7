import { machineCpu } from './cpu.ts';
import { median } from './samples.ts';
import { ms, ratio, table } from './table.ts';
import { podConfig, type Target } from './target.ts';

const warmUp = 500;
const inBlock = 100;

interface Running {
  readonly target: Target;
  readonly pod: string;
  readonly container: string;
  readonly wall: number[];
  readonly cpu: number[];
}

const start = async (target: Target): Promise<Running> => {
  const { client, image } = target;
  const sandbox_config = podConfig(target, 'host');
  const { pod_sandbox_id: pod } = await client.RunPodSandbox({ config: sandbox_config });
  const config = { metadata: { name: 'c', attempt: 0 }, image: { image }, command: ['sleep', '86400'], log_path: 'c' };
  const { container_id } = await client.CreateContainer({ pod_sandbox_id: pod, config, sandbox_config });
  await client.StartContainer({ container_id });
  return { target, pod, container: container_id, wall: [], cpu: [] };
};

const run = async ({ target, container }: Running, count: number): Promise<void> => {
  for (let done = 0; done < count; done += 1)
    await target.client.ExecSync({ container_id: container, cmd: ['true'], timeout: 10 });
};

const block = async (running: Running): Promise<void> => {
  const cpu = await machineCpu();
  const started = performance.now();
  await run(running, inBlock);
  running.wall.push((performance.now() - started) / inBlock);
  running.cpu.push(((await machineCpu()) - cpu) / 1e6 / inBlock);
};

/** ExecSync of `true` as probes send it, in blocks of a hundred in turns, after both sides are warm. */
export const execs = async (targets: readonly Target[], blocks: number): Promise<void> => {
  const all = await Promise.all(targets.map(start));
  for (const running of all) await run(running, warmUp);
  for (let turn = 0; turn < blocks; turn += 1) for (const running of all) await block(running);
  for (const { target, pod } of all) {
    await target.client.StopPodSandbox({ pod_sandbox_id: pod });
    await target.client.RemovePodSandbox({ pod_sandbox_id: pod });
  }
  const [own] = all;
  const rows = all.map(({ target, wall, cpu }) => [
    target.name,
    ms(median(wall)),
    ms(median(cpu)),
    own === undefined ? '' : ratio(median(own.wall), median(wall)),
    own === undefined ? '' : ratio(median(own.cpu), median(cpu)),
  ]);
  console.log(`\nExecSync of true, ${blocks} blocks of ${inBlock} in turns: median a call\n`);
  console.log(table(['', 'wall', 'CPU', 'wall', 'CPU'], rows));
};
