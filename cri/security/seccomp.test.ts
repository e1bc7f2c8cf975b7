import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import type { OciSeccomp } from '../../shim/oci.ts';
import { seccompInput } from './seccomp.ts';
import { defaultSeccomp } from './seccomp-default.ts';

const actionsOf = (profile: OciSeccomp, call: string): string[] =>
  profile.syscalls
    .filter(({ names }) => names.includes(call))
    .map(({ action, errnoRet, args }) => `${action}${errnoRet ?? ''}${args === undefined ? '' : '?'}`);

const profile = (rest: Partial<OciSeccomp> = {}): OciSeccomp => ({
  defaultAction: 'SCMP_ACT_ERRNO',
  syscalls: [],
  ...rest,
});

test('without capabilities the namespace and mount calls answer EPERM and clone3 answers ENOSYS', (t) => {
  const standard = defaultSeccomp([], 'x64');
  for (const call of [
    'mount',
    'unshare',
    'setns',
    'bpf',
    'keyctl',
    'io_uring_setup',
    'chroot',
    'init_module',
    'syslog',
  ])
    t.deepEqual(actionsOf(standard, call), ['SCMP_ACT_ERRNO1'], call);
  t.deepEqual(actionsOf(standard, 'clone3'), []);
  t.is(standard.defaultErrnoRet, 38);
  t.true(actionsOf(standard, 'clone').every((action) => action.endsWith('?')));
});

test('a capability lets its calls through and no others', (t) => {
  const admin = defaultSeccomp(['sys_admin'], 'x64');
  for (const call of ['mount', 'clone', 'clone3', 'bpf', 'syslog'])
    t.deepEqual(actionsOf(admin, call), ['SCMP_ACT_ALLOW'], call);
  t.deepEqual(actionsOf(admin, 'reboot'), ['SCMP_ACT_ERRNO1']);
  t.deepEqual(actionsOf(defaultSeccomp(['CAP_SYSLOG'], 'x64'), 'syslog'), ['SCMP_ACT_ALLOW']);
  t.deepEqual(actionsOf(defaultSeccomp(['CAP_SYS_CHROOT'], 'arm64'), 'chroot'), ['SCMP_ACT_ALLOW']);
  for (const call of ['keyctl', 'io_uring_setup', 'kexec_load'])
    t.deepEqual(actionsOf(admin, call), ['SCMP_ACT_ERRNO1']);
});

test('no call is both allowed and denied without a condition', (t) => {
  for (const capabilities of [[], ['SYS_ADMIN'], ['BPF', 'PERFMON', 'SYS_PTRACE', 'SYS_NICE']]) {
    const names = defaultSeccomp(capabilities, 'arm64')
      .syscalls.filter(({ args }) => args === undefined)
      .flatMap((rule) => rule.names);
    t.is(new Set(names).size, names.length);
  }
});

test('the CPU chooses architectures and calls', (t) => {
  t.deepEqual(defaultSeccomp([], 'arm64').architectures, ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  t.deepEqual(actionsOf(defaultSeccomp([], 'arm64'), 'arch_prctl'), []);
  t.deepEqual(actionsOf(defaultSeccomp([], 'x64'), 'arch_prctl'), ['SCMP_ACT_ALLOW']);
});

test('a profile becomes lines for the tool', (t) => {
  const text = seccompInput(
    profile({
      architectures: ['SCMP_ARCH_X86_64'],
      syscalls: [
        { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
        {
          names: ['kill'],
          action: 'SCMP_ACT_ERRNO',
          args: [
            { index: 1, op: 'SCMP_CMP_EQ', value: 9 },
            { index: 0, op: 'SCMP_CMP_GT', value: 1 },
          ],
        },
        {
          names: ['socket'],
          action: 'SCMP_ACT_ERRNO',
          errnoRet: 97,
          args: [
            { index: 0, op: 'SCMP_CMP_EQ', value: 1 },
            { index: 0, op: 'SCMP_CMP_MASKED_EQ', value: 4, valueTwo: 4 },
          ],
        },
      ],
    }),
  );
  t.deepEqual(text.split('\n'), [
    'default errno 1',
    'arch x86_64',
    'rule allow 0 read',
    'rule allow 0 write',
    'rule errno 1 kill 1 eq 9 0 0 gt 1 0',
    'rule errno 97 socket 0 eq 1 0',
    'rule errno 97 socket 0 masked 4 4',
    'end',
    '',
  ]);
});

test('what the tool could misread is invalid-argument', (t) => {
  const rule = { names: ['read'], action: 'SCMP_ACT_ALLOW' };
  const wrong: readonly OciSeccomp[] = [
    profile({ defaultAction: 'SCMP_ACT_NOTIFY' }),
    profile({ defaultAction: 'toString' }),
    profile({ defaultErrnoRet: -1 }),
    profile({ defaultErrnoRet: 4096 }),
    profile({ architectures: ['x86_64\nrule allow 0 mount'] }),
    profile({ syscalls: [{ ...rule, names: ['read\nrule allow 0 mount'] }] }),
    profile({ syscalls: [{ ...rule, names: [''] }] }),
    profile({ syscalls: [{ ...rule, action: 'allow' }] }),
    profile({ syscalls: [{ ...rule, args: [{ index: 6, op: 'SCMP_CMP_EQ', value: 0 }] }] }),
    profile({ syscalls: [{ ...rule, args: [{ index: 0, op: 'EQ', value: 0 }] }] }),
    profile({ syscalls: [{ ...rule, args: [{ index: 0, op: 'SCMP_CMP_EQ', value: 1.5 }] }] }),
  ];
  for (const bad of wrong)
    t.is(t.throws(() => seccompInput(bad), { instanceOf: BerthError })?.code, 'invalid-argument');
});
