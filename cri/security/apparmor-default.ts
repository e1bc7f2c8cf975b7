/** The profile of containers whose request names none; it is loaded under this name. */
export const defaultProfileName = 'berth-default';

/**
 * What confines a container that keeps its capabilities to itself anyway: the files of procfs and sysfs that belong to
 * the whole machine, and mounts, also for one that was given CAP_SYS_ADMIN. No file is included and no variable is used,
 * so that it loads wherever there is a parser. A directory of /proc that begins with a digit belongs to a process;
 * `self` and `net` are links to such.
 *
 * `daemon` is the profile that berthd itself runs under, or "unconfined"; `abi` pins what the parser takes the rules
 * for, where it knows abis: a newer one would mediate more than they name.
 */
export const defaultProfile = (
  daemon: string,
  abi: string | undefined,
): string => `${abi === undefined ? '' : `abi <${abi}>,\n`}
profile ${defaultProfileName} flags=(attach_disconnected,mediate_deleted) {
  capability,
  file,
  network,
  unix,
  umount,
  signal (receive) peer=unconfined,
${daemon === 'unconfined' ? '' : `  signal (receive) peer=${daemon},\n  ptrace (readby) peer=${daemon},\n`}  signal (send, receive) peer=${defaultProfileName},
  ptrace (trace, tracedby, read, readby) peer=${defaultProfileName},

  deny mount,

  deny /proc/* wkl,
  deny /proc/[^1-9s]*/** wkl,
  deny /proc/s[^y]*/** wkl,
  deny /proc/sy[^s]*/** wkl,
  deny /proc/sys[^/]*/** wkl,
  deny /proc/{kcore,sysrq-trigger} rwklx,

  # Only the sizes of System V shared memory, messages and semaphores are the pod's own.
  deny /proc/sys/[^k]** wkl,
  deny /proc/sys/kernel/[^ms]** wkl,
  deny /proc/sys/kernel/m[^s]** wkl,
  deny /proc/sys/kernel/ms[^g]** wkl,
  deny /proc/sys/kernel/s[^eh]** wkl,
  deny /proc/sys/kernel/se[^m]** wkl,
  deny /proc/sys/kernel/sh[^m]** wkl,

  deny /sys/[^f]** wkl,
  deny /sys/f[^s]** wkl,
  deny /sys/fs/[^c]** wkl,
  deny /sys/fs/c[^g]** wkl,
  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,
}
`;
