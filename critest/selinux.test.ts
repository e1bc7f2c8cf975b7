import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import type { Input, PodSandboxConfig, SELinuxOption } from '../api/generated/types.ts';
import { TestDaemon } from './harness/daemon.ts';
import { names } from './harness/images.ts';
import { runPod, type TestContainer, type TestPod } from './harness/pods.ts';
import { fails } from './harness/suite.ts';

// Nobody has a kernel with SELinux here. What the daemon decides and what becomes of volumes is shown in a world that
// looks to it as if there were one: the kernel itself is asked last, and says that it has none.
const process = 'system_u:system_r:container_t';
const file = 'system_u:object_r:container_file_t';
const lookAlike = (directory: string): string => `set -e
  mount --make-rprivate / # else what goes from one place goes from its copy
  mkdir -p ${directory}/cgroup ${directory}/etc/up ${directory}/etc/work
  mount --rbind /sys/fs/cgroup ${directory}/cgroup; umount --lazy --recursive /sys/fs/cgroup
  mount -t tmpfs none /sys/fs; mkdir /sys/fs/cgroup /sys/fs/selinux; echo 1 >/sys/fs/selinux/enforce
  mount --rbind ${directory}/cgroup /sys/fs/cgroup; umount --lazy --recursive ${directory}/cgroup
  mount -t tmpfs none ${directory}/etc; mkdir ${directory}/etc/up ${directory}/etc/work
  mount -t overlay -o lowerdir=/etc,upperdir=${directory}/etc/up,workdir=${directory}/etc/work none /etc
  mkdir -p /etc/selinux/targeted/contexts
  echo SELINUXTYPE=targeted >/etc/selinux/config
  printf 'process = "${process}:s0"\\nfile = "${file}:s0"\\n' >/etc/selinux/targeted/contexts/lxc_contexts
  mount --make-rshared /`;

let started: TestDaemon | undefined;
test.before('berthd starts where it sees SELinux', async () => {
  started = await TestDaemon.prepare({ config: { selinux: { enable: true } } });
  await started.world.sh(lookAlike(started.world.path('fake')));
  await started.boot();
  await started.import([names.busybox]);
});
test.after.always('berthd is taken down', async () => {
  await started?.[Symbol.asyncDispose]();
});
const running = (): TestDaemon => {
  if (started === undefined) throw new Error('the daemon of this file did not start');
  return started;
};

const namespace_options = { network: 'NODE', pid: 'CONTAINER' } as const;
const podWith = (daemon: TestDaemon, selinux_options?: Input<SELinuxOption>, privileged = false): Promise<TestPod> => {
  const security_context = { namespace_options, selinux_options, privileged };
  const config: Input<PodSandboxConfig> = { linux: { security_context } };
  return runPod(daemon, config);
};

const labelsOf = async (daemon: TestDaemon, { id }: TestContainer): Promise<readonly [string?, string?]> => {
  const { info } = await daemon.client.ContainerStatus({ container_id: id, verbose: true });
  const { runtimeSpec } = JSON.parse(info.info ?? '');
  return [runtimeSpec.process.selinuxLabel, runtimeSpec.linux.mountLabel];
};
const asking = (selinux_options: Input<SELinuxOption>, privileged = false) => ({
  linux: { security_context: { selinux_options, privileged } },
});

const labelOn = (path: string): string =>
  /SCHILY\.xattr\.security\.selinux=([\w:.,-]+)/.exec(
    execFileSync('tar', ['--xattrs', '--xattrs-include=*', '--format=pax', '--no-recursion', '-PcO', path]).toString(
      'latin1',
    ),
  )?.[1] ?? '';

test.serial(
  'SELinux: containers of a pod share its level, pods do not, and the level survives the daemon',
  async (t) => {
    const daemon = running();
    const [pod, other] = [await podWith(daemon), await podWith(daemon)];
    const [label, mount] = await labelsOf(daemon, await pod.create('true'));
    t.regex(label ?? '', new RegExp(`^${process}:s0:c\\d+,c\\d+$`));
    t.is(mount, label?.replace(process, file));
    t.not((await labelsOf(daemon, await other.create('true')))[0], label);
    await daemon.killAndBoot();
    t.deepEqual(await labelsOf(daemon, await pod.create('true')), [label, mount]);
    const asked = await pod.create('true', asking({ role: 'other_r', type: 'spc_t', level: 's0:c5' }));
    t.deepEqual(await labelsOf(daemon, asked), ['system_u:other_r:spc_t:s0:c5', `${file}:s0:c5`]);
    const withOptions = await podWith(daemon, { user: 'u_u', level: 's0:c1,c9' }, true);
    t.deepEqual(await labelsOf(daemon, await withOptions.create('true')), [
      'u_u:system_r:container_t:s0:c1,c9',
      'u_u:object_r:container_file_t:s0:c1,c9',
    ]);
    t.deepEqual(await labelsOf(daemon, await withOptions.create('true', asking({}, true))), [
      undefined,
      'u_u:object_r:container_file_t:s0:c1,c9',
    ]);
    const privileged = await withOptions.create('true', asking({}, true));
    // None of its own for the process: the root file system is what comes first.
    await t.throwsAsync(privileged.start(), {
      message: /mount overlay with context u_u:object_r:container_file_t:s0:c1,c9.*: EINVAL/,
    });
    const wrong = pod.create('true', asking({ level: 's0:x' }));
    await fails(t, wrong, 'invalid-argument', /selinux_options\.level: "s0:x"/);
    await reachesTheKernel(t, await pod.create('true'), label ?? '');
  },
);

/** The start gets as far as the kernel, which has no SELinux, with this label. */
const reachesTheKernel = async (t: ExecutionContext, container: TestContainer, label: string): Promise<void> => {
  await t.throwsAsync(container.start(), { message: new RegExp(`set security label ${label}: EINVAL`) });
  t.is((await container.status()).reason, 'StartError');
};

test.serial(
  'selinux_relabel gives the container’s label to the volume, to all below it, and to no other',
  async (t) => {
    const daemon = running();
    const pod = await podWith(daemon, { level: 's0:c3,c4' });
    const at = (name: string): string => daemon.world.path('logs', name);
    await mkdir(at('volume/below'), { recursive: true });
    await mkdir(at('kept'));
    for (const name of ['volume/file', 'volume/below/file', 'kept/file', 'outside']) await writeFile(at(name), '');
    await symlink('../outside', at('volume/link'));
    await symlink('volume', at('to-volume'));
    const mounts = [
      { container_path: '/a', host_path: at('to-volume'), selinux_relabel: true },
      { container_path: '/b', host_path: at('kept') },
    ];
    await pod.create('true', { mounts });
    const label = `${file}:s0:c3,c4`;
    for (const name of ['volume', 'volume/file', 'volume/below/file', 'volume/link'])
      t.is(labelOn(at(name)), label, name);
    for (const name of ['kept', 'kept/file', 'outside', 'to-volume']) t.is(labelOn(at(name)), '', name);
    for (const name of ['hosts', 'resolv.conf', 'hostname'])
      t.is(labelOn(daemon.world.path('state/sandboxes', pod.id, name)), label, name);
    const host = pod.create('true', {
      mounts: [{ container_path: '/h', host_path: '/usr/lib', selinux_relabel: true }],
    });
    await fails(t, host, 'invalid-argument', /selinux_relabel of \/usr\/lib/);
  },
);

test.serial(
  'a label that is asked for is refused where labels are off, for pods and containers; nothing is labelled',
  async (t) => {
    const daemon = running();
    await daemon.configure({ selinux: { enable: false } });
    await daemon.killAndBoot();
    const options = { type: 'container_t' };
    await fails(
      t,
      podWith(daemon, options),
      'failed-precondition',
      /selinux_options \(type container_t\): labels are off, see selinux\.enable/,
    );
    const pod = await podWith(daemon);
    await fails(t, pod.create('true', asking(options)), 'failed-precondition', /labels are off/);
    const volume = daemon.world.path('logs', 'another');
    await mkdir(volume);
    const mounts = [{ container_path: '/a', host_path: volume, selinux_relabel: true }];
    const { status, stdout } = await pod.output('echo ran', { mounts });
    t.deepEqual([status.exit_code, stdout, labelOn(volume)], [0, 'ran\n', '']);
  },
);
