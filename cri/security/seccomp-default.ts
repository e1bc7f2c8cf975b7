import type { OciSeccomp, OciSyscallRule } from '../../shim/oci.ts';
import { parseCapability } from './capabilities.ts';
import { allowedAlways, allowedOnCpu, allowedWith, type Cpu, deniedAlways, namespaceFlags } from './seccomp-calls.ts';

const architectures: Readonly<Record<Cpu, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

const EPERM = 1;
const ENOSYS = 38;
const AF_VSOCK = 40;
/** PER_LINUX, PER_LINUX32 (8), UNAME26 (0x20000), both, and "tell me" (all ones): none weakens the process's layout. */
const personalities = [0, 0x8, 0x20000, 0x20008, 0xffffffff];

const allow = (names: readonly string[], args?: OciSyscallRule['args']): OciSyscallRule => ({
  names,
  action: 'SCMP_ACT_ALLOW',
  ...(args === undefined ? {} : { args }),
});

const deny = (names: readonly string[], args?: OciSyscallRule['args']): OciSyscallRule => ({
  names,
  action: 'SCMP_ACT_ERRNO',
  errnoRet: EPERM,
  ...(args === undefined ? {} : { args }),
});

const masked = (value: number, valueTwo: number): OciSyscallRule['args'] => [
  { index: 0, op: 'SCMP_CMP_MASKED_EQ', value, valueTwo },
];

/** clone(2) may not make namespaces. clone3 hides its flags behind a pointer: ENOSYS, so that libc takes clone. */
const cloneRules = (): OciSyscallRule[] => {
  const all = namespaceFlags.reduce((mask, flag) => mask + flag, 0);
  return [allow(['clone'], masked(all, 0)), ...namespaceFlags.map((flag) => deny(['clone'], masked(flag, flag)))];
};

const conditionalRules = (): OciSyscallRule[] => [
  ...personalities.map((value) => allow(['personality'], [{ index: 0, op: 'SCMP_CMP_EQ', value }])),
  // vsock reaches the host of a virtual machine past every network namespace.
  allow(['socket'], [{ index: 0, op: 'SCMP_CMP_NE', value: AF_VSOCK }]),
  deny(['socket'], [{ index: 0, op: 'SCMP_CMP_EQ', value: AF_VSOCK }]),
];

/**
 * The runtime-default profile for a container that has these capabilities (its bounding set, any notation). A call that
 * nothing names answers ENOSYS, as an older kernel would, so that programs take their fallback; what is known and
 * dangerous answers EPERM.
 */
export const defaultSeccomp = (capabilities: readonly string[], cpu: Cpu): OciSeccomp => {
  const has = new Set<string>(capabilities.map(parseCapability));
  const granted = Object.entries(allowedWith).flatMap(([name, calls]) => (has.has(name) ? calls : []));
  const allowed = new Set([...allowedAlways, ...allowedOnCpu[cpu], ...granted]);
  const denied = [...deniedAlways, ...Object.values(allowedWith).flat()].filter((call) => !allowed.has(call));
  const ownRules = new Set(['clone', 'clone3']);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: architectures[cpu],
    syscalls: [
      allow([...allowed]),
      deny([...new Set(denied)].filter((call) => !ownRules.has(call))),
      ...(allowed.has('clone') ? [] : cloneRules()),
      ...conditionalRules(),
    ],
  };
};
