import { writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import test from 'ava';
import type { Input, LinuxContainerSecurityContext } from '../api/generated/types.ts';
import { fresh, runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

// Profiles of the node: what a file says is what the kernel does, in the container and in its execs.
const daemon = suiteDaemon();
type Security = Input<LinuxContainerSecurityContext>;

const profileFile = async (profile: object | string): Promise<string> => {
  const path = daemon().world.path('logs', `${fresh('profile')}.json`);
  await writeFile(path, typeof profile === 'string' ? profile : JSON.stringify(profile));
  return path;
};
const localhost = (localhost_ref: string): Security => ({ seccomp: { profile_type: 'Localhost', localhost_ref } });

/** What a script prints and how it ends under a profile that allows all but its rules. */
const under = async (syscalls: readonly object[], command: string | string[], more: Security = {}) => {
  const path = await profileFile({ defaultAction: 'SCMP_ACT_ALLOW', syscalls });
  const security_context = { ...localhost(path), ...more };
  return (await runPod(daemon())).output(command, { linux: { security_context } });
};

const chmod = { names: ['chmod', 'fchmod', 'fchmodat', 'fchmodat2'], action: 'SCMP_ACT_ERRNO' };
const script = 'chmod 700 /tmp 2>/dev/null && echo chmod; hostname new 2>/dev/null && echo hostname; true';

test("Docker's form: rules hold for containers with the capabilities that includes and excludes name", async (t) => {
  const syscalls = [
    { ...chmod, includes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['sethostname'], action: 'SCMP_ACT_ERRNO', excludes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['getpid'], action: 'SCMP_ACT_KILL_PROCESS', includes: { arches: ['s390x'] } },
    { names: ['getpid'], action: 'SCMP_ACT_KILL_PROCESS', includes: { minKernel: '99.0' } },
  ];
  const admin = { capabilities: { add_capabilities: ['SYS_ADMIN'] } };
  t.is((await under(syscalls, script, admin)).stdout, 'hostname\n');
  t.is((await under(syscalls, script)).stdout, 'chmod\n');
});

test('archMap, errno names, a single name and a call that nobody knows', async (t) => {
  const path = await profileFile({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrno: 'ENOSYS',
    archMap: [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
    ],
    syscalls: [
      { name: 'add_key', action: 'SCMP_ACT_ERRNO', errno: 'EDQUOT', errnoRet: 1 },
      { names: ['no_such_call', 'bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 },
      {
        names: ['execve', 'exit_group', 'getpid', 'write', 'brk', 'arch_prctl', 'uname', 'readlink'],
        action: 'SCMP_ACT_ALLOW',
      },
      { names: ['mprotect', 'newfstatat', 'fstat', 'ioctl', 'set_tid_address', 'mmap'], action: 'SCMP_ACT_ALLOW' },
    ],
  });
  const { stdout } = await (await runPod(daemon())).output(['syscalls'], {
    linux: { security_context: { ...localhost(path), no_new_privs: true } },
  });
  const { EDQUOT, EOPNOTSUPP, ENOSYS } = constants.errno;
  for (const [call, errno] of [
    ['add_key', EDQUOT],
    ['bpf', EOPNOTSUPP],
    ['keyctl', ENOSYS],
    ['getpid', 0],
  ] as const)
    t.regex(stdout, new RegExp(`^${call} ${errno}$`, 'm'));
});

test('conditions on arguments: those of one rule must all hold', async (t) => {
  // kill(2) of SIGUSR1 to process 1 alone.
  const args = [
    { index: 0, value: 1, op: 'SCMP_CMP_EQ' },
    { index: 1, value: constants.signals.SIGUSR1, op: 'SCMP_CMP_EQ' },
  ];
  const kills = `trap "" USR1 USR2
    kill -USR1 1 2>/dev/null || echo refused
    kill -USR2 1 && echo another signal
    sleep 1000 & kill -USR1 $! && echo another process; kill -KILL $!`;
  const { stdout } = await under([{ names: ['kill'], action: 'SCMP_ACT_ERRNO', args }], kills);
  t.is(stdout, 'refused\nanother signal\nanother process\n');
});

const sigsys = 128 + constants.signals.SIGSYS;
for (const [action, exitCode] of [
  ['SCMP_ACT_KILL_PROCESS', sigsys],
  ['SCMP_ACT_KILL', sigsys],
  ['SCMP_ACT_TRAP', sigsys],
  ['SCMP_ACT_LOG', 0],
  ['SCMP_ACT_TRACE', 1],
] as const)
  test(`${action} on chmod ends it with ${exitCode}`, async (t) => {
    const { status } = await under([{ ...chmod, action }], ['chmod', '700', '/tmp']);
    t.is(status.exit_code, exitCode);
  });

test('the flags of a profile are taken, and one that needs a listener is refused', async (t) => {
  const known = ['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'];
  const pod = await runPod(daemon());
  const create = async (flags: readonly string[]) =>
    pod.create(script, {
      linux: {
        security_context: localhost(await profileFile({ defaultAction: 'SCMP_ACT_ALLOW', flags, syscalls: [chmod] })),
      },
    });
  const container = await (await create(known)).start();
  await container.exited();
  t.is(await container.text('stdout'), '');
  const listener = create(['SECCOMP_FILTER_FLAG_NEW_LISTENER']);
  await fails(t, listener, 'invalid-argument', /flags\[0\] "SECCOMP_FILTER_FLAG_NEW_LISTENER"/);
});

test('a wrong file is refused at create, with its path and the place in it', async (t) => {
  const pod = await runPod(daemon());
  const allow = 'SCMP_ACT_ALLOW';
  const wrong: readonly (readonly [object | string, RegExp])[] = [
    [
      `{"defaultAction": "${allow}", "comment": "${'long '.repeat(20)}", }`,
      /profile-\d+\.json: not JSON: .*position 1\d\d/,
    ],
    [{ syscalls: [] }, /defaultAction is missing/],
    [
      { defaultAction: allow, syscalls: [chmod, { ...chmod, action: 'SCMP_ACT_NOTIFY' }] },
      /syscalls\[1\]: action .*NOTIFY/,
    ],
    [{ defaultAction: allow, listenerPath: '/run/x.sock', syscalls: [] }, /"listenerPath" is not supported/],
    [
      { defaultAction: allow, syscalls: [{ ...chmod, args: [{ index: 0, value: 'x' }] }] },
      /syscalls\[0\]: args\[0\]: value/,
    ],
    [{ defaultAction: allow, syscalls: [{ ...chmod, includes: { caps: ['CAP_X'] } }] }, /includes: caps\[0\] "CAP_X"/],
    [{ defaultAction: allow, architectures: ['SCMP_ARCH_VAX'], syscalls: [] }, /vax: no such architecture/],
  ];
  for (const [profile, message] of wrong) {
    const path = await profileFile(profile);
    const call = pod.create('true', { linux: { security_context: localhost(path) } });
    await fails(t, call, 'invalid-argument', message);
  }
  const directory = pod.create('true', { linux: { security_context: localhost('/tmp') } });
  await fails(t, directory, 'invalid-argument', /seccomp profile \/tmp: .*not a regular file/);
});

test('RuntimeDefault is the file that the configuration names, with its rules for capabilities', async (t) => {
  const syscalls = [{ ...chmod, includes: { caps: ['CAP_SYS_ADMIN'] } }];
  const path = await profileFile({ defaultAction: 'SCMP_ACT_ALLOW', syscalls });
  await daemon().configure({ seccomp: { default: path } });
  await daemon().killAndBoot();
  const output = async (more: Security): Promise<string> => {
    const security_context = { seccomp: { profile_type: 'RuntimeDefault' }, ...more } as const;
    return (await (await runPod(daemon())).output(script, { linux: { security_context } })).stdout;
  };
  t.is(await output({ capabilities: { add_capabilities: ['SYS_ADMIN'] } }), 'hostname\n');
  t.is(await output({}), 'chmod\n');
  await daemon().configure({});
  await daemon().killAndBoot();
});

test('the old field seccomp_profile_path: localhost/, runtime/default, unconfined; the new one goes before it', async (t) => {
  const path = await profileFile({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [chmod] });
  const pod = await runPod(daemon());
  const mode = 'chmod 700 /tmp 2>/dev/null && echo chmod; grep Seccomp: /proc/self/status | tr -d "\\t"';
  const output = async (security_context: Security): Promise<string> =>
    (await pod.output(mode, { linux: { security_context } })).stdout;
  t.is(await output({ seccomp_profile_path: `localhost/${path}` }), 'Seccomp:2\n');
  t.is(await output({ seccomp_profile_path: 'runtime/default' }), 'chmod\nSeccomp:2\n');
  t.is(await output({ seccomp_profile_path: 'unconfined' }), 'chmod\nSeccomp:0\n');
  t.is(await output({ ...localhost(`localhost/${path}`), seccomp_profile_path: 'unconfined' }), 'Seccomp:2\n');
  const nonsense = pod.create('true', { linux: { security_context: { seccomp_profile_path: 'nonsense' } } });
  await fails(t, nonsense, 'invalid-argument', /seccomp_profile_path: "nonsense"/);
});
