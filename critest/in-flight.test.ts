import { readFile, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { Scrape } from './harness/exposition.ts';
import { containerConfig, idle, podConfig, runPod, type TestContainer } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

// Calls that meet another call on the same object, and what they may say of one that has failed.
const daemon = suiteDaemon();

test('two RunPodSandbox at once with the same name and another configuration: one pod, and ALREADY_EXISTS', async (t) => {
  const config = podConfig(daemon());
  const other = { ...config, labels: { other: 'yes' } };
  const run = (wanted: typeof config) => daemon().client.RunPodSandbox({ config: wanted });
  const [first, same, refused] = await Promise.allSettled([run(config), run(config), run(other)]);
  t.is(first.status, 'fulfilled');
  t.deepEqual(same, first);
  t.is(refused.status, 'rejected');
  await fails(
    t,
    Promise.reject(refused.status === 'rejected' && refused.reason),
    'already-exists',
    /another configuration/,
  );
  t.is((await daemon().client.ListPodSandbox({})).items.length, 1);
});

test('a create that waited for one of another configuration is made when that one has failed', async (t) => {
  const pod = await runPod(daemon());
  const good = containerConfig('true');
  const bad = { ...good, image: { image: '127.0.0.1:5000/berth/not-here:1' } };
  const create = (config: typeof good) =>
    daemon().client.CreateContainer({ pod_sandbox_id: pod.id, config, sandbox_config: pod.config });
  const [first, second, third] = await Promise.allSettled([create(bad), create(good), create(good)]);
  t.is(first.status, 'rejected');
  t.is(second.status, 'fulfilled');
  t.deepEqual(third, second);
});

test('two CreateContainer at once with the same name and another configuration: one container, and ALREADY_EXISTS', async (t) => {
  const pod = await runPod(daemon());
  const config = containerConfig('true');
  const create = (wanted: typeof config) =>
    daemon().client.CreateContainer({ pod_sandbox_id: pod.id, config: wanted, sandbox_config: pod.config });
  const [first, refused] = await Promise.allSettled([create(config), create({ ...config, tty: true })]);
  t.is(first.status, 'fulfilled');
  t.is(refused.status, 'rejected');
  await fails(
    t,
    Promise.reject(refused.status === 'rejected' && refused.reason),
    'already-exists',
    /another configuration/,
  );
  t.is((await daemon().client.ListContainers({})).containers.length, 1);
});

test('StopContainer while the container is being started: when it answers the container has ended', async (t) => {
  const pod = await runPod(daemon());
  for (let round = 0; round < 5; round += 1) {
    const container = await pod.create(idle);
    const start = container.start();
    await sleep(round);
    await container.stop(0);
    t.is((await container.status()).state, 'CONTAINER_EXITED', `round ${round}`);
    await start;
    await container.remove();
  }
});

test('ReopenContainerLog of a supervisor that is stopped ends with its caller, or with the reason', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const supervisor = Number(await daemon().world.sh(`awk '{print $4}' /proc/${await container.pid()}/stat`));
  await daemon().world.sh(`kill -STOP ${supervisor}`);
  const call = (timeoutMs: number) => daemon().client.ReopenContainerLog({ container_id: container.id }, { timeoutMs });
  await fails(t, call(200), 'deadline-exceeded', /./);
  await fails(
    t,
    call(30_000),
    'deadline-exceeded',
    /reopen the log of container \w+: its supervisor does not answer within 5 s/,
  );
  await daemon().world.sh(`kill -CONT ${supervisor}`);
  await t.notThrowsAsync(call(30_000));
  t.is((await container.exec('echo on')).stdout, 'on\n');
});

test('a host_path of a device that is / or /proc is refused, and not walked to its end', async (t) => {
  const pod = await runPod(daemon());
  for (const host_path of ['/', '/proc'])
    await fails(
      t,
      pod.create('true', { devices: [{ host_path, container_path: '/dev/x', permissions: 'r' }] }),
      'invalid-argument',
      /device \/\w*: (?:host_path: )?(?:a directory with more than 16384 entries, not one of devices|not a device, nor a directory)/,
    );
});

test('what a start in flight, a failed start and a start that the daemon did not outlive leave', async (t) => {
  await using own = await TestDaemon.start({ config: { metrics: { stuck_seconds: 1 } } });
  const fault = own.world.path('log.fault');
  await writeFile(fault, '');
  await own.killAndBoot({ BERTH_FAULT: fault });
  const pod = await runPod(own);
  const [failed, hung, lost] = [await pod.create(['/no/such/program']), await pod.create(idle), await pod.create(idle)];
  await t.throwsAsync(failed.start());
  await writeFile(fault, 'hang@StartContainer:1');
  const hanging = hung.start().catch(() => {});
  const stop = own.client.StopContainer({ container_id: hung.id, timeout: 0 }, { timeoutMs: 300 });
  // Not the client's own words alone: the daemon waits, and does not say that it has stopped.
  await fails(t, stop, 'deadline-exceeded', /./);
  const stuck = async (): Promise<object | false> => {
    const stages = (await Scrape.of(own)).byLabel('berth_stuck_work');
    return Object.keys(stages).length > 0 && stages;
  };
  t.deepEqual(await until('the hung step shows', stuck), { supervise: 1 });
  await writeFile(fault, 'stop@StartContainer:1');
  await t.throwsAsync(lost.start());
  await own.ended();
  await hanging;
  await own.world.sh(`rm ${own.world.path('state/containers', lost.id, 'plan')}`); // as after a restart of the machine
  await own.boot();
  t.is((await hung.status()).state, 'CONTAINER_CREATED');
  const ends = [
    [failed, 'ContainerCannotRun', 127],
    [lost, 'StartError', 128],
  ] as const;
  for (const [container, ...end] of ends) {
    const { state, reason, started_at, finished_at, exit_code } = await container.status();
    // 0: it has none. The kubelet counts its back-off from the end.
    t.deepEqual([state, reason, exit_code, started_at], ['CONTAINER_EXITED', ...end, 0n]);
    t.true(finished_at > 1_700_000_000n * 1_000_000_000n);
  }
  await layerThatTakesLong(t, own, [failed, lost]);
});

/** The step that deletes it hangs, as one of millions of files would: the container is gone for all that, and the layer after a restart. */
const layerThatTakesLong = async (
  t: ExecutionContext,
  own: TestDaemon,
  [first, second]: readonly [TestContainer, TestContainer],
) => {
  const [fault, steps] = [own.world.path('log.fault'), own.world.path('log.steps')];
  await writeFile(fault, '');
  await own.killAndBoot({ BERTH_FAULT: fault, BERTH_STEPS: steps });
  await first.remove();
  const lines = (await readFile(steps, 'utf8')).split('\n').filter((line) => line.startsWith('RemoveContainer '));
  await writeFile(fault, `hang@RemoveContainer:${lines.indexOf('RemoveContainer remove tree') + 1}`);
  await second.remove();
  const { containers } = await own.client.ListContainers({ filter: { id: second.id } });
  t.deepEqual(containers, []);
  const layer = own.world.path('root/containers', second.id);
  t.true(await isThere(layer));
  await own.killAndBoot();
  await until('what the daemon did not outlive is deleted by the next one', async () => !(await isThere(layer)));
};

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

test('times are told to the nanosecond, in the order in which things happened', async (t) => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const pod = await runPod(daemon());
  const containers = await Promise.all(Array.from({ length: 4 }, () => pod.create('true')));
  const { status } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  const created = await Promise.all(containers.map(async (one) => (await one.status()).created_at));
  const times = [status?.created_at ?? 0n, ...created];
  t.true(
    times.some((time) => time % 1_000_000n !== 0n),
    times.join(),
  );
  t.true(times.every((time) => time >= before && time <= BigInt(Date.now() + 1) * 1_000_000n));
  const container = await pod.run('true');
  const { created_at, started_at, finished_at } = await container.exited();
  t.true(created_at < started_at && started_at < finished_at, [created_at, started_at, finished_at].join());
});
