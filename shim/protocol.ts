/** The numbers of native/protocol.h, by the same names; a test compares the two. docs/protocol.md tells what they mean. */
export const protocolVersion = 1;
/** The oldest that is still spoken: with a supervisor that an older daemon started, and by one with an older daemon. */
export const oldestProtocol = 1;
/** Of a plan that is written; the native side reads all from `oldestPlan` on. */
export const planVersion = 1;
export const oldestPlan = 1;

export const Frame = {
  HELLO: 1,
  OK: 2,
  ERROR: 3,
  RUN: 16,
  SIGNAL: 17,
  TRY_LOCK: 18,
  END_HOLDER: 19,
  NOTIFY: 20,
  PROBE: 21,
  NET_DEVICES: 22,
  RUN_STARTED: 24,
  RUN_STDOUT: 25,
  RUN_STDERR: 26,
  RUN_EXIT: 27,
  STATE: 32,
  WAIT: 33,
  GO: 34,
  KILL: 35,
  REOPEN_LOG: 36,
  EXEC: 37,
  UPDATE: 38,
  ATTACH: 39,
  STDIN: 40,
  STDIN_END: 41,
  RESIZE: 42,
  KILL_EXEC: 43,
  STDOUT: 48,
  STDERR: 49,
  EXIT: 50,
} as const;

export const RunFlag = {
  OUTLIVE: 1,
  TEMPLATE: 2,
} as const;

export const ExecFlag = {
  STDIN: 1,
  TTY: 2,
  STDOUT: 4,
  STDERR: 8,
} as const;

export const ShimState = {
  WAITING: 0,
  RUNNING: 1,
  EXITED: 2,
} as const;

export const Feature = {
  LOWERDIR_PLUS: 1 << 0,
  OVERLAY_NEW_API: 1 << 1,
  CGROUP_KILL: 1 << 2,
  CLONE_INTO_CGROUP: 1 << 3,
  RECURSIVE_READ_ONLY: 1 << 4,
  IDMAPPED_OVERLAY_LOWER: 1 << 5,
  MEMFD_EXEC: 1 << 6,
} as const;

export const Op = {
  CGROUP_MAKE: 1,
  CGROUP_WRITE: 2,
  LOG: 3,
  STDIO: 4,
  SET_PID_NS: 5,
  CLONE: 6,
  WAIT: 7,
  CGROUP_DEVICES: 8,
  PID_NS_INODE: 9,
  CGROUP_JOIN: 32,
  JOIN_NS: 33,
  UNSHARE: 34,
  JOIN_CONTAINER: 35,
  OOM_SCORE: 36,
  OVERLAY: 37,
  ROOT_BIND: 38,
  OPEN_MOUNT: 39,
  ENTER_ROOT: 40,
  MOUNT_SLOT: 41,
  MOUNT_FS: 42,
  MKDIR: 43,
  MKNOD: 44,
  SYMLINK: 45,
  MASK: 46,
  READ_ONLY_PATH: 47,
  ROOT_READ_ONLY: 48,
  TERMINAL: 49,
  RLIMIT: 50,
  CREDENTIALS: 51,
  NO_NEW_PRIVS: 52,
  SECCOMP: 53,
  CWD: 54,
  UMASK: 55,
  SYSCTL: 56,
  MOUNT_ATTRIBUTES: 58,
  OPEN_OVERLAY: 59,
  USER_NS: 60,
  COPY: 61,
  LABEL: 62,
  EXEC: 63,
  OPEN_FS: 64,
  NODES: 65,
  OWN_STREAMS: 66,
  JOIN_USER: 67,
  MOUNT_LABEL: 68,
} as const;
