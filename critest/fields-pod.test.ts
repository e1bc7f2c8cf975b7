// Pods: each field of the request that no other file looks at, and each field of the answers. docs/cri.tsv names them.
import { readFile } from 'node:fs/promises';
import test from 'ava';
import type { Input, LinuxSandboxSecurityContext, PodSandboxConfig } from '../api/generated/types.ts';
import { idle, podConfig, runPod, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

const daemon = suiteDaemon();
type Config = Input<PodSandboxConfig>;
type Security = Input<LinuxSandboxSecurityContext>;

const client = () => daemon().client;
const statusOf = (pod: TestPod) => client().PodSandboxStatus({ pod_sandbox_id: pod.id });
const infoOf = async (pod: TestPod) => {
  const { info } = await client().PodSandboxStatus({ pod_sandbox_id: pod.id, verbose: true });
  return JSON.parse(info.info ?? '');
};
const refused = (config: Config): Promise<unknown> => client().RunPodSandbox({ config: podConfig(daemon(), config) });
const secure = (security_context: Security): Config => ({ linux: { security_context } });
/** No CNI: quick where a test needs many. */
const onHost: Security = { namespace_options: { network: 'NODE', pid: 'CONTAINER' } };

test('the whole metadata of a pod comes back in status, list and verbose info, and goes to its containers and to CNI', async (t) => {
  const metadata = { name: 'web-é-0', uid: 'uid-of-its-own', namespace: 'other', attempt: 3 };
  const pod = await runPod(daemon(), { metadata, hostname: 'web' });
  t.deepEqual((await statusOf(pod)).status?.metadata, metadata);
  const { items } = await client().ListPodSandbox({ filter: { id: pod.id } });
  t.deepEqual(items[0]?.metadata, metadata);
  t.deepEqual((await infoOf(pod)).config.metadata, metadata);
  const container = await pod.create('true');
  const { world } = daemon();
  const spec = JSON.parse(await readFile(world.path('state/containers', container.id, 'config.json'), 'utf8'));
  t.like(spec.annotations, {
    'io.kubernetes.cri.sandbox-name': 'web-é-0',
    'io.kubernetes.cri.sandbox-namespace': 'other',
    'io.kubernetes.cri.sandbox-uid': 'uid-of-its-own',
  });
  const { args } = JSON.parse(await readFile(world.path('root/cni', `${pod.id}.json`), 'utf8'));
  t.is(
    args,
    `IgnoreUnknown=1;K8S_POD_NAMESPACE=other;K8S_POD_NAME=web-é-0;K8S_POD_INFRA_CONTAINER_ID=${pod.id};K8S_POD_UID=uid-of-its-own`,
  );
});

test('a runtime handler is told as it was asked for, and one that is not known is refused by its name', async (t) => {
  const config = podConfig(daemon(), secure(onHost));
  const { pod_sandbox_id } = await client().RunPodSandbox({ config, runtime_handler: 'berth' });
  const { status, info } = await client().PodSandboxStatus({ pod_sandbox_id, verbose: true });
  t.is(status?.runtime_handler, 'berth');
  t.like(JSON.parse(info.info ?? ''), { runtimeHandler: 'berth', runtimeType: 'berth' });
  t.is((await client().ListPodSandbox({})).items[0]?.runtime_handler, 'berth');
  const plain = await runPod(daemon(), secure(onHost));
  t.is((await statusOf(plain)).status?.runtime_handler, '');
  const unknown = client().RunPodSandbox({ config: podConfig(daemon()), runtime_handler: 'kata-é' });
  await fails(t, unknown, 'invalid-argument', /runtime_handler "kata-é" is not known/);
});

test('a prefix of an id names a pod in each call, one that two pods have is refused', async (t) => {
  const pods = new Map<string, TestPod>();
  for (;;) {
    const pod = await runPod(daemon(), secure(onHost));
    const first = pod.id.slice(0, 1);
    const other = pods.get(first);
    pods.set(first, pod);
    if (other === undefined) continue;
    const two = { pod_sandbox_id: first };
    await fails(t, client().PodSandboxStatus(two), 'invalid-argument', /start of 2 ids/);
    await fails(t, client().StopPodSandbox(two), 'invalid-argument', /start of 2 ids/);
    await fails(t, client().RemovePodSandbox(two), 'invalid-argument', /start of 2 ids/);
    const pod_sandbox_id = pod.id.slice(0, 20);
    t.is((await client().PodSandboxStatus({ pod_sandbox_id })).status?.id, pod.id);
    await client().StopPodSandbox({ pod_sandbox_id });
    t.is((await statusOf(pod)).status?.state, 'SANDBOX_NOTREADY');
    await client().RemovePodSandbox({ pod_sandbox_id });
    await fails(t, statusOf(pod), 'not-found', new RegExp(pod.id));
    break;
  }
});

test('a pod without a hostname has its name, as far as that can be one', async (t) => {
  const metadata = { name: 'Web_Server.0', uid: 'u', namespace: 'n', attempt: 0 };
  const pod = await runPod(daemon(), { metadata, hostname: '' });
  t.is((await pod.output('hostname; cat /etc/hostname; echo $HOSTNAME')).stdout, 'web-server.0\n'.repeat(3));
});

test('a pod on the host’s network cannot have a hostname or a port of its own', async (t) => {
  await fails(t, refused({ ...secure(onHost), hostname: 'other' }), 'invalid-argument', /hostname/);
  const port_mappings = [{ host_port: 8080, container_port: 80 }];
  await fails(t, refused({ ...secure(onHost), port_mappings }), 'invalid-argument', /port_mappings: host_port 8080/);
});

test('a pod without a DNS configuration has a copy of the host’s resolv.conf', async (t) => {
  const hosts = await daemon().world.sh('cat /etc/resolv.conf');
  for (const dns_config of [undefined, { servers: [], searches: [], options: [] }]) {
    const pod = await runPod(daemon(), { ...secure(onHost), ...(dns_config === undefined ? {} : { dns_config }) });
    t.is((await pod.output('cat /etc/resolv.conf')).stdout, hosts);
  }
});

test('a pod on the host’s network has a copy of the host’s hosts, which is its own', async (t) => {
  const hosts = await daemon().world.sh('cat /etc/hosts');
  const pod = await runPod(daemon(), secure(onHost));
  t.is((await pod.output('cat /etc/hosts; echo 10.0.0.1 mine >>/etc/hosts')).stdout, hosts);
  t.is((await pod.output('tail -1 /etc/hosts')).stdout, '10.0.0.1 mine\n');
  t.is(await daemon().world.sh('cat /etc/hosts'), hosts);
});

test('DNS servers, searches and options that are no such thing are refused by name', async (t) => {
  const dns = (dns_config: object): Promise<unknown> => refused({ dns_config });
  await fails(t, dns({ servers: ['dns.example'] }), 'invalid-argument', /dns_config\.servers.*dns\.example/);
  await fails(t, dns({ searches: ['a b'] }), 'invalid-argument', /dns_config\.searches.*a b/);
  await fails(t, dns({ options: ['ndots:1\nnameserver 6.6.6.6'] }), 'invalid-argument', /options.*control/);
});

const odd = {
  plain: 'value',
  empty: '',
  'ключ/é': 'значение ✓ 😀',
  spaces: '  two\tlines\n and a NUL \u0000 ',
  json: '{"a":["b"]}',
  long: 'x'.repeat(300_000),
};

test('labels and annotations of pods and containers come back byte for byte, also after a restart', async (t) => {
  const maps = { labels: odd, annotations: { ...odd, other: 'annotation' } };
  const pod = await runPod(daemon(), maps);
  const container = await pod.create('true', maps);
  for (const round of ['before', 'after']) {
    const { status } = await statusOf(pod);
    const [pods, containers] = await Promise.all([client().ListPodSandbox({}), client().ListContainers({})]);
    for (const told of [status, pods.items[0], await container.status(), containers.containers[0]]) {
      t.deepEqual(told?.labels, maps.labels, round);
      t.deepEqual(told?.annotations, maps.annotations, round);
    }
    if (round === 'before') await daemon().killAndBoot();
  }
  const found = await client().ListPodSandbox({ filter: { label_selector: { 'ключ/é': 'значение ✓ 😀' } } });
  t.is(found.items.length, 1);
});

test('a pod without any Linux configuration runs, with namespaces of its own', async (t) => {
  const { linux: _, ...config } = podConfig(daemon());
  const { pod_sandbox_id } = await client().RunPodSandbox({ config });
  const { status, info } = await client().PodSandboxStatus({ pod_sandbox_id, verbose: true });
  t.deepEqual(status?.linux, { namespaces: { options: undefined } });
  const { namespaces } = JSON.parse(info.info ?? '').runtimeSpec.linux;
  t.deepEqual(namespaces.map(({ type }: { type: string }) => type).sort(), ['ipc', 'network', 'pid', 'uts']);
});

test('Windows configurations are refused, for pods and for containers', async (t) => {
  const security_context = {
    run_as_username: 'ContainerUser',
    credential_spec: '{}',
    host_process: true,
    namespace_options: { network: 'NODE' as const },
  };
  await fails(t, refused({ windows: { security_context } }), 'unimplemented', /windows: this is Linux/);
  await fails(t, refused({ windows: {} }), 'unimplemented', /windows: this is Linux/);
  const pod = await runPod(daemon(), secure(onHost));
  const affinity_cpus = [{ cpu_mask: 1n, cpu_group: 2 }];
  const limits = {
    cpu_shares: 1n,
    cpu_count: 2n,
    cpu_maximum: 3n,
    memory_limit_in_bytes: 4n,
    rootfs_size_in_bytes: 5n,
  };
  const { namespace_options: _, ...container_context } = security_context;
  const windows = { resources: { ...limits, affinity_cpus }, security_context: container_context };
  await fails(t, pod.create('true', { windows }), 'unimplemented', /windows: this is Linux/);
});

test('a pod’s own security context holds for nothing that is not confined already', async (t) => {
  const pod = await runPod(
    daemon(),
    secure({
      namespace_options: { pid: 'POD' },
      run_as_user: { value: 1234n },
      run_as_group: { value: 2345n },
      readonly_rootfs: true,
      supplemental_groups: [3456n],
      supplemental_groups_policy: 'Strict',
      seccomp: { profile_type: 'Unconfined' },
      seccomp_profile_path: 'unconfined',
      apparmor: { profile_type: 'Unconfined' },
    }),
  );
  const { world } = daemon();
  const [init] = await daemon().pidsOf('berth-init');
  const status = await world.sh(`cat /proc/${init}/status`);
  const line = (name: string): string => new RegExp(`^${name}:[\\t ]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '?';
  t.notRegex(line('Uid'), /\b(0|1234)\b/);
  t.notRegex(line('Gid'), /\b(0|2345)\b/);
  t.is(line('Groups'), '');
  t.is(line('CapEff'), '0000000000000000');
  t.is(line('Seccomp'), '2');
  t.is(await world.sh(`find /proc/${init}/root/ -mindepth 1 ! -empty -o -mindepth 1 ! -type d`), '');
  t.regex(await world.sh(`cat /proc/${init}/mountinfo`), /^\S+ \S+ \S+ \S+ \/ ro\S* [^\n]*\n$/);
  t.is((await pod.output('id -u; touch /made && echo writable')).stdout, '0\nwritable\n', 'not the containers’');
});

test('the supplemental groups of a pod are those of every container, and its policy holds with theirs', async (t) => {
  const groups = async (pod: Security, container: object): Promise<string> => {
    const { stdout } = await (await runPod(daemon(), secure({ ...onHost, ...pod }))).output('id -G', {
      linux: { security_context: { run_as_user: { value: 1000n }, ...container } },
    });
    const sorted = stdout
      .trim()
      .split(' ')
      .map(Number)
      .sort((a, b) => a - b);
    return sorted.join(' ');
  };
  t.is(await groups({ supplemental_groups: [77n] }, { supplemental_groups: [88n] }), '77 88 1000 50000');
  const strict = { supplemental_groups: [77n], supplemental_groups_policy: 'Strict' } as const;
  t.is(await groups(strict, { supplemental_groups: [88n] }), '77 88 1000');
  t.is(await groups({ supplemental_groups: [77n] }, { supplemental_groups_policy: 'Strict' }), '77 1000');
});

test('a pod’s security context that cannot be is refused and named', async (t) => {
  const bad = (context: Security): Promise<unknown> => refused(secure(context));
  await fails(t, bad({ run_as_group: { value: 5n } }), 'invalid-argument', /run_as_group: a group without run_as_user/);
  await fails(t, bad({ run_as_user: { value: -1n } }), 'invalid-argument', /run_as_user/);
  await fails(t, bad({ supplemental_groups: [1n << 40n] }), 'invalid-argument', /supplemental_groups/);
  await fails(t, bad({ seccomp: { profile_type: 'Localhost' } }), 'invalid-argument', /seccomp/);
  await fails(t, bad({ seccomp_profile_path: 'nonsense' }), 'invalid-argument', /seccomp_profile_path/);
  await fails(t, bad({ apparmor: { profile_type: 'Localhost' } }), 'invalid-argument', /apparmor/);
  t.deepEqual((await client().ListPodSandbox({})).items, []);
});

test('a privileged container is refused in a pod that is not privileged', async (t) => {
  const pod = await runPod(daemon(), secure(onHost));
  const linux = { security_context: { privileged: true } };
  await fails(t, pod.create('true', { linux }), 'invalid-argument', /privileged: the pod is not privileged/);
  const may = await runPod(daemon(), secure({ ...onHost, privileged: true }));
  const capabilities = async (extra: object): Promise<bigint> =>
    BigInt(`0x${(await may.output('grep CapEff /proc/self/status | cut -f2', extra)).stdout.trim()}`);
  const own = BigInt(`0x${await daemon().world.sh('grep CapBnd /proc/self/status | cut -f2')}`);
  t.is(await capabilities({ linux }), own);
  t.not(await capabilities({}), own, 'the pod alone makes no container privileged');
});

const kinds = ['net', 'ipc', 'uts', 'pid'] as const;

test('the status tells the namespaces as they were asked for, and the pod has them', async (t) => {
  const links = (words: string): Promise<string[]> =>
    daemon()
      .world.sh(words)
      .then((text) => text.trim().split('\n'));
  const hosts = await links(kinds.map((kind) => `readlink /proc/self/ns/${kind}`).join(';'));
  const cases = [
    [{ network: 'POD', pid: 'POD', ipc: 'POD' }, []],
    [{ network: 'NODE', pid: 'CONTAINER', ipc: 'NODE' }, ['net', 'ipc', 'uts']],
    [{ network: 'POD', pid: 'NODE', ipc: 'NODE' }, ['ipc', 'pid']],
  ] as const;
  for (const [options, shared] of cases) {
    const pod = await runPod(daemon(), secure({ namespace_options: options }));
    const { status } = await statusOf(pod);
    t.like(status?.linux?.namespaces?.options, options);
    const linux = { security_context: { namespace_options: options } };
    const container = await pod.run(idle, { linux });
    const pid = await container.pid();
    const own = await links(kinds.map((kind) => `readlink /proc/${pid}/ns/${kind}`).join(';'));
    t.deepEqual(
      kinds.filter((_, at) => own[at] === hosts[at]),
      shared,
    );
  }
  const targeted = { namespace_options: { pid: 'TARGET', target_id: 'x' } } as const;
  await fails(t, refused(secure(targeted)), 'invalid-argument', /TARGET is for containers/);
  await fails(t, refused(secure({ namespace_options: { network: 'CONTAINER' } })), 'invalid-argument', /network/);
  await fails(t, refused(secure({ namespace_options: { ipc: 'CONTAINER' } })), 'invalid-argument', /ipc/);
});

interface Link {
  readonly IPConfigs: readonly [{ readonly IP: string; readonly Gateway: string }];
  readonly Mac: string;
  readonly Sandbox: string;
}

test('the verbose status of a pod has the keys that scripts read from containerd, and the paths of its namespaces', async (t) => {
  const pod = await runPod(daemon(), { ...secure({ namespace_options: { pid: 'POD' } }), labels: { app: 'a' } });
  const { status } = await statusOf(pod);
  const info = await infoOf(pod);
  t.like(info, {
    sandboxID: pod.id,
    pid: 0,
    processStatus: 'running',
    netNamespaceClosed: false,
    config: { labels: { app: 'a' }, hostname: pod.config.hostname },
  });
  t.is(info.runtimeSpec.hostname, pod.config.hostname);
  const links = Object.entries<Link>(info.cniResult.Interfaces);
  const [, own] = links.find(([name]) => name === 'eth0') ?? t.fail();
  const [{ IP, Gateway }] = own.IPConfigs;
  t.is(IP, status?.network?.ip ?? '');
  t.regex(await daemon().world.sh('ip -o -4 addr'), new RegExp(`inet ${Gateway}/`), 'an address of the bridge');
  t.regex(
    await daemon().world.sh(`nsenter --net=${own.Sandbox} ip -o link show eth0`),
    new RegExp(`ether ${own.Mac} `),
  );
  const [veth, { Mac }] = links.find(([name]) => name.startsWith('veth')) ?? t.fail();
  t.regex(await daemon().world.sh(`ip -o link show ${veth}`), new RegExp(`ether ${Mac} `), 'the node’s end of it');
  t.is(info.sandboxMetadata.Metadata.IP, status?.network?.ip);
  t.is(info.sandboxMetadata.Metadata.ID, pod.id);
  const paths = new Map<string, string>(
    info.runtimeSpec.linux.namespaces.map(({ type, path }: { type: string; path: string }) => [type, path]),
  );
  t.deepEqual([...paths.keys()].sort(), ['ipc', 'network', 'pid', 'uts']);
  t.is(info.sandboxMetadata.Metadata.NetNSPath, paths.get('network'));
  const seen = await daemon().world.sh(`nsenter --net=${paths.get('network')} ip -o -4 addr show eth0`);
  t.regex(seen, new RegExp(`inet ${status?.network?.ip}/`));
  await pod.stop();
  t.like(await infoOf(pod), { processStatus: 'deleted', netNamespaceClosed: true, cniResult: null });
});

test('on a kernel without SELinux labels are told of in the log, and what asks for them runs', async (t) => {
  const selinux_options = { user: 'a_u', role: 'b_r', type: 'c_t', level: 's0:c7' };
  const pod = await runPod(daemon(), secure({ ...onHost, selinux_options }));
  const host_path = daemon().world.path('logs');
  const { stdout } = await pod.output('echo ran; cat /proc/self/attr/current 2>/dev/null', {
    linux: { security_context: { selinux_options: { ...selinux_options, type: 'd_t' } } },
    mounts: [{ host_path, container_path: '/data', selinux_relabel: true }],
  });
  t.regex(stdout, /^ran\n/);
  t.notRegex(stdout, /c7/);
  const log = await daemon().log();
  for (const type of ['c_t', 'd_t'])
    t.true(
      log.includes(
        `selinux_options (user a_u, role b_r, type ${type}, level s0:c7) have no effect: this kernel has no SELinux`,
      ),
    );
});

test('overhead and resources of a pod are told as they were made or updated last, also after a restart, and no cgroup is changed', async (t) => {
  const parent = `/${daemon().world.cgroup}/limits-of-a-pod`;
  const overhead = { cpu_shares: 10n, memory_limit_in_bytes: 8n << 20n };
  const resources = { cpu_quota: 20_000n, cpu_period: 100_000n };
  const linux = { ...secure(onHost).linux, cgroup_parent: parent, overhead, resources };
  const pod = await runPod(daemon(), { linux });
  const container = await pod.run(idle);
  const told = async (): Promise<object> => {
    const info = await infoOf(pod);
    return { overhead: info.overhead, resources: info.resources };
  };
  const made = { cpu_shares: 10, memory_limit_in_bytes: 8 << 20 };
  t.deepEqual(await told(), { overhead: made, resources: { cpu_quota: 20_000, cpu_period: 100_000 } });
  const update = (limits: object, pod_sandbox_id = pod.id): Promise<unknown> =>
    client().UpdatePodSandboxResources({ pod_sandbox_id, ...limits });
  await update({ resources: { memory_limit_in_bytes: 64n << 20n } }, pod.id.slice(0, 20));
  t.deepEqual(await told(), { overhead: made, resources: { memory_limit_in_bytes: 64 << 20 } });
  await update({ overhead: { cpu_shares: 20n } });
  await daemon().killAndBoot();
  t.deepEqual(await told(), { overhead: { cpu_shares: 20 }, resources: { memory_limit_in_bytes: 64 << 20 } });
  // The pod's own cgroup is the kubelet's: it has set it before it tells.
  const place = (await daemon().world.sh(`grep -E ':memory:|^0::/.' /proc/${await container.pid()}/cgroup`)).trim();
  t.true(place.endsWith(`${parent}/${container.id}`), place);
  const root = place.includes(':memory:') ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup';
  const limit = await daemon().world.sh(
    `cat ${root}${parent}/memory.max ${root}${parent}/memory.limit_in_bytes 2>/dev/null || true`,
  );
  t.regex(limit, /^(max|9223372036854771712)\n$/);
  await fails(t, update({ overhead: { oom_score_adj: 5000n } }), 'invalid-argument', /overhead: .*oom_score_adj/);
  await fails(t, update({ resources: { cpu_quota: 1n } }), 'invalid-argument', /resources: .*cpu_quota/);
  await fails(t, update({}, 'f'.repeat(64)), 'not-found', /ffff/);
  await pod.stop();
  await fails(t, update({ overhead }), 'failed-precondition', /stopped, not ready/);
});

test('the status of a pod has its containers, the newest first, each as ContainerStatus tells it, and the time', async (t) => {
  const pod = await runPod(daemon(), secure(onHost));
  const ended = await pod.run('exit 3');
  await ended.exited();
  const running = await pod.run(idle);
  const created = await pod.create('true');
  const before = BigInt(Date.now()) * 1_000_000n;
  const { containers_statuses, timestamp } = await statusOf(pod);
  // One is whole milliseconds, the other is not.
  t.true(timestamp >= before && timestamp <= BigInt(Date.now() + 2) * 1_000_000n);
  const own = await Promise.all([created, running, ended].map((container) => container.status()));
  t.deepEqual(containers_statuses, own);
});

test('the list has every pod as its status tells it', async (t) => {
  const one = await runPod(daemon(), { ...secure(onHost), labels: { a: 'b' }, annotations: { c: 'd' } });
  const two = await runPod(daemon(), secure(onHost));
  await two.stop();
  const { items } = await client().ListPodSandbox({});
  t.is(items.length, 2);
  const now = BigInt(Date.now()) * 1_000_000n;
  t.true(items.every(({ created_at }) => created_at <= now && created_at > now - 60_000_000_000n));
  for (const pod of [one, two]) {
    const { status } = await statusOf(pod);
    if (status === undefined) return t.fail();
    const { network: _, linux: __, ...told } = status;
    t.deepEqual(
      items.find(({ id }) => id === pod.id),
      told,
    );
  }
});
