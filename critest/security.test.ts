import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { Capability, Input, LinuxContainerSecurityContext } from '../api/generated/types.ts';
import { names } from './harness/images.ts';
import { idle, runPod, type TestContainer } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { buildTree } from './harness/tree.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({
  config: { limits: { nofile_soft: 1000, nofile_hard: 2000 } },
  images: [names.busybox, names.linkedProc, names.linkedDev, names.maskedLink],
});
type Security = Input<LinuxContainerSecurityContext>;

const output = async (command: string | string[], security_context: Security = {}): Promise<string> =>
  (await (await runPod(daemon())).output(command, { linux: { security_context } })).stdout;
const statusOf = (process: string | number): string =>
  `grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/${process}/status | tr -d "\\t"`;
const status = statusOf('self');
const fields = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .trim()
      .split('\n')
      .map((line) => line.split(':') as [string, string]),
  );
const fdsWithin = '0\n1\n2\n';

test('runc 2024-21626: a container and an exec have the descriptors 0, 1 and 2, and no other', async (t) => {
  const pod = await runPod(daemon());
  t.is((await pod.output(['fds'])).stdout, fdsWithin);
  t.is((await (await pod.run(idle)).exec(['fds'])).stdout, fdsWithin);
});

test("Docker's default capabilities, nothing inheritable and nothing ambient, the same in an exec", async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(`${status}; ${idle}`);
  const inExec = (await container.exec(status)).stdout;
  await until('it has told', async () => (await container.text()).length >= inExec.length);
  const found = fields(await container.text());
  t.is(await container.text(), inExec);
  // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod,
  // audit_write, setfcap
  const expected = '00000000a80425fb';
  t.is(found.CapBnd, expected);
  t.is(found.CapEff, expected);
  t.is(found.CapPrm, expected);
  t.is(found.CapInh, '0000000000000000');
  t.is(found.CapAmb, '0000000000000000');
});

test('capabilities are added and dropped, with and without their prefix, and ALL', async (t) => {
  const caps = async (capabilities: object): Promise<string | undefined> =>
    fields(await output(status, { capabilities })).CapEff;
  t.is(await caps({ drop_capabilities: ['ALL'] }), '0000000000000000');
  t.is(await caps({ drop_capabilities: ['ALL'], add_capabilities: ['NET_ADMIN'] }), '0000000000001000');
  t.is(await caps({ drop_capabilities: ['ALL'], add_capabilities: ['CAP_NET_ADMIN'] }), '0000000000001000');
  t.is(await caps({ drop_capabilities: ['CHOWN'] }), '00000000a80425fa');
  const pod = await runPod(daemon());
  const bad = pod.create('true', { linux: { security_context: { capabilities: { add_capabilities: ['NONSENSE'] } } } });
  await fails(t, bad, 'invalid-argument', /NONSENSE/);
});

const none = '0000000000000000';
const added: readonly Input<Capability>[] = [
  {},
  { add_capabilities: ['NET_ADMIN'] },
  { add_capabilities: ['ALL'] },
  { drop_capabilities: ['ALL'] },
];
const profiles = ['Unconfined', 'RuntimeDefault'] as const;
const plainProfile = ['Unconfined'] as const;
const bindService = '0000000000000400';

for (const [who, user] of [
  ['root', {}],
  ['uid 1000', { run_as_user: { value: 1000n } }],
] as const)
  for (const privileged of [false, true])
    test(`runc 2022-29162, crun 2022-27650: ${who}${privileged ? ', privileged' : ''}: CapInh is CapAmb, and that is what add_ambient_capabilities asks for, in the container and in an exec`, async (t) => {
      const pod = await runPod(daemon(), { linux: { security_context: { privileged } } });
      for (const some of added)
        for (const ambient of [false, true])
          for (const profile_type of privileged ? plainProfile : profiles) {
            const extra = ambient ? { add_ambient_capabilities: ['NET_BIND_SERVICE'] } : {};
            const asked = { ...user, privileged, seccomp: { profile_type }, capabilities: { ...some, ...extra } };
            const container = await pod.run(['sleep', '86400'], { linux: { security_context: asked } });
            const inside = fields(await daemon().world.sh(`${statusOf(await container.pid())}`));
            const what = JSON.stringify([some, ambient, profile_type]);
            t.deepEqual(fields((await container.exec(status)).stdout), inside, what);
            t.is(inside.CapAmb, ambient ? bindService : none, what);
            t.is(inside.CapInh, inside.CapAmb, what);
            t.is(inside.CapPrm, inside.CapEff, what);
            t.is(inside.CapEff, who === 'root' ? inside.CapBnd : inside.CapAmb, what);
            await container.remove();
          }
    });

test('runc 2022-29162: the same in an exec that joins the pid namespace of its pod', async (t) => {
  const namespace_options = { pid: 'POD' } as const;
  const pod = await runPod(daemon(), { linux: { security_context: { namespace_options } } });
  for (const profile_type of ['Unconfined', 'RuntimeDefault'] as const) {
    const capabilities = { add_ambient_capabilities: ['NET_BIND_SERVICE'] };
    for (const asked of [{}, { run_as_user: { value: 1000n } }, { run_as_user: { value: 1000n }, capabilities }]) {
      const security_context = { namespace_options, seccomp: { profile_type }, ...asked };
      const container = await pod.run(['sleep', '86400'], { linux: { security_context } });
      const inside = fields(await daemon().world.sh(`${statusOf(await container.pid())}`));
      t.deepEqual(fields((await container.exec(status)).stdout), inside);
      t.is(inside.CapAmb, 'capabilities' in asked ? bindService : none);
      t.is(inside.CapInh, inside.CapAmb);
    }
  }
});

test('no_new_privs stops a setuid program, without it the program is root', async (t) => {
  const user = { run_as_user: { value: 1000n } };
  t.is(await output(['whoami-setuid'], { ...user, no_new_privs: true }), '1000\n');
  t.is(await output(['whoami-setuid'], user), '0\n');
  t.is(fields(await output(status, { no_new_privs: true })).NoNewPrivs, '1');
});

test('a read-only root cannot be written to, /dev/shm and /tmp mounts can', async (t) => {
  const script = 'echo a >/new; echo $?; echo a >/dev/shm/new; echo $?; touch /etc/hosts; echo $?';
  const [root, shm] = (await output(script, { readonly_rootfs: true })).trim().split('\n');
  t.deepEqual([root, shm], ['1', '0']);
});

test('masked paths show nothing, read-only paths cannot be written', async (t) => {
  const masked_paths = ['/proc/interrupts', '/sys/firmware', '/etc/passwd', '/does/not/exist'];
  const script =
    'wc -c </proc/interrupts; ls -A /sys/firmware | wc -l; wc -c </etc/passwd; echo 1 >/proc/sys/kernel/domainname';
  const pod = await runPod(daemon());
  const { stdout, stderr } = await pod.output(script, {
    linux: { security_context: { masked_paths, readonly_paths: ['/proc/sys'] } },
  });
  t.is(stdout, '0\n0\n0\n');
  t.regex(stderr, /Read-only/);
});

test('runc 2023-25809: cgroup, /sys and /proc/sys are read-only in a container that is not privileged', async (t) => {
  const script = `for f in /proc/sys/net/ipv4/ip_forward /sys/kernel/profiling; do (echo 1 >$f) 2>/dev/null && echo wrote $f; done
    for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/made 2>/dev/null && echo made $d; done; ls /sys/fs/cgroup | wc -l`;
  const out = await output(script, { readonly_paths: ['/proc/sys'] });
  t.regex(out, /^[1-9]\d*\n$/);
});

test('the runtime default seccomp profile refuses what is dangerous, and answers ENOSYS for what it does not know', async (t) => {
  const pod = await runPod(daemon());
  const seccomp = { profile_type: 'RuntimeDefault' } as const;
  const { stdout } = await pod.output(['syscalls'], { linux: { security_context: { seccomp } } });
  const errors = new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
  for (const name of [
    'add_key',
    'bpf',
    'kexec_load',
    'keyctl',
    'mount',
    'open_by_handle_at',
    'perf_event_open',
    'setns',
    'swapon',
    'unshare',
    'userfaultfd',
  ])
    t.true(['1', '38'].includes(errors.get(name) ?? ''), `${name} ${errors.get(name)}`);
  t.is(errors.get('unknown'), '38');
  t.is(errors.get('getpid'), '0');
  t.is(fields((await pod.output(status, { linux: { security_context: { seccomp } } })).stdout).Seccomp, '2');
});

test('a missing seccomp message means unconfined, and so does Unconfined', async (t) => {
  t.is(fields(await output(status)).Seccomp, '0');
  t.is(fields(await output(status, { seccomp: { profile_type: 'Unconfined' } })).Seccomp, '0');
});

const localhost = (localhost_ref: string): Security => ({ seccomp: { profile_type: 'Localhost', localhost_ref } });

test('a localhost profile holds in the container and in its execs', async (t) => {
  const path = daemon().world.path('logs', 'no-chmod.json');
  const syscalls = [{ names: ['chmod', 'fchmod', 'fchmodat', 'fchmodat2'], action: 'SCMP_ACT_ERRNO', errnoRet: 13 }];
  await writeFile(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls }));
  const script = `chmod 700 /tmp 2>&1; grep Seccomp: /proc/self/status`;
  const container = await (await runPod(daemon())).run(`${script}; ${idle}`, {
    linux: { security_context: localhost(path) },
  });
  const { stdout } = await container.exec(script);
  t.regex(stdout, /Permission denied\nSeccomp:\t2\n$/);
  await until('it has told', async () => (await container.text()).length >= stdout.length);
  t.is(await container.text(), stdout);
});

test('a localhost profile that is not there or not one is refused, and names its path', async (t) => {
  const path = daemon().world.path('logs', 'broken.json');
  await writeFile(path, '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["chmod"],"action":"SCMP_ACT_NONE"}]}');
  const pod = await runPod(daemon());
  const create = (ref: string) => pod.create('true', { linux: { security_context: localhost(ref) } });
  await fails(t, create('/does/not/exist.json'), 'invalid-argument', /\/does\/not\/exist\.json: there is no such file/);
  await fails(t, create(path), 'invalid-argument', /SCMP_ACT_NONE/);
  await fails(t, create('relative.json'), 'invalid-argument', /relative\.json/);
});

test('the default profile lets a container with the capability do what it is for', async (t) => {
  const security_context: Security = {
    seccomp: { profile_type: 'RuntimeDefault' },
    capabilities: { add_capabilities: ['SYS_ADMIN'] },
  };
  const errors = await output(['syscalls'], security_context);
  t.notRegex(errors, /^mount (1|38)$/m);
});

test("C: Node's raised nofile limit is inherited by nobody: init and exec have the configured ones", async (t) => {
  const container = await (await runPod(daemon())).run(`ulimit -Sn; ulimit -Hn; ${idle}`);
  const inExec = (await container.exec('ulimit -Sn; ulimit -Hn')).stdout;
  await until('it has written', async () => (await container.lines()).length === 2);
  t.is(await container.text(), '1000\n2000\n');
  t.is(inExec, '1000\n2000\n');
});

const cgroupsOf = async (container: TestContainer): Promise<string[]> =>
  (await daemon().world.sh(`cat /proc/${await container.pid()}/cgroup`)).trim().split('\n');

test('containerd 2025-47291: /proc/PID/cgroup has the container in the cgroup that the pod names', async (t) => {
  const parent = `/${daemon().world.cgroup}/pod-cgroup`;
  const pod = await runPod(daemon(), { linux: { cgroup_parent: parent } });
  const container = await pod.run(idle);
  const paths = (await cgroupsOf(container)).map((line) => line.split(':')[2] ?? '');
  const own = paths.filter((path) => path.includes(container.id));
  t.true(own.length > 0);
  for (const path of own) t.is(path, `${parent}/${container.id}`);
  const supervisors = await daemon().pidsOf('berth-shim');
  for (const pid of supervisors)
    t.notRegex(await daemon().world.sh(`cat /proc/${pid}/cgroup`), new RegExp(container.id));
});

test('an exec is in the cgroup of its container', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const call = container.exec('sleep 321.5');
  const pid = await until('it runs', async () => {
    const found = await daemon().world.sh('ps -e -o pid=,args= | grep "[s]leep 321.5$" | grep -v "sh -c" || true');
    return found.trim().split(/\s+/)[0] || undefined;
  });
  const cgroups = await daemon().world.sh(`cat /proc/${pid}/cgroup`);
  t.deepEqual(cgroups.trim().split('\n'), await cgroupsOf(container));
  await daemon().world.sh(`kill ${pid}`);
  await call;
});

test('memory, cpu and pids limits are in the cgroup', async (t) => {
  const pod = await runPod(daemon());
  const resources = { memory_limit_in_bytes: 64 << 20, cpu_quota: 20_000, cpu_period: 50_000, cpu_shares: 512 };
  const container = await pod.run(idle, { linux: { resources } });
  const at = (controller: string, file: string): Promise<string> =>
    readFile(`/sys/fs/cgroup/${controller}/${daemon().world.cgroup}/${container.id}/${file}`, 'utf8').then((text) =>
      text.trim(),
    );
  t.is(await at('memory', 'memory.limit_in_bytes'), `${64 << 20}`);
  t.is(await at('cpu', 'cpu.cfs_quota_us'), '20000');
  t.is(await at('cpu', 'cpu.cfs_period_us'), '50000');
  t.is(await at('cpu', 'cpu.shares'), '512');
  const { resources: told } = await container.status();
  t.is(told?.linux?.memory_limit_in_bytes, BigInt(64 << 20));
});

test('A18: a container that was killed for its memory says OOMKilled and 137, and the others live on', async (t) => {
  const pod = await runPod(daemon());
  const other = await pod.run(idle);
  const resources = { memory_limit_in_bytes: 16 << 20 };
  const { status: ended } = await pod.output(['eat', '200'], { linux: { resources } });
  t.deepEqual([ended.reason, ended.exit_code], ['OOMKilled', 137]);
  t.is((await other.status()).state, 'CONTAINER_RUNNING');
});

test('oom_score_adj is set, and one that may not be lowered is clamped without an error', async (t) => {
  const pod = await runPod(daemon());
  const read = async (oom_score_adj: number): Promise<number> =>
    Number((await pod.output('cat /proc/self/oom_score_adj', { linux: { resources: { oom_score_adj } } })).stdout);
  t.is(await read(500), 500);
  const low = await read(-500);
  t.true(low >= -500 && low <= 0, `${low}`);
});

test('runc 2019-5736: from inside the runtime program cannot be written through /proc/self/exe', async (t) => {
  const program = join(buildTree, 'shim/native/berth-shim');
  const before = await readFile(program);
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  // What exec leaves open for a moment is the sealed copy; /proc/1/exe of a container is its own program.
  await container.exec(
    'for i in 1 2 3; do (echo x >/proc/self/exe) 2>/dev/null; (echo x >/proc/1/exe) 2>/dev/null; done',
  );
  t.true(before.equals(await readFile(program)));
  // What runs is a sealed copy in memory, or a read-only mount: never the file itself to be written to.
  for (const pid of await daemon().pidsOf('berth-shim')) {
    const exe = await daemon().world.sh(`readlink /proc/${pid}/exe; sh -c ': >>/proc/${pid}/exe' 2>&1 || true`);
    t.regex(exe, /^\/memfd:berth-shim \(deleted\)\n.*(busy|permitted)/i);
  }
});

for (const pid of ['NODE', 'POD'] as const)
  test(`C: the host is not reached through /proc/PID/{root,cwd,fd,exe,mem} of what is ours, from uid 0 in a pod with pid ${pid}`, async (t) => {
    const security_context = { namespace_options: { pid } };
    const pod = await runPod(daemon(), { linux: { security_context } });
    const look = `for p in $(ps -o pid,comm | awk '/berth/ {print $1}'); do n=$((n+1));
      for f in root cwd exe $(cd /proc/$p && ls -d fd/*); do readlink /proc/$p/$f && echo open $p $f; done
      for f in mem environ maps; do head -c1 /proc/$p/$f && echo open $p $f; done
      ls /proc/$p/root/ && echo open $p root/
    done 2>/dev/null; echo looked at $n`;
    const { stdout } = await pod.output(look, { linux: { security_context } });
    t.notRegex(stdout, /open/);
    t.regex(stdout, /looked at [1-9]/);
  });

test('containerd 2020-15257: the sockets are files, 0600 in directories of mode 0700', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const { world } = daemon();
  const modes = await world.sh(
    `stat -c '%a' ${world.path('state')} ${world.path('root')} ${world.path('state/containers', container.id)} ${world.path('b.sock')} ${world.path('state/containers', container.id)}/shim.sock`,
  );
  t.is(modes, '700\n700\n700\n600\n600\n');
  t.is((await world.sh('cat /proc/net/unix | grep "@.*berth" || true')).trim(), '');
});

test('runc 2023-27561, 2026-41579: an image whose /proc or /dev is a link is refused before anything is mounted at its target', async (t) => {
  const pod = await runPod(daemon());
  for (const image of [names.linkedProc, names.linkedDev])
    await t.throwsAsync((await pod.create('ls /trap', { image: { image } })).start(), { message: /ELOOP/ }, image);
});

test('a masked path that is a link in the image shows nothing', async (t) => {
  const pod = await runPod(daemon());
  const linux = { security_context: { masked_paths: ['/masked-link'] } };
  const container = await pod.create('cat /masked-link', { image: { image: names.maskedLink }, linux });
  await container.start();
  await container.exited();
  t.is(await container.text('stdout'), '');
});

test('without AppArmor a container that asks for nothing or Unconfined runs, a profile is refused and named', async (t) => {
  const pod = await runPod(daemon());
  const create = (security_context: Security) => pod.run('true', { linux: { security_context } });
  for (const context of [{}, { apparmor: { profile_type: 'Unconfined' } }, { apparmor_profile: 'unconfined' }] as const)
    await t.notThrowsAsync(create(context));
  const message = /apparmor: profile .*: this kernel has no AppArmor/;
  for (const apparmor of [
    { profile_type: 'RuntimeDefault' },
    { profile_type: 'Localhost', localhost_ref: 'x' },
  ] as const)
    await fails(t, create({ apparmor }), 'failed-precondition', message);
  await fails(t, create({ apparmor_profile: 'runtime/default' }), 'failed-precondition', message);
  await fails(t, create({ apparmor_profile: 'localhost/x' }), 'failed-precondition', message);
});
