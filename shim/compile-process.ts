import { endianness } from 'node:os';
import { invalid } from '../base/errors.ts';
import { cString } from './frames.ts';
import { capabilityNumbers, rlimitNumbers } from './linux.ts';
import type { OciProcess } from './oci.ts';
import type { Plan } from './plan.ts';
import { bytesOfText } from './text.ts';

/** What the container's process and an exec have in common: from the limits to the exec. */

const capabilityMask = (names: readonly string[]): bigint =>
  names.reduce((mask, name) => {
    const number = capabilityNumbers.get(name);
    if (number === undefined) throw invalid(`capability ${name} is not known`);
    return mask | (1n << BigInt(number));
  }, 0n);

const id = (value: number, what: string): number => {
  if (!Number.isInteger(value) || value < 0 || value >= 0xffff_ffff)
    throw invalid(`process: ${what} ${value} is out of range`);
  return value;
};

/** The kernel reads the groups as its own u32. */
const groupBytes = (groups: readonly number[]): Uint8Array => {
  if (endianness() !== 'LE') throw invalid('process: only little-endian machines are known');
  const bytes = Buffer.alloc(groups.length * 4);
  groups.forEach((group, index) => {
    bytes.writeUInt32LE(id(group, 'group'), index * 4);
  });
  return bytes;
};

export const addRlimits = (plan: Plan, process: OciProcess): void => {
  for (const { type, soft, hard } of process.rlimits) {
    const number = rlimitNumbers.get(type);
    if (number === undefined) throw invalid(`process: rlimit ${type} is not known`);
    plan.add('RLIMIT', number, unlimited(soft), unlimited(hard));
  }
};

/** RLIM_INFINITY is past what a double holds. */
const unlimited = (value: number): bigint =>
  value < 0 || value > Number.MAX_SAFE_INTEGER ? 0xffff_ffff_ffff_ffffn : BigInt(value);

/**
 * What the process is to the host's security modules from its exec on. Comes while /proc is the host's: in a container's
 * mount namespace a file of that name may be anything.
 */
export const addLabels = (plan: Plan, { apparmorProfile, selinuxLabel }: OciProcess): void => {
  if (apparmorProfile !== undefined)
    plan.add('LABEL', 'self/attr/apparmor/exec', cString(`exec ${apparmorProfile}`, 'AppArmor profile'));
  if (selinuxLabel !== undefined) plan.add('LABEL', 'self/attr/exec', cString(selinuxLabel, 'SELinux label'));
};

/** no_new_privs comes before the credentials: a filter is then loaded without CAP_SYS_ADMIN. */
export const addCredentials = (
  plan: Plan,
  { user, capabilities, noNewPrivileges }: Pick<OciProcess, 'user' | 'capabilities' | 'noNewPrivileges'>,
): void => {
  if (user.umask !== undefined) plan.add('UMASK', user.umask);
  if (noNewPrivileges) plan.add('NO_NEW_PRIVS');
  plan.add(
    'CREDENTIALS',
    id(user.uid, 'uid'),
    id(user.gid, 'gid'),
    groupBytes(user.additionalGids),
    capabilityMask(capabilities.bounding),
    capabilityMask(capabilities.effective),
    capabilityMask(capabilities.permitted),
    capabilityMask(capabilities.inheritable),
    capabilityMask(capabilities.ambient),
  );
};

const word = (text: string, what: string): Buffer => {
  const bytes = bytesOfText(text);
  if (bytes.includes(0)) throw invalid(`process: ${what} has a zero byte`);
  return bytes;
};

export const addExec = (plan: Plan, { args, env }: OciProcess): void => {
  if (args.length === 0) throw invalid('process: no arguments');
  const words = [...args.map((arg) => word(arg, 'argument')), ...env.map((value) => word(value, 'environment'))];
  plan.add('EXEC', args.length, ...words);
};
