import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import type { ContainerStats, FilesystemUsage, PodSandboxStats } from '../../api/generated/types.ts';
import type { TestDaemon } from './daemon.ts';
import { idle, runPod, type TestContainer, type TestPod } from './pods.ts';
import { fails, suiteDaemon } from './suite.ts';
import { until } from './until.ts';

const MiB = 1 << 20;

type Value = { readonly value: bigint } | undefined;

const number = (t: ExecutionContext, value: Value, what: string): number => {
  if (value === undefined) t.fail(`${what} is missing`);
  return Number(value?.value ?? 0n);
};

const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? Number(value) : value);

/** Within five per cent, and what is counted in other units. */
const close = (t: ExecutionContext, found: number, expected: number, slack = 0): void => {
  const off = Math.abs(found - expected);
  t.true(off <= expected * 0.05 + slack, `${found} is not within 5 % of ${expected}`);
};

const pressureLines = (read: () => string): (string | number)[][] => {
  try {
    const lines = read().split('\n');
    return lines.map((line) => line.split(' ').map((word, i) => (i === 0 ? word : Number(word.split('=')[1]))));
  } catch {
    return [];
  }
};

/** What is counted, against another witness; the same claims on cgroup v1 and v2. */
export const statsTests = (version: 1 | 2): void => {
  const daemon = suiteDaemon();

  const statsOf = async (container: TestContainer): Promise<ContainerStats> => {
    const { stats } = await daemon().client.ContainerStats({ container_id: container.id });
    if (stats === undefined) throw new Error('ContainerStats without stats');
    return stats;
  };
  const podStats = async (pod: TestPod): Promise<NonNullable<PodSandboxStats['linux']>> => {
    const { stats } = await daemon().client.PodSandboxStats({ pod_sandbox_id: pod.id });
    if (stats?.linux === undefined) throw new Error('PodSandboxStats without linux');
    return stats.linux;
  };
  const file = (container: TestContainer, controller: string, name: string, of: TestDaemon = daemon()): string => {
    const root = version === 2 ? '/sys/fs/cgroup' : `/sys/fs/cgroup/${controller}`;
    return readFileSync(`${root}/${of.world.cgroup}/${container.id}/${name}`, 'utf8').trim();
  };

  test('cpu usage is the two seconds that it burnt, and what /proc counts; its rate is known after a second', async (t) => {
    const pod = await runPod(daemon());
    // Each of the two looks at its own clock until that says a second: user and system time in hundredths.
    const fields = 'p n s a b c d e f g h i j user system rest';
    const second = `(until [ "$((user + system))" -ge 100 ]; do read -r ${fields} </proc/self/stat; done) &`;
    const burnt = `user=0; system=0; ${second} ${second} wait; echo burnt`;
    const container = await pod.run(`${burnt}; ${idle}`);
    await until('it has burnt', async () => (await container.text('stdout')).includes('burnt'), 60);
    // Of the shell and the children that it has waited for, in ticks of a hundredth of a second.
    const ticks = (await container.exec('cat /proc/1/stat')).stdout.split(') ').at(-1)?.split(' ').slice(11, 15);
    const { cpu } = await statsOf(container);
    const spent = (ticks ?? []).reduce((sum, text) => sum + Number(text), 0) * 1e7;
    // The shell's start and the exec are in the cgroup as well.
    for (const expected of [2e9, spent])
      close(t, number(t, cpu?.usage_core_nano_seconds, 'usage_core_nano_seconds'), expected, 8e7);
    const age = Number((cpu?.timestamp ?? 0n) / 1_000_000n);
    t.true(Math.abs(Date.now() - age) < 10_000, `read at ${age}`);
    const later = await until('the rate is known', async () => {
      const { cpu: now } = await statsOf(container);
      return now?.usage_nano_cores && now;
    });
    t.true(number(t, later?.usage_nano_cores, 'usage_nano_cores') > 0);
  });

  test('memory is what the process holds: usage, rss, working set, and what is left of the limit', async (t) => {
    const pod = await runPod(daemon());
    // dd fills its buffer and then waits for a reader of the pipe for ever.
    const hold = 'mkfifo /tmp/f; sleep 86400 <>/tmp/f & dd if=/dev/zero of=/tmp/f bs=100M count=1 & echo ready; wait';
    const limit = 200 * MiB;
    const linux = { resources: { memory_limit_in_bytes: BigInt(limit) } };
    const container = await pod.run(`trap "exit 0" TERM; ${hold}`, { linux });
    const { memory, swap } = await until('it holds 100 MiB', async () => {
      const stats = await statsOf(container);
      return number(t, stats.memory?.rss_bytes, 'rss_bytes') > 100 * MiB && stats;
    });
    const usage = number(t, memory?.usage_bytes, 'usage_bytes');
    const working = number(t, memory?.working_set_bytes, 'working_set_bytes');
    close(t, number(t, memory?.rss_bytes, 'rss_bytes'), 100 * MiB);
    close(t, usage, Number(file(container, 'memory', version === 1 ? 'memory.usage_in_bytes' : 'memory.current')), MiB);
    t.true(working >= 100 * MiB && working <= usage);
    t.is(number(t, memory?.available_bytes, 'available_bytes'), limit - working);
    // Each page was zero once.
    t.true(number(t, memory?.page_faults, 'page_faults') >= (100 * MiB) / 4096 / 512);
    t.true(number(t, memory?.major_page_faults, 'major_page_faults') >= 0);
    t.true((memory?.timestamp ?? 0n) > 0n);
    t.is(number(t, swap?.swap_usage_bytes, 'swap_usage_bytes'), 0);
    // A memory limit alone allows no swap with it.
    t.is(number(t, swap?.swap_available_bytes, 'swap_available_bytes'), 0);
    t.is(swap?.timestamp, memory?.timestamp);
  });

  test('page cache that is no longer used is in the usage and not in the working set', async (t) => {
    const pod = await runPod(daemon());
    const container = await pod.run(`dd if=/dev/zero of=/big bs=1M count=32 2>/dev/null; echo written; ${idle}`);
    await until('it is written', async () => (await container.text('stdout')).includes('written'));
    const { memory } = await statsOf(container);
    const stat = file(container, 'memory', 'memory.stat');
    const inactive = Number(new RegExp(`^${version === 1 ? 'total_' : ''}inactive_file (\\d+)$`, 'm').exec(stat)?.[1]);
    // The second machine's disk is a tmpfs, which has no page cache.
    if (version === 1) t.true(inactive >= 30 * MiB, `${inactive} bytes of it`);
    const usage = number(t, memory?.usage_bytes, 'usage_bytes');
    close(t, usage - number(t, memory?.working_set_bytes, 'working_set_bytes'), inactive, MiB);
    t.is(memory?.available_bytes, undefined, 'without a limit nobody knows what is left');
  });

  const disk = async (container: TestContainer): Promise<FilesystemUsage> =>
    until('the writable layer is counted', async () => (await statsOf(container)).writable_layer, 90);

  test('the writable layer is what du counts of it, also when the container has ended', async (t) => {
    const pod = await runPod(daemon());
    const write = 'dd if=/dev/zero of=/data bs=1M count=50 2>/dev/null; ln /data /again; mkdir /d; touch /d/1 /d/2';
    const container = await pod.run(write);
    await container.exited();
    const use = await disk(container);
    const root = daemon().world.path('root/containers');
    const du = (...options: string[]): number => {
      const path = daemon().world.seen(`${root}/${container.id}`);
      return Number(execFileSync('du', ['-s', ...options, path], { encoding: 'utf8' }).split('\t')[0]);
    };
    close(t, number(t, use.used_bytes, 'used_bytes'), du('--block-size=1'));
    close(t, number(t, use.used_bytes, 'used_bytes'), 50 * MiB);
    t.is(number(t, use.inodes_used, 'inodes_used'), du('--inodes'));
    const fs = await daemon().client.ImageFsInfo({});
    t.is(use.fs_id?.mountpoint, fs.container_filesystems[0]?.fs_id?.mountpoint);
    t.true(use.timestamp > 0n);
    const stats = await statsOf(container);
    t.deepEqual([stats.cpu, stats.memory, stats.swap, stats.io], [undefined, undefined, undefined, undefined]);
  });

  test('pressure is what the cgroup’s files say, and is left out where the kernel has none', async (t) => {
    const container = await (await runPod(daemon())).run(idle);
    const kinds = ['cpu', 'memory', 'io'] as const;
    const witness = () =>
      kinds.map((name) => (version === 2 ? pressureLines(() => file(container, '', `${name}.pressure`)) : []));
    const { stats, found } = await until('pressure stands still', async () => {
      const before = witness();
      const one = { stats: await statsOf(container), found: witness() };
      return isDeepStrictEqual(one.found, before) && one;
    });
    for (const [index, name] of kinds.entries()) {
      const [psi, lines = []] = [stats[name]?.psi, found[index]];
      const told = psi && [
        ['some', psi.Some?.Avg10, psi.Some?.Avg60, psi.Some?.Avg300, Number(psi.Some?.Total) / 1000],
        ['full', psi.Full?.Avg10, psi.Full?.Avg60, psi.Full?.Avg300, Number(psi.Full?.Total) / 1000],
      ];
      t.deepEqual(told, lines.length === 0 ? undefined : lines, name);
    }
    t.is(stats.io?.timestamp, stats.io && stats.cpu?.timestamp);
  });

  test('ListContainerStats has every container with its name and labels, and the filters leave out others', async (t) => {
    const pod = await runPod(daemon());
    const extra = {
      metadata: { name: 'one', attempt: 3 },
      labels: { app: 'a', tier: 'x' },
      annotations: { note: 'n' },
    };
    const one = await pod.run(idle, extra);
    const two = await pod.create(idle, { labels: { app: 'b' } });
    const other = await runPod(daemon());
    const three = await other.run(idle);
    const ids = async (filter?: object): Promise<string[]> => {
      const { stats } = await daemon().client.ListContainerStats(filter === undefined ? {} : { filter });
      return stats.map(({ attributes }) => attributes?.id ?? '').toSorted();
    };
    t.deepEqual(await ids(), [one.id, two.id, three.id].toSorted());
    t.deepEqual(await ids({ id: one.id.slice(0, 20) }), [one.id]);
    t.deepEqual(await ids({ pod_sandbox_id: pod.id }), [one.id, two.id].toSorted());
    t.deepEqual(await ids({ label_selector: { app: 'a' } }), [one.id]);
    t.deepEqual(await ids({ label_selector: { app: 'a' }, pod_sandbox_id: other.id }), []);
    t.deepEqual(await ids({ id: 'f'.repeat(64) }), []);
    const { stats } = await daemon().client.ListContainerStats({ filter: { id: one.id } });
    t.deepEqual(stats[0]?.attributes, { id: one.id, ...extra });
    // The second machine counts in ticks, of which a start may take none.
    t.true(number(t, stats[0]?.cpu?.usage_core_nano_seconds, 'usage_core_nano_seconds') >= (version === 1 ? 1 : 0));
  });

  test('a pod’s network is what its interface carried, read inside its namespace', async (t) => {
    const pods = await Promise.all([runPod(daemon()), runPod(daemon())]);
    const [to, from] = pods;
    const sink = await to.run(
      `trap "exit 0" TERM; mkfifo /tmp/i; sleep 86400 <>/tmp/i & nc -l -p 9000 </tmp/i >/dev/null; echo got; while sleep 1; do :; done`,
    );
    const source = await from.run(idle);
    const { status } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: to.id });
    const devices = async (): Promise<readonly number[]> =>
      ((await sink.exec('grep eth0 /proc/net/dev')).stdout.split(':')[1] ?? '').trim().split(/\s+/).map(Number);
    const [, packetsBefore = 0] = await devices();
    const before = await podStats(to);
    const send = `dd if=/dev/zero bs=1M count=10 2>/dev/null | nc ${status?.network?.ip} 9000`;
    await until('it is sent', async () => (await source.exec(send)).code === 0);
    await until('it is there', async () => (await sink.text('stdout')).includes('got'));
    const after = await podStats(to);
    const received = (stats: typeof after): number => number(t, stats.network?.default_interface?.rx_bytes, 'rx_bytes');
    const line = await devices();
    const [, packets = 0] = line;
    // Ethernet, IP and TCP with timestamps: 66 bytes a packet.
    close(t, received(after) - received(before), 10 * MiB + (packets - packetsBefore) * 66);
    close(t, received(after), line[0] ?? 0, 2000);
    close(t, number(t, after.network?.default_interface?.tx_bytes, 'tx_bytes'), line[8] ?? 0, 2000);
    t.is(after.network?.default_interface?.name, 'eth0');
    t.deepEqual(after.network?.interfaces, [after.network?.default_interface]);
    t.is(number(t, after.network?.default_interface?.rx_errors, 'rx_errors'), 0);
    t.is(number(t, after.network?.default_interface?.tx_errors, 'tx_errors'), 0);
    t.true((after.network?.timestamp ?? 0n) > (before.network?.timestamp ?? 0n));
  });

  test('a pod without containers has its network, and one on the host’s network has none', async (t) => {
    const empty = await podStats(await runPod(daemon()));
    t.is(empty.network?.default_interface?.name, 'eth0');
    t.deepEqual(empty.containers, []);
    t.is(empty.cpu, undefined);
    const linux = { security_context: { namespace_options: { network: 'NODE' as const, pid: 'CONTAINER' as const } } };
    t.is((await podStats(await runPod(daemon(), { linux }))).network, undefined);
  });

  test('the interfaces of a pod are its own and the others, without loopback', async (t) => {
    const pod = await runPod(daemon());
    const linux = { security_context: { privileged: true } };
    const other = await runPod(daemon(), { linux: { security_context: { privileged: true } } });
    const container = await other.run(idle, { linux });
    t.is((await container.exec('ip link add name extra type bridge && ip link set extra up')).code, 0);
    const { network } = await podStats(other);
    t.deepEqual(
      [network?.default_interface?.name, network?.interfaces.map(({ name }) => name)],
      ['eth0', ['eth0', 'extra']],
    );
    t.deepEqual(
      (await podStats(pod)).network?.interfaces.map(({ name }) => name),
      ['eth0'],
    );
  });

  test('a pod with a cgroup of its own is counted by that, one without by its containers together', async (t) => {
    const parent = `/${daemon().world.cgroup}/pod-of-its-own`;
    for (const linux of [{ cgroup_parent: parent }, {}]) {
      const pod = await runPod(daemon(), { linux });
      const containers = await Promise.all([pod.run(idle), pod.run(idle)]);
      // A shell and its sleep in each.
      const {
        cpu,
        memory,
        process,
        containers: inside,
      } = await until('all four run', async () => {
        const found = await podStats(pod);
        return number(t, found.process?.process_count, 'process_count') === 4 && found;
      });
      t.deepEqual(inside.map(({ attributes }) => attributes?.id).toSorted(), containers.map(({ id }) => id).toSorted());
      const sum = (pick: (stats: ContainerStats) => Value): number =>
        inside.reduce((total, stats) => total + number(t, pick(stats), 'a container’s'), 0);
      const spent = number(t, cpu?.usage_core_nano_seconds, 'usage_core_nano_seconds');
      close(
        t,
        spent,
        sum((stats) => stats.cpu?.usage_core_nano_seconds),
        5e7,
      );
      close(
        t,
        number(t, memory?.usage_bytes, 'usage_bytes'),
        sum((stats) => stats.memory?.usage_bytes),
        2 * MiB,
      );
      t.true((process?.timestamp ?? 0n) > 0n);
    }
  });

  test('ListPodSandboxStats has the pods that are ready, and the filters leave out others', async (t) => {
    const one = await runPod(daemon(), { labels: { app: 'a' }, annotations: { note: 'n' } });
    const two = await runPod(daemon(), { labels: { app: 'b' } });
    const stopped = await runPod(daemon(), { labels: { app: 'a' } });
    await stopped.stop();
    const list = async (filter?: object): Promise<readonly PodSandboxStats[]> =>
      (await daemon().client.ListPodSandboxStats(filter === undefined ? {} : { filter })).stats;
    const ids = async (filter?: object): Promise<(string | undefined)[]> =>
      (await list(filter)).map(({ attributes }) => attributes?.id).toSorted();
    t.deepEqual(await ids(), [one.id, two.id].toSorted());
    t.deepEqual(await ids({ id: one.id.slice(0, 12) }), [one.id]);
    t.deepEqual(await ids({ label_selector: { app: 'a' } }), [one.id]);
    const [stats] = await list({ id: one.id });
    t.deepEqual(stats?.attributes?.labels, { app: 'a' });
    t.deepEqual(stats?.attributes?.annotations, { note: 'n' });
    t.is(stats?.attributes?.metadata?.uid, one.config.metadata?.uid);
    t.is(stats?.windows, undefined);
    for (const word of ['windows', 'commit_memory_bytes', 'rx_packets_dropped', 'tx_packets_dropped'])
      t.notRegex(JSON.stringify(stats, plain), new RegExp(`"${word}":`), 'of Windows alone');
    const request = { pod_sandbox_id: stopped.id };
    await fails(t, daemon().client.PodSandboxStats(request), 'failed-precondition', /it is not ready/);
    await fails(t, daemon().client.PodSandboxStats({ pod_sandbox_id: 'f'.repeat(64) }), 'not-found', /does not exist/);
    await fails(t, daemon().client.ContainerStats({ container_id: 'f'.repeat(64) }), 'not-found', /does not exist/);
  });

  test('figures of a container that ends meanwhile are left out, and no call fails', async (t) => {
    const pod = await runPod(daemon());
    const containers = await Promise.all(Array.from({ length: 4 }, () => pod.run('sleep 0.05')));
    for (let i = 0; i < 40; i += 1) {
      const { stats } = await daemon().client.ListContainerStats({});
      t.is(stats.length, containers.length);
      await daemon().client.ListPodSandboxStats({});
    }
    await Promise.all(containers.map((container) => container.exited()));
    t.is((await daemon().client.ListContainerStats({})).stats.filter(({ cpu }) => cpu !== undefined).length, 0);
  });

  test('Activity has the running containers, with what they wrote to the disk past the page cache, their threads and CPU limit', async (t) => {
    const pod = await runPod(daemon());
    const linux = { resources: { cpu_quota: 150_000n, cpu_period: 100_000n } };
    const script = `dd if=/dev/zero of=/big bs=1M count=8 oflag=direct 2>/dev/null; echo written; ${idle}`;
    const container = await pod.run(script, { linux });
    const plainOne = await pod.run(idle);
    await (await pod.run('true')).exited();
    await until('it is written', async () => (await container.text('stdout')).includes('written'));
    await until('its sleep runs', () => file(container, 'pids', 'pids.current') === '2');
    const { containers } = await daemon().client.Activity({});
    const of = ({ id }: TestContainer) => containers.find(({ container_id }) => container_id === id);
    t.is(containers.length, 2, 'the one that has ended is left out');
    const found = of(container);
    t.is(Number(found?.threads), Number(file(container, 'pids', 'pids.current')));
    t.is(found?.cpu_limit_nano_cores, 1_500_000_000n);
    t.is(of(plainOne)?.cpu_limit_nano_cores, 0n);
    t.true(Math.abs(Date.now() - Number((found?.timestamp ?? 0n) / 1_000_000n)) < 10_000);
    // The second machine's disk is a tmpfs, which is no block device.
    if (version === 1) close(t, Number(found?.written_bytes), 8 * MiB, MiB / 2);
    t.true(Number(of(plainOne)?.written_bytes) < MiB);
  });
};
