// Containers: each field of the request that no other file looks at, and each field of the answers. docs/cri.tsv names them.
import { readFile } from 'node:fs/promises';
import test from 'ava';
import type { ContainerConfig, Input } from '../api/generated/types.ts';
import { names } from './harness/images.ts';
import { containerConfig, idle, podConfig, runPod, type TestContainer, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({ images: [names.busybox, names.entrypoint, names.empty, names.stopSignal] });
type Config = Input<ContainerConfig>;

const client = () => daemon().client;
const pods = { linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } } } } as const;
/** No CNI: these tests are about containers. */
const quickPod = (): Promise<TestPod> => runPod(daemon(), pods);
const infoOf = async (container: TestContainer) => {
  const { info } = await client().ContainerStatus({ container_id: container.id, verbose: true });
  return JSON.parse(info.info ?? '');
};
const link = async (container: TestContainer, path: string): Promise<string> =>
  (await daemon().world.sh(`readlink /proc/${await container.pid()}/${path}`)).trim();

test('a container with TARGET is in the pid namespace of the container that target_id names, and in no other', async (t) => {
  const pod = await quickPod();
  const [target, other] = [await pod.run(idle), await pod.run(idle)];
  const targeting = (target_id: string): Config => ({
    linux: { security_context: { namespace_options: { network: 'NODE', pid: 'TARGET', target_id } } },
  });
  const debug = await pod.run(idle, targeting(target.id));
  t.is(await link(debug, 'ns/pid'), await link(target, 'ns/pid'));
  t.not(await link(debug, 'ns/pid'), await link(other, 'ns/pid'));
  t.regex((await debug.exec('cat /proc/1/cmdline')).stdout, /^sh/);
  const elsewhere = await (await quickPod()).run(idle);
  for (const id of [elsewhere.id, 'f'.repeat(64)])
    await fails(t, pod.create('true', targeting(id)), 'failed-precondition', new RegExp(`target_id: container ${id}`));
  await fails(t, pod.create('true', targeting('')), 'invalid-argument', /TARGET without target_id/);
});

test('what CreateContainer says of the pod changes nothing: the configuration that made the pod holds', async (t) => {
  const pod = await quickPod();
  const config = containerConfig('cat /etc/hostname; id -G; exec sleep 1000');
  const sandbox_config = podConfig(daemon(), {
    hostname: 'another',
    log_directory: '/nowhere',
    linux: {
      cgroup_parent: '/elsewhere',
      security_context: { namespace_options: { network: 'POD' }, privileged: true, supplemental_groups: [5n] },
    },
  });
  const request = { pod_sandbox_id: pod.id, config, sandbox_config };
  const { container_id } = await client().CreateContainer(request);
  await client().StartContainer({ container_id });
  const { status } = await client().ContainerStatus({ container_id });
  const log = `${pod.config.log_directory}/${config.log_path}`;
  t.is(status?.log_path, log);
  const host = await daemon().world.sh('hostname');
  await until('both lines are in the log', async () => (await readFile(log, 'utf8')).split('\n').length > 2);
  t.regex(await readFile(log, 'utf8'), new RegExp(`F ${host}.* F 0\n$`, 's'));
});

test('the list has every container as its status tells it', async (t) => {
  const pod = await quickPod();
  const maps = { labels: { a: 'b' }, annotations: { c: 'd' } };
  const image = { image: names.busybox, annotations: { of: 'the image' } };
  const one = await pod.run(idle, { ...maps, image, metadata: { name: 'first', attempt: 4 } });
  const two = await pod.create('true');
  const now = BigInt(Date.now()) * 1_000_000n;
  const { containers } = await client().ListContainers({});
  t.is(containers.length, 2);
  for (const container of [one, two]) {
    t.regex(container.id, /^[0-9a-f]{64}$/);
    const status = await container.status();
    const listed = containers.find(({ id }) => id === container.id);
    const { metadata, state, created_at, image_ref, image_id, labels, annotations } = status;
    t.like(listed, { metadata, state, created_at, image_ref, image_id, labels, annotations, pod_sandbox_id: pod.id });
    t.is(listed?.image?.image, names.busybox);
    t.true(created_at <= now && created_at > now - 60_000_000_000n);
  }
  t.deepEqual((await one.status()).metadata, { name: 'first', attempt: 4 });
  t.is(containers.find(({ id }) => id === one.id)?.image?.annotations.of, 'the image');
});

test('a prefix of an id names a container in each call, one that two containers have is refused', async (t) => {
  const pod = await quickPod();
  const created = new Map<string, TestContainer>();
  for (;;) {
    const container = await pod.create(idle);
    const first = container.id.slice(0, 1);
    if (created.has(first)) {
      const { ContainerStatus, StartContainer, StopContainer, RemoveContainer, ReopenContainerLog } = client();
      for (const call of [ContainerStatus, StartContainer, StopContainer, RemoveContainer, ReopenContainerLog])
        await fails(t, call({ container_id: first }), 'invalid-argument', /start of 2 ids/);
      await fails(t, client().ExecSync({ container_id: first, cmd: ['true'] }), 'invalid-argument', /start of 2 ids/);
      const container_id = container.id.slice(0, 20);
      await client().StartContainer({ container_id });
      await client().ReopenContainerLog({ container_id });
      t.is((await client().ExecSync({ container_id, cmd: ['true'] })).exit_code, 0);
      await client().StopContainer({ container_id, timeout: 0 });
      t.is((await client().ContainerStatus({ container_id })).status?.id, container.id);
      t.is((await container.status()).state, 'CONTAINER_EXITED');
      await client().RemoveContainer({ container_id });
      await fails(t, container.status(), 'not-found', new RegExp(container.id));
      return;
    }
    created.set(first, container);
  }
});

// https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/; the image's are
// Entrypoint `sh -c` and Cmd `echo from the image`.
const matrix: readonly (readonly [string, string, readonly string[], readonly string[], readonly string[] | RegExp])[] =
  [
    ['nothing', names.entrypoint, [], [], ['sh', '-c', 'echo from the image']],
    ['args', names.entrypoint, [], ['a b', ''], ['sh', '-c', 'a b', '']],
    ['command', names.entrypoint, ['echo'], [], ['echo']],
    ['command and args', names.entrypoint, ['echo', 'x'], ['y', '"z"'], ['echo', 'x', 'y', '"z"']],
    ['nothing, only a Cmd', names.busybox, [], [], ['sh']],
    ['args for only a Cmd', names.busybox, [], ['ls', '/'], ['ls', '/']],
    ['nothing, neither', names.empty, [], [], /neither the request nor the image/],
    ['args alone, neither', names.empty, [], ['ls'], ['ls']],
    ['an empty program', names.busybox, ['', 'x'], [], /program to run is an empty string/],
    ['a NUL', names.busybox, ['echo', 'a\0b'], [], /argument 1 holds a NUL/],
  ];

test('what runs is the command of the request or the entrypoint of the image, with the args of the request or the image’s', async (t) => {
  const pod = await quickPod();
  for (const [title, image, command, args, expected] of matrix) {
    const create = pod.create([...command], { image: { image }, args: [...args] });
    if (expected instanceof RegExp) {
      await fails(t, create, 'invalid-argument', expected);
      continue;
    }
    const { runtimeSpec } = await infoOf(await create);
    t.deepEqual(runtimeSpec.process.args, expected, title);
  }
  const container = await pod.run(['sh', '-c', idle], { args: ['zero', 'an arg', 'ü'] });
  const cmdline = await daemon().world.sh(`cat /proc/${await container.pid()}/cmdline`);
  t.deepEqual(cmdline.split('\0'), ['sh', '-c', idle, 'zero', 'an arg', 'ü', '']);
  const { stdout } = await pod.output([], { image: { image: names.entrypoint } });
  t.is(stdout, 'from the image\n');
});

test('the image’s environment comes first and the request’s wins, as bytes', async (t) => {
  const pod = await quickPod();
  const odd = Uint8Array.from([0x61, 0xff, 0xfe, 0x0a, 0x3d, 0x80, 0x62]);
  const container = await pod.run(['sleep', '1000'], {
    image: { image: names.entrypoint },
    envs: [
      { key: 'COLOUR', value: Buffer.from('red') },
      { key: 'ODD', value: odd },
      { key: 'EMPTY', value: new Uint8Array(0) },
      { key: 'COLOUR', value: Buffer.from('blue') },
      { key: 'a key.with-odd_Letters é', value: Buffer.from('$COLOUR ✓') },
    ],
  });
  const file = daemon().world.seen(`/proc/${await container.pid()}/environ`);
  const lines = (await readFile(file, 'latin1')).split('\0');
  const text = (words: string): string => Buffer.from(words).toString('latin1');
  t.is(lines.filter((line) => line.startsWith('COLOUR=')).join(), 'COLOUR=blue');
  t.true(lines.includes(`ODD=${Buffer.from(odd).toString('latin1')}`));
  t.true(lines.includes('EMPTY='));
  t.true(lines.includes(text('a key.with-odd_Letters é=$COLOUR ✓')));
  t.true(lines.indexOf('COLOUR=blue') < lines.indexOf('EMPTY='), 'the image’s names come before new ones');
  const plain = await pod.output(['env'], { image: { image: names.entrypoint } });
  t.regex(plain.stdout, /^COLOUR=green$/m);
});

test('a variable that no process could have is refused and named', async (t) => {
  const pod = await quickPod();
  const bad = (key: string, value: string): Promise<unknown> =>
    pod.create('true', { envs: [{ key, value: Buffer.from(value) }] });
  await fails(t, bad('', 'x'), 'invalid-argument', /envs: a variable without a name/);
  await fails(t, bad('A=B', 'x'), 'invalid-argument', /envs: "A=B"/);
  await fails(t, bad('A', 'x\0y'), 'invalid-argument', /envs: the value of "A" holds a NUL/);
});

test('stdin is closed unless it is asked for, and then stays open', async (t) => {
  const pod = await quickPod();
  const closed = await pod.run(idle);
  t.is(await link(closed, 'fd/0'), '/dev/null');
  for (const extra of [{ stdin: true }, { stdin: true, stdin_once: true }, { stdin: true, tty: true }]) {
    const container = await pod.run('cat; echo the end', extra);
    const place = await link(container, 'fd/0');
    t.regex(place, extra.tty ? /^\/dev\/(pts\/0|console)$/ : /^(pipe|socket):/);
    await until('cat reads', async () => (await container.exec('pidof cat')).code === 0);
    t.is((await container.status()).state, 'CONTAINER_RUNNING', JSON.stringify(extra));
    t.notRegex(await container.text(), /the end/);
    await container.stop();
  }
  const once = pod.create('true', { stdin_once: true });
  await fails(t, once, 'invalid-argument', /stdin_once: without stdin/);
});

test('a container with a terminal has it as its three streams and as its console, and the log has what it shows', async (t) => {
  const pod = await quickPod();
  const script =
    'test -t 0 && test -t 1 && test -t 2 && echo terminal; stat -Lc %t:%T /dev/console /proc/self/fd/0; echo $TERM; echo err >&2; stty -a | grep -o " echo "';
  const { stdout, stderr, status } = await pod.output(script, { tty: true });
  const [terminal, consoleDevice, device, term, error] = stdout.split('\r\n');
  t.deepEqual([terminal, term, error], ['terminal', 'xterm', 'err']);
  t.is(consoleDevice, device);
  t.regex(device ?? '', /^88:/);
  t.is(stderr, '', 'a terminal has one stream');
  t.is(status.exit_code, 0);
  const plain = await pod.output('test -t 1 || echo no terminal; echo "[$TERM]"; ls /dev/console');
  t.regex(plain.stdout, /^no terminal\n\[\]\n/);
});

test('a container without any Linux configuration runs with the defaults', async (t) => {
  const pod = await quickPod();
  const { linux: _, ...config } = containerConfig('id -u; grep NoNewPrivs /proc/self/status; exec sleep 1000');
  const { container_id } = await client().CreateContainer({ pod_sandbox_id: pod.id, config });
  await client().StartContainer({ container_id });
  const { status } = await client().ContainerStatus({ container_id });
  t.is(status?.state, 'CONTAINER_RUNNING');
  t.deepEqual(status?.user?.linux, { uid: 0n, gid: 0n, supplemental_groups: [0n] });
});

test('CDI devices are refused by name', async (t) => {
  const pod = await quickPod();
  const CDI_devices = [{ name: 'vendor.example/gpu=0' }];
  await fails(t, pod.create('true', { CDI_devices }), 'unimplemented', /CDI_devices: .*vendor\.example\/gpu=0/);
});

test('the status of a container has everything that it was made with', async (t) => {
  const pod = await quickPod();
  const host_path = daemon().world.path('logs/shared');
  const shared = `mkdir ${host_path}; mount --bind ${host_path} ${host_path}; mount --make-shared ${host_path}`;
  await daemon().world.sh(shared);
  const image = {
    image: names.stopSignal,
    annotations: { of: 'the image' },
    user_specified_image: names.stopSignal,
    runtime_handler: 'berth',
  };
  const mounts = [
    { host_path, container_path: '/data', readonly: true, propagation: 'PROPAGATION_HOST_TO_CONTAINER' as const },
    { host_path, container_path: '/same', propagation: 'PROPAGATION_PRIVATE' as const },
  ];
  const resources = { cpu_shares: 512n, cpu_quota: 50_000n, cpu_period: 100_000n, memory_limit_in_bytes: 64n << 20n };
  const config: Config = {
    metadata: { name: 'whole', attempt: 7 },
    image,
    mounts,
    labels: { a: 'b' },
    annotations: { c: 'd' },
    log_path: 'whole.log',
    linux: { resources, security_context: { run_as_user: { value: 1000n }, supplemental_groups: [9n] } },
  };
  const container = await pod.run(idle, config);
  for (const round of ['before', 'after a restart']) {
    const status = await container.status();
    t.is(status.id, container.id);
    t.deepEqual(status.metadata, { name: 'whole', attempt: 7 });
    t.like(status.image, image);
    for (const [index, mount] of mounts.entries()) t.like(status.mounts[index], mount);
    t.deepEqual([status.labels, status.annotations], [{ a: 'b' }, { c: 'd' }]);
    t.is(status.log_path, `${pod.config.log_directory}/whole.log`);
    t.like(status.resources?.linux, resources, round);
    t.is(status.resources?.windows, undefined);
    t.like(status.user?.linux, { uid: 1000n, gid: 1000n });
    t.deepEqual(status.user?.linux?.supplemental_groups.toSorted(), [9n, 1000n, 50000n].toSorted());
    t.is(status.stop_signal, 'SIGNAL_SIGUSR1');
    t.deepEqual([status.reason, status.message, status.exit_code, status.finished_at], ['', '', 0, 0n]);
    if (round === 'before') await daemon().killAndBoot();
  }
  await daemon().world.sh(`umount ${host_path}`);
});

test('a start that fails is told by reason, message and code, in the status as in the error', async (t) => {
  const pod = await quickPod();
  const container = await pod.create(['/etc/passwd']);
  await fails(t, container.start(), 'permission-denied', /exec \/etc\/passwd: EACCES/);
  const { state, reason, message, exit_code, started_at, finished_at } = await container.status();
  t.deepEqual([state, reason, exit_code], ['CONTAINER_EXITED', 'ContainerCannotRun', 126]);
  t.regex(message, /exec \/etc\/passwd: EACCES/);
  t.true(started_at === 0n && finished_at > 0n);
});

test('the verbose status of a container has the keys that scripts read from containerd', async (t) => {
  const pod = await quickPod();
  const container = await pod.run(idle, {
    envs: [{ key: 'A', value: Buffer.from('b') }],
    linux: {
      resources: { memory_limit_in_bytes: 64n << 20n },
      security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } },
    },
  });
  t.deepEqual((await client().ContainerStatus({ container_id: container.id })).info, {});
  const info = await infoOf(container);
  t.like(info, { sandboxID: pod.id, removing: false, runtimeType: 'berth' });
  t.is((await daemon().world.sh(`tr '\\0' ' ' </proc/${info.pid}/cmdline`)).trim(), `sh -c ${idle}`);
  // Numbers for enums and 64 bits, variables as text: as Go writes the configuration.
  t.is(info.config.linux.security_context.namespace_options.network, 2);
  t.is(info.config.linux.resources.memory_limit_in_bytes, 64 << 20);
  t.deepEqual(info.config.envs, [{ key: 'A', value: 'b' }]);
  const { process, mounts, linux, root } = info.runtimeSpec;
  t.deepEqual(process.args, ['sh', '-c', idle]);
  t.true(process.env.includes('A=b'));
  t.true(mounts.some(({ destination }: { destination: string }) => destination === '/proc'));
  t.is(linux.resources.memory.limit, 64 << 20);
  t.regex(linux.cgroupsPath, new RegExp(container.id));
  t.is(root.readonly, false);
  await container.stop();
  t.is((await infoOf(container)).pid, 0);
});
