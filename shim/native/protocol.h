// The numbers that the daemon (shim/protocol.ts) and the native side share. docs/protocol.md tells the rest.
// A test compares this file with shim/protocol.ts.
#pragma once

// What is spoken, and the oldest that is still understood; the same of plans. docs/protocol.md, "Versions".
#ifndef BERTH_PROTOCOL
#define BERTH_PROTOCOL 1
#endif
#define BERTH_OLDEST_PROTOCOL 1
#define BERTH_PLAN 1
#define BERTH_OLDEST_PLAN 1

// A frame: u32 payload length, u16 type, u16 zero, u32 id; then the payload. All little-endian.
// A payload is raw bytes, or fields: each u32 length, the bytes, one NUL that the length does not count.
// n: a field of eight bytes, u64. s: a field of bytes.
enum frame_type {
  FRAME_HELLO = 1,  // n version; the first frame either side sends
  FRAME_OK = 2,     // fields that depend on what is answered
  FRAME_ERROR = 3,  // n errno, s operation ("mount"), s object ("/proc")

  // daemon -> agent
  FRAME_RUN = 16,      // n flags, s cwd, s lock path or "", s stdin, n cgroup.procs files + s each, n argc + s each, n envc + s each
  FRAME_SIGNAL = 17,   // id of the run; n signal, to its process group
  FRAME_TRY_LOCK = 18, // s path -> OK: n free, n pid in the file
  FRAME_END_HOLDER = 19, // s path, n milliseconds: wait so long for the lock, then kill the process group in the file -> OK
  FRAME_NOTIFY = 20,   // s text for $NOTIFY_SOCKET -> OK
  FRAME_PROBE = 21,    // -> OK: n features (enum feature bits), s kernel release
  FRAME_NET_DEVICES = 22, // n network namespaces + s path each -> OK: s /proc/net/dev each, "" where there is none
  // agent -> daemon
  FRAME_RUN_STARTED = 24, // n pid
  FRAME_RUN_STDOUT = 25,  // raw
  FRAME_RUN_STDERR = 26,  // raw
  FRAME_RUN_EXIT = 27,    // n code, n signal

  // client -> supervisor
  FRAME_STATE = 32,      // -> OK: n pid, n started (ns since the epoch), n state (enum shim_state)
  FRAME_WAIT = 33,       // -> EXIT when the container has ended
  FRAME_GO = 34,         // after OP_WAIT -> OK
  FRAME_KILL = 35,       // n signal, n scope (0 the main process, 1 the whole cgroup) -> OK
  FRAME_REOPEN_LOG = 36, // -> OK
  FRAME_EXEC = 37,       // n flags (enum exec_flag), s plan -> OK: n pid; then streams, then EXIT. One exec a connection.
  FRAME_UPDATE = 38,     // s plan of supervisor operations -> OK
  FRAME_ATTACH = 39,     // n flags (enum exec_flag) -> OK; then streams, then EXIT
  FRAME_STDIN = 40,      // raw
  FRAME_STDIN_END = 41,
  FRAME_RESIZE = 42,     // n rows, n columns; on another connection than the process's also: n its pid, 0 the main process
  FRAME_KILL_EXEC = 43,  // n signal: the exec of this connection and all that it started
  // supervisor -> client
  FRAME_STDOUT = 48,  // raw, at most 64 KiB
  FRAME_STDERR = 49,
  FRAME_EXIT = 50,    // n code, n signal, n finished (ns since the epoch), n out of memory
};

enum run_flag { RUN_OUTLIVE = 1 /* lives on when the agent dies */, RUN_TEMPLATE = 2 /* gets the mount template as fd 4 */ };
enum exec_flag { EXEC_STDIN = 1, EXEC_TTY = 2, EXEC_STDOUT = 4, EXEC_STDERR = 8 };
enum shim_state { SHIM_WAITING = 0, SHIM_RUNNING = 1, SHIM_EXITED = 2 };

// What the kernel has; probed once by the agent.
enum feature {
  FEATURE_LOWERDIR_PLUS = 1 << 0,
  FEATURE_OVERLAY_NEW_API = 1 << 1,
  FEATURE_CGROUP_KILL = 1 << 2,
  FEATURE_CLONE_INTO_CGROUP = 1 << 3,
  FEATURE_RECURSIVE_READ_ONLY = 1 << 4,
  FEATURE_IDMAPPED_OVERLAY_LOWER = 1 << 5,
  FEATURE_MEMFD_EXEC = 1 << 6,
};

// A plan: "BPLN", u32 version, u32 count; each operation u16 code, u16 fields, then its fields.
// Operations before OP_CLONE run in the supervisor, in the host's namespaces; those after it in the container's process.
enum op {
  // supervisor
  OP_CGROUP_MAKE = 1,   // s directory (parents too; remembered for kill, out-of-memory counter and removal), n version (1, 2)
  OP_CGROUP_WRITE = 2,  // s file, s value, n may be missing
  OP_LOG = 3,           // s path of the CRI log, s directory that it must be in[, n a last line without its newline is P]
  OP_STDIO = 4,         // n flags (enum exec_flag), n stdin once
  OP_SET_PID_NS = 5,    // s path: children are made in this pid namespace; "": in one that OP_JOIN_USER makes
  OP_CLONE = 6,         // n clone flags (CLONE_NEWPID, …), s cgroup v2 directory or ""
  OP_WAIT = 7,          // reports the pid (FRAME_OK on the report) and waits for FRAME_GO
  OP_CGROUP_DEVICES = 8, // s cgroup v2 directory, s program (struct bpf_insn each): decides on devices in it
  OP_PID_NS_INODE = 9,  // n inode that the namespace of OP_SET_PID_NS must have: its path names a pid, which may be another's
  // container's process
  OP_CGROUP_JOIN = 32,  // s `tasks` file (v1): writes 0 to it
  OP_JOIN_NS = 33,      // n CLONE_NEW*, s path
  OP_UNSHARE = 34,      // n CLONE_NEW*
  OP_JOIN_CONTAINER = 35, // n CLONE_NEW* of the main process (an exec's first operation)
  OP_OOM_SCORE = 36,    // s value; clamped to one's own where lowering is refused
  OP_OVERLAY = 37,      // n volatile, n method (0 lowerdir+, 1 mount(2) from a directory), s upper, s work, s lower… (topmost first)
  OP_ROOT_BIND = 38,    // s directory
  OP_OPEN_MOUNT = 39,   // n slot, s host path, n recursive, n propagation (MS_PRIVATE, MS_SLAVE, MS_SHARED), n attributes, n recursive attributes
  OP_ENTER_ROOT = 40,   // from the template into a new mount namespace with the root made above; n root propagation
  OP_MOUNT_SLOT = 41,   // n slot, s target, s directory below the root of what is mounted… (none, or one)
  OP_MOUNT_FS = 42,     // s type, s source, s target, n attributes (MOUNT_ATTR_*), s option…("key=value" or "key")
  OP_MKDIR = 43,        // s path, n mode, n uid, n gid
  OP_MKNOD = 44,        // s path, n mode with type, n major, n minor, n uid, n gid
  OP_SYMLINK = 45,      // s target, s path
  OP_MASK = 46,         // s path; missing is fine
  OP_READ_ONLY_PATH = 47, // s path; missing is fine
  OP_ROOT_READ_ONLY = 48,
  OP_TERMINAL = 49,     // n rows, n columns: a pty of the container's devpts, its master to the supervisor; /dev/console
  OP_RLIMIT = 50,       // n resource, n soft, n hard
  OP_CREDENTIALS = 51,  // n uid, n gid, s groups (u32 each), n bounding, n effective, n permitted, n inheritable, n ambient
  OP_NO_NEW_PRIVS = 52,
  OP_SECCOMP = 53,      // n flags, s BPF (struct sock_filter each)
  OP_CWD = 54,          // s path, n make it when missing
  OP_UMASK = 55,        // n mask
  OP_SYSCTL = 56,       // s name with slashes, s value
  OP_MOUNT_ATTRIBUTES = 58, // s mount point, n attributes to set (MOUNT_ATTR_*), not those of mounts below it
  OP_OPEN_OVERLAY = 59, // n slot, n method, n attributes, s lower… (topmost first, two or more): a read-only overlay
  OP_USER_NS = 60,      // s path: OP_OVERLAY and MOUNT_ATTR_IDMAP map the ids of what they open by it
  OP_COPY = 61,         // n 0 out, 1 in; s path: instead of an exec, a tar stream from it to stdout, or from stdin to it
  OP_LABEL = 62,        // s file below /proc (self/attr/…), s text: what the security module makes of the process at its exec
  OP_MOUNT_LABEL = 68,  // s SELinux context of all that OP_OVERLAY makes
  OP_EXEC = 63,         // n argc, s argument…, s environment "K=V"…; PATH of that environment finds a name without a slash
  OP_OPEN_FS = 64,      // n slot, s type, s source, n attributes (MOUNT_ATTR_*), s option…: made with the rights that one has now
  OP_NODES = 65,        // n slot: directories and nodes are made in it until the root is entered, their paths begin there
  OP_OWN_STREAMS = 66,  // n uid of the host: owns pipes that are standard streams
  OP_JOIN_USER = 67,    // n CLONE_NEW* to unshare in it (CLONE_NEWPID: who goes on is the first there): into OP_USER_NS, as its root
};
