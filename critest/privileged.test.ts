import test from 'ava';
import type { Input, LinuxContainerSecurityContext } from '../api/generated/types.ts';
import { idle, runPod, type TestContainer, type TestPod } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';

// What `privileged` means (LinuxContainerSecurityContext.privileged of the CRI): everything that confines is off.
const daemon = suiteDaemon();
type Security = Input<LinuxContainerSecurityContext>;

const namespace_options = { network: 'NODE', pid: 'CONTAINER' } as const;
const privilegedPod = (): Promise<TestPod> =>
  runPod(daemon(), { linux: { security_context: { privileged: true, namespace_options } } });
const run = async (context: Security, command = idle): Promise<TestContainer> =>
  (await privilegedPod()).run(command, { linux: { security_context: { namespace_options, ...context } } });
const output = async (command: string, context: Security): Promise<string> =>
  (await (await privilegedPod()).output(command, { linux: { security_context: { namespace_options, ...context } } }))
    .stdout;

/** All that the request could be confined by, and is not. */
const confined: Security = {
  privileged: true,
  capabilities: { drop_capabilities: ['ALL'] },
  seccomp: { profile_type: 'RuntimeDefault' },
  apparmor: { profile_type: 'RuntimeDefault' },
  selinux_options: { type: 'container_t' },
  masked_paths: ['/proc/version', '/sys/devices'],
  readonly_paths: ['/proc/sys', '/tmp'],
};

const statusLines = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(/^(Cap\w+|Seccomp|NoNewPrivs):\s*(\S+)$/gm)].map(([, key, value]) => [key, value]),
  );

test('a privileged container and its execs have all capabilities of the daemon and no filter, whatever else is asked', async (t) => {
  const container = await run(confined);
  const own = statusLines(await daemon().world.sh(`cat /proc/${daemon().pid}/status`)).CapBnd ?? '';
  const expected = {
    CapInh: '0'.repeat(16),
    CapPrm: own,
    CapEff: own,
    CapBnd: own,
    CapAmb: '0'.repeat(16),
    NoNewPrivs: '0',
    Seccomp: '0',
  };
  t.deepEqual(statusLines(await daemon().world.sh(`cat /proc/${await container.pid()}/status`)), expected);
  t.deepEqual(statusLines((await container.exec('cat /proc/self/status')).stdout), expected);
});

test('a user without root keeps no capabilities in a privileged container, but may gain all', async (t) => {
  const found = statusLines(await output('cat /proc/self/status', { privileged: true, run_as_user: { value: 1000n } }));
  t.is(found.CapEff, '0'.repeat(16));
  t.is(found.CapBnd, statusLines(await daemon().world.sh('cat /proc/self/status')).CapBnd);
});

test('in a privileged container nothing is masked, and /proc, /sys and the cgroups can be written to', async (t) => {
  const script = `cat /proc/version | grep -q . && echo version
    ls /sys/devices | grep -q . && echo devices
    touch /tmp/file && echo tmp
    (: >>/proc/sys/kernel/domainname) 2>/dev/null && echo sysctl
    cut -d' ' -f5,6 /proc/self/mountinfo | grep -E '^/(proc|sys|tmp)' | grep -E ' (.*,)?ro(,|$)' | cut -d' ' -f1`;
  t.is(await output(script, confined), 'version\ndevices\ntmp\nsysctl\n');
  const plain = await output(script, { ...confined, privileged: false, capabilities: undefined, apparmor: undefined });
  t.notRegex(plain, /^(version|devices|tmp|sysctl)$/m);
  for (const place of ['/proc/sys', '/sys', '/sys/fs/cgroup', '/tmp']) t.true(plain.split('\n').includes(place), place);
});

test('a privileged container has every device of the node, and may open them; another has the standard ones', async (t) => {
  // Name, type and numbers, of what is no directory that each container has of its own.
  const list = `find /dev \\( -path /dev/pts -o -path /dev/shm -o -path /dev/mqueue -o -path /dev/console -o -path /dev/ptmx \\) -prune \\
    -o \\( -type c -o -type b \\) -exec stat -c '%n %F %t:%T' {} + | sort`;
  const host = await daemon().world.sh(list);
  const inside = await output(list, { privileged: true });
  const standard = ['full', 'null', 'random', 'tty', 'urandom', 'zero'].map((name) => `/dev/${name}`);
  const missing = host.split('\n').filter((line) => line !== '' && !inside.includes(line));
  t.deepEqual(missing, []);
  const plain = (await output(list, {}))
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0]);
  t.deepEqual(plain, standard);
  // kmsg, which no rule of a container that is not privileged lets through.
  const open = 'mknod /log c 1 11; : </log && echo open';
  t.is(await output(open, { privileged: true }), 'open\n');
  t.is(await output(open, { capabilities: { add_capabilities: ['ALL'] } }), '');
});

test('the pod’s privilege gives its other containers nothing', async (t) => {
  const found = statusLines(await output('cat /proc/self/status', { seccomp: { profile_type: 'RuntimeDefault' } }));
  t.is(found.CapEff, '00000000a80425fb');
  t.is(found.Seccomp, '2');
});

test('a privileged container with a read-only root has one', async (t) => {
  t.is(await output('touch /new 2>/dev/null; echo $?', { privileged: true, readonly_rootfs: true }), '1\n');
});

test('no_new_privs holds in a privileged container that asks for it', async (t) => {
  const asked = { privileged: true, no_new_privs: true };
  t.is(statusLines(await output('cat /proc/self/status', asked)).NoNewPrivs, '1');
});
