import { existsSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import type { ContainerStatus } from '../../api/generated/types.ts';
import { codeOf } from '../../base/errors.ts';
import type { Scenario } from './crash.ts';
import type { TestDaemon } from './daemon.ts';
import { names, testImages } from './images.ts';
import { containerConfig, podConfig, runPod, type TestContainer, TestPod } from './pods.ts';
import { until } from './until.ts';

/** How many processes have just this command line. */
export const alive = async (daemon: TestDaemon, words: string): Promise<number> => {
  const { stdout } = await daemon.world.run('ps', ['-e', '-o', 'args=']);
  return stdout.split('\n').filter((line) => line.trim() === words).length;
};

/** A ready pod works; one that is not ready can only be removed. */
const checkPods = async (t: ExecutionContext, daemon: TestDaemon, config: TestPod['config']): Promise<void> => {
  const { items } = await daemon.client.ListPodSandbox({});
  t.true(items.length <= 1);
  const [item] = items;
  if (item?.state !== 'SANDBOX_READY') return;
  const { stdout } = await new TestPod(daemon, item.id, config).output('echo whole');
  t.is(stdout, 'whole\n');
};

/** The state that is told is the state that the processes are in; the command never runs twice. */
const checkContainer = async (
  t: ExecutionContext,
  daemon: TestDaemon,
  container: TestContainer,
): Promise<ContainerStatus> => {
  // On a slow machine what has become of a start is found out behind the daemon's own.
  const status = await until('the status, the list and the processes say the same', async () => {
    const told = await container.status();
    const { containers } = await daemon.client.ListContainers({});
    t.deepEqual(
      containers.map(({ id }) => id),
      [container.id],
    );
    const found = await alive(daemon, 'sleep 4242');
    t.true(found <= 1);
    return containers[0]?.state === told.state && found === (told.state === 'CONTAINER_RUNNING' ? 1 : 0) && told;
  });
  return status;
};

const sleeper = async (
  daemon: TestDaemon,
  linux?: TestPod['config']['linux'],
): Promise<{ pod: TestPod; container: TestContainer }> => {
  const pod = await runPod(daemon, linux === undefined ? {} : { linux });
  return { pod, container: await pod.create(['sleep', '4242']) };
};
const running = async (daemon: TestDaemon): Promise<{ pod: TestPod; container: TestContainer }> => {
  const made = await sleeper(daemon);
  await made.container.start();
  return made;
};
const maybe = <T>(promise: Promise<T>): Promise<T | undefined> => promise.catch(() => undefined);

// The same name each time: a name that stays reserved after a crash would fail the next round (lesson A1).
const podName = { metadata: { name: 'crashed', uid: 'crashed' } };

export const run: Scenario<TestPod['config']> = {
  rpc: 'RunPodSandbox',
  steps: 11,
  prepare: async (daemon) => podConfig(daemon, podName),
  call: (daemon, config) => daemon.client.RunPodSandbox({ config }),
  check: checkPods,
};

const ids = [{ host_id: 100_000, container_id: 0, length: 65536 }];
/** With an init of its own, which lives in the user namespace. */
const mapped: TestPod['config']['linux'] = {
  security_context: { namespace_options: { pid: 'POD', userns_options: { mode: 'POD', uids: ids, gids: ids } } },
};

export const runMapped: typeof run = {
  ...run,
  prepare: async (daemon) => podConfig(daemon, { ...podName, linux: mapped }),
};

/** What a daemon needs for all scenarios. */
export const scenarioImages: readonly string[] = [names.busybox, names.volume];

/** With all that a container can have on disk: an image volume, and a VOLUME of its image. */
export const create: Scenario<TestPod> = {
  rpc: 'CreateContainer',
  steps: 16,
  prepare: (daemon) => runPod(daemon),
  call: (daemon, pod) => {
    const config = containerConfig('echo whole', {
      metadata: { name: 'crashed' },
      image: { image: names.volume },
      mounts: [{ image: { image: names.busybox }, container_path: '/volume', readonly: true, image_sub_path: 'etc' }],
    });
    return daemon.client.CreateContainer({ pod_sandbox_id: pod.id, config, sandbox_config: pod.config });
  },
  check: async (t, daemon) => {
    const { containers } = await daemon.client.ListContainers({});
    t.true(containers.length <= 1);
    for (const { id, state } of containers) {
      t.is(state, 'CONTAINER_CREATED');
      await t.notThrowsAsync(daemon.client.StartContainer({ container_id: id }));
    }
  },
};

/** Of a start that had begun and is being undone the next one hears, and its end has a reason. */
const startOrEnd = async (t: ExecutionContext, container: TestContainer): Promise<void> => {
  const refused = await container.start().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (refused === undefined) return;
  t.is(codeOf(refused), 'failed-precondition');
  const { state, reason } = await container.status();
  t.is(state, 'CONTAINER_EXITED');
  t.not(reason, '');
};

export const start: Scenario<{ pod: TestPod; container: TestContainer }> = {
  rpc: 'StartContainer',
  steps: 3,
  prepare: (daemon) => sleeper(daemon),
  call: (_, { container }) => container.start(),
  check: async (t, daemon, { container }) => {
    const status = await checkContainer(t, daemon, container);
    if (status.state === 'CONTAINER_CREATED') await startOrEnd(t, container);
    else if (status.state === 'CONTAINER_RUNNING') t.is((await container.exec('echo whole')).stdout, 'whole\n');
    else t.not(status.reason, '');
  },
};

export const startMapped: typeof start = { ...start, prepare: (daemon) => sleeper(daemon, mapped) };

const MiB = 1n << 20n;
const before = { cpu_shares: 512n, memory_limit_in_bytes: 64n * MiB, oom_score_adj: 300n };
const after = { cpu_shares: 700n, memory_limit_in_bytes: 96n * MiB, oom_score_adj: 400n };

const limited = async (daemon: TestDaemon): Promise<{ pod: TestPod; container: TestContainer }> => {
  const pod = await runPod(daemon);
  return { pod, container: await pod.create(['sleep', '4242'], { linux: { resources: before } }) };
};

/** cpu.weight of v2, as cri/cgroup/v2.ts makes it of shares. */
const weights: Readonly<Record<string, bigint>> = { 512: 59n, 700: 75n };

/** The files of shares and memory, below the container's own cgroup, and what the first holds for `shares`. */
const limitFiles = (daemon: TestDaemon, container: TestContainer) => {
  const place = daemon.cgroupOf(container);
  const [root, isV2] = ['/sys/fs/cgroup', existsSync('/sys/fs/cgroup/cgroup.controllers')];
  return isV2
    ? {
        cpu: `${root}${place}/cpu.weight`,
        memory: `${root}${place}/memory.max`,
        held: (shares = 0n) => weights[`${shares}`] ?? 0n,
      }
    : {
        cpu: `${root}/cpu${place}/cpu.shares`,
        memory: `${root}/memory${place}/memory.limit_in_bytes`,
        held: (shares = 0n) => shares,
      };
};

/** What the kernel holds is what the status tells, and systemd where it drives: all of the old limits, or all of the new ones. */
const checkLimits = async (t: ExecutionContext, daemon: TestDaemon, container: TestContainer): Promise<void> => {
  const { resources } = await checkContainer(t, daemon, container);
  const { cpu_shares, memory_limit_in_bytes: limit, oom_score_adj } = resources?.linux ?? {};
  const told = { cpu_shares, memory_limit_in_bytes: limit, oom_score_adj };
  t.deepEqual(told, cpu_shares === after.cpu_shares ? after : before);
  const files = limitFiles(daemon, container);
  const read = async (file: string): Promise<bigint> => BigInt((await daemon.world.sh(`cat ${file}`)).trim());
  t.deepEqual([await read(files.cpu), await read(files.memory)], [files.held(cpu_shares), limit]);
  if (daemon.world.systemd) {
    const shown = await daemon.world.sh(`systemctl show -P MemoryMax -P CPUWeight berth-${container.id}.scope`);
    t.deepEqual(shown.trim().split('\n').map(BigInt).sort(), [files.held(cpu_shares), limit].sort());
  }
  const score = await daemon.world.sh(`cat /proc/${await container.pid()}/oom_score_adj`);
  t.is(score.trim(), `${oom_score_adj}`);
  // An exec has the score from config.json.
  t.is((await container.exec('cat /proc/self/oom_score_adj')).stdout, score);
};

const changeLimits = (daemon: TestDaemon, { id }: TestContainer): Promise<unknown> =>
  daemon.client.UpdateContainerResources({ container_id: id, linux: after });

export const update: Scenario<{ pod: TestPod; container: TestContainer }> = {
  rpc: 'UpdateContainerResources',
  steps: 6,
  prepare: async (daemon) => {
    const made = await limited(daemon);
    await made.container.start();
    return made;
  },
  call: (daemon, { container }) => changeLimits(daemon, container),
  check: (t, daemon, { container }) => checkLimits(t, daemon, container),
};

export const updateCreated: Scenario<{ pod: TestPod; container: TestContainer }> = {
  rpc: 'UpdateContainerResources',
  steps: 5,
  prepare: limited,
  call: (daemon, { container }) => changeLimits(daemon, container),
  check: async (t, daemon, { container }) => {
    await container.start();
    await checkLimits(t, daemon, container);
  },
};

/** In the verbose status, since CRI's own has no place for them. */
const podLimits = async (daemon: TestDaemon, pod: TestPod): Promise<readonly unknown[]> => {
  const { info } = await daemon.client.PodSandboxStatus({ pod_sandbox_id: pod.id, verbose: true });
  const { overhead, resources } = JSON.parse(info.info ?? '{}') as Record<string, unknown>;
  return [overhead, resources];
};

export const updatePod: Scenario<TestPod> = {
  rpc: 'UpdatePodSandboxResources',
  steps: 1,
  prepare: (daemon) =>
    runPod(daemon, { linux: { overhead: { cpu_shares: 2n }, resources: { memory_limit_in_bytes: MiB } } }),
  call: (daemon, pod) =>
    daemon.client.UpdatePodSandboxResources({
      pod_sandbox_id: pod.id,
      overhead: { cpu_shares: 3n },
      resources: { memory_limit_in_bytes: 2n * MiB },
    }),
  check: async (t, daemon, pod) => {
    const [overhead, resources] = await podLimits(daemon, pod);
    const isNew = (overhead as { cpu_shares: number }).cpu_shares === 3;
    t.deepEqual(overhead, { cpu_shares: isNew ? 3 : 2 });
    t.deepEqual(resources, { memory_limit_in_bytes: isNew ? 2097152 : 1048576 });
  },
};

export const stop: Scenario<{ pod: TestPod; container: TestContainer }> = {
  rpc: 'StopContainer',
  steps: 1,
  prepare: running,
  call: (_, { container }) => container.stop(0),
  check: async (t, daemon, { container }) => {
    const { state } = await checkContainer(t, daemon, container);
    t.not(state, 'CONTAINER_CREATED');
    await container.stop(0);
    t.is((await checkContainer(t, daemon, container)).state, 'CONTAINER_EXITED');
  },
};

export const stopPod: Scenario<{ pod: TestPod; container: TestContainer }> = {
  rpc: 'StopPodSandbox',
  steps: 7,
  prepare: running,
  call: (_, { pod }) => pod.stop(),
  check: async (t, daemon, { pod, container }) => {
    const { status } = await daemon.client.PodSandboxStatus({ pod_sandbox_id: pod.id });
    if (status?.state === 'SANDBOX_NOTREADY') t.is((await container.status()).state, 'CONTAINER_EXITED');
    await checkContainer(t, daemon, container);
    await pod.stop();
    t.is((await checkContainer(t, daemon, container)).state, 'CONTAINER_EXITED');
  },
};

export const remove: Scenario<{ pod: TestPod; container: TestContainer }> = {
  rpc: 'RemoveContainer',
  steps: 5,
  prepare: running,
  call: (_, { container }) => container.remove(),
  check: async (t, daemon, { container }) => {
    if ((await maybe(container.status())) !== undefined) await checkContainer(t, daemon, container);
    await container.remove();
    t.is(await alive(daemon, 'sleep 4242'), 0);
    t.deepEqual((await daemon.client.ListContainers({})).containers, []);
  },
};

export const removePod: Scenario<{ pod: TestPod; container: TestContainer }> = {
  rpc: 'RemovePodSandbox',
  steps: 13,
  prepare: running,
  call: (daemon, { pod }) => daemon.client.RemovePodSandbox({ pod_sandbox_id: pod.id }),
  check: async (t, daemon, { pod, container }) => {
    const { items } = await daemon.client.ListPodSandbox({});
    if (items.length === 0) t.is(await maybe(container.status()), undefined);
    if ((await maybe(container.status())) !== undefined) await checkContainer(t, daemon, container);
    await daemon.client.RemovePodSandbox({ pod_sandbox_id: pod.id });
    t.is(await alive(daemon, 'sleep 4242'), 0);
  },
};

/** Ids of the images but for busybox, which the other scenarios use. */
const pulled = async (daemon: TestDaemon): Promise<string[]> => {
  const { images } = await daemon.client.ListImages({});
  return images.filter(({ repo_tags }) => !repo_tags.includes(names.busybox)).map(({ id }) => id);
};

/** What `berth system check` finds, in words. */
export const wrongImages = async (daemon: TestDaemon, repair = false): Promise<readonly string[]> => {
  const found: string[] = [];
  for await (const { finding } of daemon.client.Check({ repair }))
    if (finding !== undefined) found.push(`${finding.kind} ${finding.subject}: ${finding.problem}`);
  return found;
};

/** Every byte of every image is right, and each runs. It may have its digest as a name already, and not yet its tag. */
const checkImages = async (t: ExecutionContext, daemon: TestDaemon): Promise<void> => {
  t.deepEqual(await wrongImages(daemon), []);
  for (const image of await pulled(daemon)) {
    const pod = await runPod(daemon);
    t.is((await pod.output('cat /added', { image: { image } })).stdout, 'added\n');
  }
};

const removePulled = async (daemon: TestDaemon): Promise<void> => {
  for (const image of await pulled(daemon)) await daemon.client.RemoveImage({ image: { image } });
};

export const pull: Scenario<undefined> = {
  rpc: 'PullImage',
  steps: 25,
  prepare: async () => undefined,
  call: (daemon) => daemon.client.PullImage({ image: { image: names.layered } }),
  check: checkImages,
  clean: removePulled,
};

export const importLayout: Scenario<undefined> = {
  ...pull,
  rpc: 'Import',
  steps: 21,
  call: async (daemon) => daemon.client.Import({ path: `${await testImages()}/layout`, name: names.layered }),
};

/** An archive of the image, which is then gone again. */
const archived = async (daemon: TestDaemon): Promise<Uint8Array> => {
  await daemon.import([names.layered]);
  const parts: Uint8Array[] = [];
  for await (const { data } of daemon.client.Save({ images: [names.layered] })) parts.push(data);
  await removePulled(daemon);
  return Buffer.concat(parts);
};

export const load: Scenario<Uint8Array> = {
  ...pull,
  rpc: 'Load',
  steps: 25,
  prepare: archived,
  call: async (daemon, archive) => {
    const whole = async function* () {
      yield { data: archive };
    };
    for await (const _ of daemon.client.Load(whole()));
  },
  check: (t, daemon) => checkImages(t, daemon),
};

export const removeImage: Scenario<undefined> = {
  ...pull,
  rpc: 'RemoveImage',
  steps: 8,
  prepare: (daemon) => daemon.import([names.layered]).then(() => undefined),
  call: (daemon) => daemon.client.RemoveImage({ image: { image: names.layered } }),
};

export const prune: Scenario<undefined> = {
  ...removeImage,
  rpc: 'Prune',
  steps: 9,
  call: async (daemon) => {
    // busybox has to stay for the other scenarios.
    const pod = await runPod(daemon);
    await pod.create('true');
    for await (const _ of daemon.client.Prune({}));
  },
};

/** A layer of it has lost a file. */
const damaged = async (daemon: TestDaemon): Promise<undefined> => {
  await daemon.import([names.layered]);
  await daemon.world.sh(`rm ${daemon.world.path('root/images/layers')}/*/fs/added`);
};

export const repair: Scenario<undefined> = {
  ...pull,
  rpc: 'Check',
  steps: 8,
  prepare: damaged,
  call: (daemon) => wrongImages(daemon, true),
  check: async (t, daemon) => {
    // What was wrong is still found, or has gone with its image.
    const found = await wrongImages(daemon, true);
    t.true(found.length <= 1, found.join());
    t.deepEqual(await wrongImages(daemon), []);
    t.deepEqual(await pulled(daemon), []);
  },
};
