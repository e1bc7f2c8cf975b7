import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { LinuxContainerResources } from '../../api/generated/types.ts';
import type { TestDaemon } from './daemon.ts';
import { idle, runPod, type TestContainer } from './pods.ts';
import { MiB, type Resources, type Row, rows } from './resource-rows.ts';
import { fails, suiteDaemon } from './suite.ts';
import { until } from './until.ts';

const nothing = {
  cpu_period: 0n,
  cpu_quota: 0n,
  cpu_shares: 0n,
  memory_limit_in_bytes: 0n,
  memory_swap_limit_in_bytes: 0n,
  oom_score_adj: 0n,
  cpuset_cpus: '',
  cpuset_mems: '',
  hugepage_limits: [],
  unified: {},
};

/** The limits of a container as the kernel has them; the same claims on cgroup v1 and v2. `has`: controllers. */
export const resourceTests = (version: 1 | 2, has: (controller: string) => boolean): void => {
  const io = { io_weight_annotation: 'example.com/io-weight', io_max_annotation: 'example.com/io-max' };
  const daemon = suiteDaemon({ config: { limits: { pids: 1000 }, cgroup: io } });
  const other = (controller: string): boolean => (controller === 'unified' ? version === 2 : has(controller));

  const path = (container: TestContainer, file: string, of = daemon()): string => {
    const [controller = '', name = ''] = file.split('/');
    if (controller === 'proc') {
      const [pid] = readFileSync(path(container, 'memory/cgroup.procs', of), 'utf8').split('\n');
      return join('/proc', `${pid}`, name);
    }
    const root = version === 2 ? '/sys/fs/cgroup' : `/sys/fs/cgroup/${controller}`;
    return join(root, of.cgroupOf(container), name);
  };
  const read = (container: TestContainer, file: string): string => readFileSync(path(container, file), 'utf8').trim();
  const update = (container: TestContainer, linux: Resources): Promise<unknown> =>
    daemon().client.UpdateContainerResources({ container_id: container.id, linux });
  const told = async (container: TestContainer): Promise<LinuxContainerResources | undefined> =>
    (await container.status()).resources?.linux;
  const created = async (resources: Resources): Promise<TestContainer> =>
    (await runPod(daemon())).create(idle, { linux: { resources } });

  const holds = (t: ExecutionContext, container: TestContainer, row: Row, when: 0 | 1, name: string): void => {
    for (const [file, values] of Object.entries(version === 1 ? row.v1 : row.v2))
      t.is(read(container, file), values[when], `${name}: ${file}, ${when === 0 ? 'set' : 'updated'}`);
    if (daemon().world.systemd)
      for (const [property, values] of Object.entries(row.systemd))
        t.is(shown(container, property), values[when], `${name}: ${property}, ${when === 0 ? 'set' : 'updated'}`);
  };
  const shown = ({ id }: TestContainer, property: string): string =>
    execFileSync('systemctl', ['show', '-P', property, `berth-${id}.scope`], { encoding: 'utf8' }).trim();

  const expected = ({ set, update: changed, told: [first, second] = [{}, {}] }: Row) => {
    const before = { ...nothing, ...set, ...first };
    return [before, { ...before, ...changed, ...second }] as const;
  };

  const all = Object.entries(rows).map(([name, row]) => ({ name, row, expected: expected(row) }));

  test('every limit is in the kernel’s files and in the status: at a start, after an update, after a restart', async (t) => {
    const pod = await runPod(daemon());
    const served = all.filter(({ row }) => other(row.controller));
    const made = await Promise.all(
      served.map(async (entry) => {
        const linux = { resources: entry.row.set };
        // One that runs, and one that is still to be started: it has the new limits from the start.
        return { ...entry, runs: await pod.run(idle, { linux }), waits: await pod.create(idle, { linux }) };
      }),
    );
    for (const {
      name,
      row,
      runs,
      expected: [before],
    } of made) {
      holds(t, runs, row, 0, name);
      t.deepEqual(await told(runs), before, name);
    }
    await Promise.all(
      made.flatMap(({ row, runs, waits }) => [runs, waits].map((container) => update(container, row.update))),
    );
    const check = async (): Promise<void> => {
      for (const {
        name,
        row,
        runs,
        waits,
        expected: [, after],
      } of made) {
        holds(t, runs, row, 1, name);
        t.deepEqual(await told(runs), after, name);
        t.deepEqual(await told(waits), after, name);
      }
    };
    await check();
    // systemd reads its units anew, and may write its files anew.
    if (daemon().world.systemd) execFileSync('systemctl', ['daemon-reload']);
    await daemon().killAndBoot();
    await check();
    for (const { name, row, waits } of made) {
      await waits.start();
      holds(t, waits, row, 1, name);
    }
  });

  test('a limit whose controller is not there is refused by name at both calls', async (t) => {
    const container = await (await created({})).start();
    // Huge pages have a test of their own: that machine knows no such page either.
    const lacking = all.filter(({ row }) => row.controller !== 'hugetlb' && !other(row.controller));
    for (const { row } of lacking) {
      const name = new RegExp(Object.keys(row.set)[0] ?? '');
      await fails(t, created(row.set), 'failed-precondition', name);
      await fails(t, update(container, { oom_score_adj: 7n, ...row.set }), 'failed-precondition', name);
    }
    // Of v2 all are there but the cpuset, which user-mode Linux lacks.
    const expected = version === 1 ? ['unified'] : has('cpuset') ? [] : ['cpuset'];
    t.deepEqual([...new Set(lacking.map(({ row }) => row.controller))], expected);
    t.deepEqual(await told(container), nothing);
  });

  test('pids: the configuration’s limit is in the kernel’s file, and stays when others change', async (t) => {
    const container = await (await created({ cpu_shares: 512n })).start();
    await update(container, { cpu_shares: 600n });
    t.is(read(container, 'pids/pids.max'), '1000');
  });

  test('oom_score_adj: of every process that has the container’s, of execs, and what berthd may give', async (t) => {
    const container = await (await created({ oom_score_adj: 300n })).start();
    const scores = async (): Promise<string> => {
      const { stdout } = await container.exec('cat /proc/1/oom_score_adj /proc/[0-9]*/oom_score_adj | sort -u');
      return stdout;
    };
    await container.exec('echo 700 >/proc/self/oom_score_adj; (sleep 4711 >/dev/null 2>&1 &)');
    t.is(await scores(), '300\n700\n');
    await update(container, { oom_score_adj: 500n });
    t.is(await scores(), '500\n700\n');
    t.is((await told(container))?.oom_score_adj, 500n);
    await update(container, { cpu_shares: 100n });
    t.is((await told(container))?.oom_score_adj, 500n);
    const low = await (await created({ oom_score_adj: -999n })).start();
    const { stdout } = await low.exec('cat /proc/1/oom_score_adj');
    t.is(stdout.trim(), `${(await told(low))?.oom_score_adj}`);
  });

  test('an update that the kernel refuses half way leaves every file and the status as they were', async (t) => {
    const container = await (
      await created({ cpu_shares: 512n, memory_limit_in_bytes: BigInt(64 * MiB), cpu_quota: 20_000n })
    ).start();
    const parent = join(path(container, 'cpu/x'), '../..');
    const file = version === 1 ? 'cpu.cfs_quota_us' : 'cpu.max';
    const files =
      version === 1
        ? ['cpu/cpu.shares', 'memory/memory.limit_in_bytes', 'memory/memory.memsw.limit_in_bytes', `cpu/${file}`]
        : ['cpu/cpu.weight', 'memory/memory.max', 'memory/memory.swap.max', `cpu/${file}`];
    const values = (): string[] => files.map((one) => read(container, one));
    const [before, status] = [values(), await told(container)];
    // More than its parent has is refused by v1; v2 takes it, and is made to refuse by a file that cannot be written.
    const wish: Resources = version === 1 ? { cpu_quota: 90_000n } : { unified: { 'memory.low': 'no number' } };
    if (version === 1) await daemon().world.sh(`echo 50000 >${parent}/${file}`);
    const request = { cpu_shares: 700n, memory_limit_in_bytes: BigInt(96 * MiB), oom_score_adj: 100n, ...wish };
    await fails(t, update(container, request), 'invalid-argument', /(cpu_quota|memory\.low): write .*: EINVAL/);
    if (version === 1) await daemon().world.sh(`echo -1 >${parent}/${file}`);
    t.deepEqual(values(), before);
    t.deepEqual(await told(container), status);
    t.is((await container.exec('cat /proc/1/oom_score_adj')).stdout, '0\n');
  });

  test('a limit below what is in use is refused with both numbers, and the container lives', async (t) => {
    const pod = await runPod(daemon());
    const resources = { memory_limit_in_bytes: BigInt(64 * MiB) };
    const container = await pod.run(['eat', '24', 'hold'], { linux: { resources } });
    await until('it holds them', async () => (await container.text()).includes('held'));
    const request = { memory_limit_in_bytes: BigInt(8 * MiB), cpu_shares: 99n };
    await fails(t, update(container, request), 'failed-precondition', /8388608 is less than the \d{8} bytes/);
    const limit = version === 1 ? 'memory/memory.limit_in_bytes' : 'memory/memory.max';
    t.is(read(container, limit), `${64 * MiB}`);
    t.deepEqual(await told(container), {
      ...nothing,
      ...resources,
      memory_swap_limit_in_bytes: resources.memory_limit_in_bytes,
    });
    t.is((await container.status()).state, 'CONTAINER_RUNNING');
  });

  test('what page cache alone holds is no reason to refuse a lower limit', async (t) => {
    const pod = await runPod(daemon());
    const resources = { memory_limit_in_bytes: BigInt(64 * MiB) };
    // On a disk: what is on a tmpfs cannot be given back.
    const host_path = mkdtempSync('/var/tmp/berth-test-');
    t.teardown(() => rmSync(host_path, { recursive: true }));
    const mounts = [{ host_path, container_path: '/disk' }];
    const container = await pod.run(idle, { linux: { resources }, mounts });
    await container.exec('dd if=/dev/zero of=/disk/file bs=1M count=24 2>/dev/null; sync; cat /disk/file >/dev/null');
    await update(container, { memory_limit_in_bytes: BigInt(16 * MiB) });
    t.is(read(container, version === 1 ? 'memory/memory.limit_in_bytes' : 'memory/memory.max'), `${16 * MiB}`);
    t.is((await container.exec('echo alive')).stdout, 'alive\n');
  });

  const refused: readonly (readonly [Resources, RegExp])[] = [
    [{ cpuset_cpus: '0-' }, /cpuset_cpus/],
    [{ cpuset_cpus: '99' }, has('cpuset') ? /cpuset_cpus: 99: this machine has no processor 99/ : /cpuset_cpus/],
    [{ cpuset_mems: '7' }, /cpuset_mems/],
    [{ cpu_quota: 10n }, /cpu_quota/],
    [{ cpu_period: 5n }, /cpu_period/],
    [{ memory_limit_in_bytes: 4096n }, /memory_limit_in_bytes/],
    [{ memory_limit_in_bytes: BigInt(MiB), memory_swap_limit_in_bytes: 4096n }, /memory_swap_limit_in_bytes/],
    [{ oom_score_adj: 1001n }, /oom_score_adj/],
    [{ hugepage_limits: [{ page_size: '3MB', limit: 3n }] }, /hugepage_limits/],
    [{ unified: { 'memory.max': '1', 'cgroup.procs': '1' } }, /cgroup\.procs/],
    [{ memory_limit_in_bytes: BigInt(MiB), unified: { 'memory.max': '1' } }, /memory\.max/],
  ];
  test('bad limits are refused by name at both calls, and nothing changes', async (t) => {
    const container = await (await created({ cpu_shares: 512n })).start();
    for (const [resources, message] of refused) {
      await fails(t, created(resources), 'invalid-argument', message);
      await fails(t, update(container, { cpu_shares: 700n, ...resources }), 'invalid-argument', message);
    }
    t.deepEqual(await told(container), { ...nothing, cpu_shares: 512n });
    t.is(read(container, version === 1 ? 'cpu/cpu.shares' : 'cpu/cpu.weight'), version === 1 ? '512' : '59');
  });

  test('huge pages: a limit of none is taken everywhere, another only where the kernel counts them', async (t) => {
    const none = { hugepage_limits: [{ page_size: '2MB', limit: 0n }] };
    const container = await (await created(none)).start();
    await update(container, none);
    const some = (pages: number) => ({ hugepage_limits: [{ page_size: '2MB', limit: BigInt(pages * 2 * MiB) }] });
    if (has('hugetlb')) {
      const held = await (await created(some(1))).start();
      t.is(read(held, 'hugetlb/hugetlb.2MB.max'), `${2 * MiB}`);
      await update(held, some(3));
      t.is(read(held, 'hugetlb/hugetlb.2MB.max'), `${6 * MiB}`);
      t.deepEqual((await told(held))?.hugepage_limits, some(3).hugepage_limits);
      return;
    }
    t.deepEqual((await told(container))?.hugepage_limits, []);
    const code = version === 1 ? 'failed-precondition' : 'invalid-argument';
    await fails(t, created(some(1)), code, /2MB/);
    await fails(t, update(container, some(1)), code, /2MB/);
  });

  test('block devices: limits by the annotation that the configuration names, set, updated, and put back', async (t) => {
    const device = (await daemon().world.sh('lsblk -dnro MAJ:MIN,SIZE | grep -v " 0B" | head -1')).split(' ')[0] ?? '';
    t.regex(device, /^\d+:\d+$/);
    const bps = (container: TestContainer): string =>
      read(container, version === 1 ? 'blkio/blkio.throttle.read_bps_device' : 'io/io.max');
    const held = (rate: number): string =>
      version === 1 ? `${device} ${rate}` : `${device} rbps=${rate} wbps=max riops=max wiops=max`;
    const annotations = { 'example.com/io-max': `${device} rbps=1048576`, other: 'is ignored' };
    const pod = await runPod(daemon());
    const container = await pod.run(idle, { annotations });
    t.is(bps(container), held(1_048_576));
    const change = (limit: string, more: Resources = {}): Promise<unknown> =>
      daemon().client.UpdateContainerResources({
        container_id: container.id,
        annotations: { 'example.com/io-max': limit },
        linux: more,
      });
    await change(`${device} rbps=2097152`);
    t.is(bps(container), held(2_097_152));
    // No such device: the kernel refuses the second after the first is written.
    await fails(t, change(`${device} rbps=3145728, 4095:7 rbps=5`), 'internal', /io_max_annotation: .*4?.*ENODEV/);
    t.is(bps(container), held(2_097_152));
    await fails(t, change('/dev/nothing rbps=5'), 'invalid-argument', /example\.com\/io-max: "\/dev\/nothing"/);
    const plain = await runPod(daemon(), { annotations: { 'example.com/io-max': `${device} rbps=4096` } });
    t.is(bps(await plain.run(idle)), held(4096), 'a pod’s is for each of its containers');
    await fails(
      t,
      pod.create(idle, { annotations: { 'example.com/io-weight': '5' } }),
      'invalid-argument',
      /io-weight/,
    );
    if (version === 2) return; // user-mode Linux has no io.weight
    const weighed = await pod.run(idle, { annotations: { 'example.com/io-weight': '321' } });
    t.is(read(weighed, 'blkio/blkio.bfq.weight'), '321');
  });

  test('an update wants a container that is there and has not ended, and knows no annotation', async (t) => {
    const { client } = daemon();
    const linux = { cpu_shares: 700n };
    const ended = await (await runPod(daemon())).run('true');
    await ended.exited();
    await fails(t, update(ended, linux), 'failed-precondition', /has ended/);
    const container_id = 'e'.repeat(64);
    await fails(t, client.UpdateContainerResources({ container_id, linux }), 'not-found', /eeee/);
    await fails(t, client.UpdateContainerResources({ container_id: '', linux }), 'invalid-argument', /empty/);
    const container = await (await created({})).start();
    const request = { container_id: container.id, linux, annotations: { 'io.example/fast': '1' } };
    await fails(t, client.UpdateContainerResources(request), 'invalid-argument', /io\.example\/fast/);
    const windows = { container_id: container.id, windows: {} };
    await fails(t, client.UpdateContainerResources(windows), 'unimplemented', /windows/);
    t.deepEqual(await told(container), nothing);
  });

  test('a container that was updated is found again by a repeated CreateContainer', async (t) => {
    const pod = await runPod(daemon());
    const config = {
      metadata: { name: 'again' },
      linux: { resources: { cpu_shares: 512n } },
    };
    const container = await pod.create(idle, config);
    await update(container, { cpu_shares: 700n });
    t.is((await pod.create(idle, config)).id, container.id);
  });

  test('updates at once are done one after the other: the kernel holds what the status tells', async (t) => {
    const container = await (await created({ cpu_shares: 2n })).start();
    const limit = version === 1 ? 'memory/memory.limit_in_bytes' : 'memory/memory.max';
    await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        update(container, index % 2 ? { memory_limit_in_bytes: BigInt((20 + index) * MiB) } : { cpu_shares: 1024n }),
      ),
    );
    const { cpu_shares: shares, memory_limit_in_bytes: bytes } = (await told(container)) ?? {};
    t.is(read(container, limit), `${bytes}`);
    t.is(shares, 1024n);
    t.is(read(container, version === 1 ? 'cpu/cpu.shares' : 'cpu/cpu.weight'), version === 1 ? '1024' : '100');
  });

  test('an update while the container ends is done or refused, and its end stays recorded', async (t) => {
    const pod = await runPod(daemon());
    const runs = await Promise.all(Array.from({ length: 6 }, () => pod.run('usleep 30000; exit 3')));
    await Promise.all(
      runs.map(async (container) => {
        for (let shares = 100n; (await container.status()).state === 'CONTAINER_RUNNING'; shares += 1n)
          await update(container, { cpu_shares: shares }).catch((error: unknown) =>
            t.regex(String(error), /has ended|ENOENT|ENODEV|supervisor/),
          );
      }),
    );
    await daemon().killAndBoot();
    for (const container of runs) {
      const { state, exit_code } = await container.status();
      t.deepEqual([state, exit_code], ['CONTAINER_EXITED', 3]);
    }
  });

  test('a pod’s overhead and resources are refused by name, and its cgroup is left to the kubelet', async (t) => {
    const { client } = daemon();
    const resources = { cpu_shares: 700n, memory_limit_in_bytes: 4096n };
    const pod = await runPod(daemon(), { linux: { overhead: resources, resources } });
    const change = (request: object): Promise<unknown> =>
      client.UpdatePodSandboxResources({ pod_sandbox_id: pod.id, ...request });
    await change({ resources });
    await fails(t, change({ resources: { cpuset_cpus: 'x' } }), 'invalid-argument', /resources: cpuset_cpus/);
    await fails(t, change({ overhead: { oom_score_adj: 2000n } }), 'invalid-argument', /overhead: oom_score_adj/);
    const bad = { linux: { overhead: { cpu_quota: 3n } } };
    await fails(t, runPod(daemon(), bad), 'invalid-argument', /overhead: cpu_quota/);
    const unknown = { pod_sandbox_id: 'e'.repeat(64), resources };
    await fails(t, client.UpdatePodSandboxResources(unknown), 'not-found', /eeee/);
    const container = await pod.run(idle);
    const [directory, file] = version === 1 ? ['cpu/x', 'cpu.shares'] : ['cpu/x', 'cpu.weight'];
    const parent = join(path(container, directory), '../..', file);
    t.is(readFileSync(parent, 'utf8').trim(), version === 1 ? '1024' : '100');
    await pod.stop();
    await fails(t, change({ resources }), 'failed-precondition', /stopped, not ready/);
  });

  killedForMemory(daemon);
};

/** OOMKilled is what the kernel's memory killer has ended, and nothing else. */
const killedForMemory = (daemon: () => TestDaemon): void => {
  const linux = { resources: { memory_limit_in_bytes: BigInt(24 * MiB) } };

  test('A18: a main process that was killed for memory, and one that hands on its child’s 137, say OOMKilled', async (t) => {
    const pod = await runPod(daemon());
    const own = await pod.output(['eat', '200'], { linux });
    t.deepEqual([own.status.reason, own.status.exit_code], ['OOMKilled', 137]);
    const child = await pod.output('eat 200', { linux });
    t.deepEqual([child.status.reason, child.status.exit_code], ['OOMKilled', 137]);
  });

  test('A18: a main process that survives its child’s or an exec’s death for memory ends with its own reason', async (t) => {
    const pod = await runPod(daemon());
    const good = await pod.output('eat 200; exit 0', { linux });
    t.deepEqual([good.status.reason, good.status.exit_code], ['Completed', 0]);
    const bad = await pod.output('eat 200; exit 5', { linux });
    t.deepEqual([bad.status.reason, bad.status.exit_code], ['Error', 5]);
    const container = await pod.run(idle, { linux });
    t.is((await container.exec(['eat', '200'])).code, 137);
    t.is((await container.status()).state, 'CONTAINER_RUNNING');
    await container.stop(10);
    t.deepEqual([(await container.status()).reason, (await container.status()).exit_code], ['Completed', 0]);
  });

  test('a container that StopContainer kills is Error with 137, also when an exec was killed for memory before', async (t) => {
    const container = await (await runPod(daemon())).run(idle, { linux });
    t.is((await container.exec(['eat', '200'])).code, 137);
    await container.stop(0);
    const { reason, exit_code: code } = await container.status();
    t.deepEqual([reason, code], ['Error', 137]);
  });
};
