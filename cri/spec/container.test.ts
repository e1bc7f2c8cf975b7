import test from 'ava';
import { compilePlan } from '../../shim/compile.ts';
import { featuresOf } from '../../shim/features.ts';
import { containerCgroup } from '../cgroup/container.ts';
import { detect } from '../cgroup/mode.ts';
import { type ContainerInput, containerSpec } from './container.ts';
import type { ContainerConfig, PodSandboxConfig, SecurityContext } from './types.ts';

const metadata = { name: 'app', attempt: 1 };
const pod: PodSandboxConfig = {
  metadata: { name: 'web-0', uid: 'u-1', namespace: 'default' },
  linux: { security_context: { privileged: true } },
};
const base: Omit<ContainerInput, 'config'> = {
  id: 'a'.repeat(64),
  sandbox: {
    id: 'b'.repeat(64),
    config: pod,
    hostname: 'web-0',
    namespaces: { network: 'pod', ipc: 'pod', uts: 'pod', pid: 'container' },
    paths: { network: '/n', ipc: '/i', uts: '/u' },
    selinuxLevel: 's0:c1,c2',
    files: { hostname: '/s/hostname', hosts: '/s/hosts', resolvConf: '/s/resolv.conf', shm: '/s/shm' },
  },
  image: { Cmd: ['/bin/app'], User: 'app', StopSignal: 'SIGQUIT', Env: ['A=1'], WorkingDir: '/srv' },
  passwd: Buffer.from('app:x:100:101::/home/app:/bin/sh\n'),
  group: Buffer.from('app:x:101:\nlog:x:7:app\n'),
  runtime: { pids: 1000, nofileSoft: 1024, nofileHard: 4096 },
  host: {
    appArmor: false,
    selinux: { kind: 'absent' },
    recursiveReadOnly: true,
    devices: [{ path: '/dev/kmsg', type: 'c', major: 1, minor: 11, mode: 0o600, uid: 0, gid: 0 }],
  },
  cgroupsPath: `/berth/${'a'.repeat(64)}`,
};
const make = (config: ContainerConfig = {}, more: Partial<ContainerInput> = {}) =>
  containerSpec({ ...base, config: { metadata, ...config }, ...more });
const secure = (security_context: SecurityContext): ContainerConfig => ({ linux: { security_context } });

test('a container without options has what its image says and nothing more', (t) => {
  const { spec, user, stopSignal, seccomp, privileged } = make();
  t.deepEqual(spec.process.user, { uid: 100, gid: 101, additionalGids: [101, 7] });
  t.deepEqual(user, { uid: 100n, gid: 101n, supplemental_groups: [101n, 7n] });
  t.deepEqual([spec.process.args, spec.process.cwd, spec.process.terminal], [['/bin/app'], '/srv', false]);
  t.deepEqual(spec.process.env.slice(1), ['HOSTNAME=web-0', 'HOME=/home/app', 'A=1']);
  t.deepEqual([stopSignal, seccomp, privileged], [3, { kind: 'unconfined' }, false]);
  t.deepEqual(spec.root, { path: 'rootfs', readonly: false });
  t.deepEqual(spec.process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 4096 }]);
  t.deepEqual(spec.linux.resources.pids, { limit: 1000 });
  t.false('oomScoreAdj' in spec.process);
});

test('a privileged container has all devices, no masks and a writable /sys', (t) => {
  const { spec, privileged } = make(
    secure({ privileged: true, masked_paths: ['/proc/kcore'], readonly_paths: ['/proc/sys'] }),
  );
  t.true(privileged);
  t.deepEqual([spec.linux.maskedPaths, spec.linux.readonlyPaths], [[], []]);
  t.true(spec.linux.devices.some(({ path }) => path === '/dev/kmsg'));
  t.true(spec.mounts.find(({ destination }) => destination === '/sys')?.options.includes('rw'));
});

test('a privileged container in a pod that is not is refused', (t) => {
  const sandbox = { ...base.sandbox, config: { metadata: pod.metadata } };
  t.throws(() => make(secure({ privileged: true }), { sandbox }), { message: /the pod is not privileged/ });
});

test('the security context reaches the spec', (t) => {
  const { spec } = make(
    secure({ readonly_rootfs: true, no_new_privs: true, masked_paths: ['/proc/kcore'], readonly_paths: ['/proc/sys'] }),
  );
  t.true(spec.root.readonly && spec.process.noNewPrivileges);
  t.deepEqual([spec.linux.maskedPaths, spec.linux.readonlyPaths], [['/proc/kcore'], ['/proc/sys']]);
});

// CVE-2023-6476, CVE-2024-3154, CVE-2026-53488
test('annotations and labels of request and image change nothing in the spec', (t) => {
  const annotations = {
    'io.kubernetes.cri.sandbox-id': 'evil',
    'run.oci.handler': 'x',
    'io.kubernetes.cri-o.Devices': '/dev/sda',
  };
  t.deepEqual(make({ annotations, labels: annotations }).spec, make().spec);
});

test('the spec is JSON and comes back the same', (t) => {
  const { spec } = make({ linux: { resources: { memory_limit_in_bytes: 9223372036854771712n, oom_score_adj: 5n } } });
  t.deepEqual(JSON.parse(JSON.stringify(spec)), spec);
});

// CVE-2022-4318
test('a control byte in what reaches a file of the container is refused', (t) => {
  t.throws(() => make({ working_dir: '/a\nb' }), { code: 'invalid-argument' });
  t.throws(() => make(secure({ run_as_username: 'a\nroot:x:0:0' })), { code: 'invalid-argument' });
  t.throws(() => make({ mounts: [{ container_path: '/a\nb', host_path: '/h' }] }), { code: 'invalid-argument' });
});

test('what is not served is refused by name', (t) => {
  t.throws(() => make({ CDI_devices: [{ name: 'vendor.com/gpu=0' }] }), {
    code: 'unimplemented',
    message: /CDI_devices/,
  });
  t.throws(() => make({ windows: {} }), { code: 'unimplemented', message: /windows/ });
  t.throws(() => make(secure({ apparmor: {} })), { message: /apparmor/ });
});

test('a label that has no effect here is told of', (t) => {
  t.regex(make(secure({ selinux_options: { type: 'spc_t' } })).notices.join(), /spc_t/);
});

test('a container needs a name', (t) => {
  t.throws(() => make({ metadata: { name: '' } }), { message: /metadata\.name/ });
  t.throws(() => make({ metadata: { name: 'a/b' } }), { message: /metadata\.name/ });
});

for (const [name, config] of [
  ['plain', {}],
  ['privileged', secure({ privileged: true })],
  ['terminal', { tty: true, mounts: [{ container_path: '/m', host_path: '/h', readonly: true }] }],
  [
    'own /dev',
    { mounts: [{ container_path: '/dev', host_path: '/dev', propagation: 'PROPAGATION_HOST_TO_CONTAINER' }] },
  ],
] as const)
  test(`the compiler of shim/ understands the spec of a ${name} container`, async (t) => {
    const { spec } = make(config);
    const cgroup = containerCgroup(await detect(), spec.linux.cgroupsPath, spec.linux.resources);
    const root = { lowers: ['/l'], upper: '/u', work: '/w', volatile: true };
    const plan = compilePlan({ spec, root, cgroup, stdin: false, stdinOnce: false, features: featuresOf(0) });
    t.is(plan.toString('latin1', 0, 4), 'BPLN');
  });
