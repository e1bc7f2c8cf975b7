// Confinement of the unpacker. It runs before the first byte of a layer is read.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sys.h"
#include "unpack.h"

// The layer as a mount of its own: nothing in it can be run or opened as a device, and it has no way out.
static bool enter_root(int dir, struct err *e) {
  // The working directory is carried over into the new namespace, a descriptor is not.
  if (fchdir(dir) < 0) return fail_errno(e, "chdir", "layer");
  if (unshare(CLONE_NEWNS) < 0) return fail_errno(e, "unshare", "mount namespace");
  if (mount(NULL, "/", NULL, 1ul << 18 /* MS_PRIVATE */ | 1ul << 14 /* MS_REC */, NULL) < 0)
    return fail_errno(e, "make mounts private", "/");
  const int tree = sys_open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE);
  if (tree < 0) return fail_errno(e, "open_tree", "layer");
  const struct mount_attr attributes = {
      .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME,
      .attr_clr = MOUNT_ATTR__ATIME};
  if (sys_mount_setattr(tree, 0, &attributes) < 0) return fail_errno(e, "mount_setattr", "layer");
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) < 0) return fail_errno(e, "move_mount", "layer");
  if (fchdir(tree) < 0) return fail_errno(e, "chdir", "layer");
  if (syscall(SYS_pivot_root, ".", ".") < 0) return fail_errno(e, "pivot_root", "layer");
  // The old root lies over the new one now.
  if (umount2(".", MNT_DETACH) < 0) return fail_errno(e, "umount", "old root");
  if (chdir("/") < 0) return fail_errno(e, "chdir", "/");
  // Any directory that is still open would be a way out.
  return sys_close_range(3, ~0u, 0) == 0 || fail_errno(e, "close_range", "unpacker");
}

static bool drop_capabilities(struct err *e) {
  static const unsigned kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP};
  uint64_t mask = 0;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) mask |= 1ull << kept[i];
  for (unsigned c = 0; c < 64; c++)
    if ((mask >> c & 1) == 0 && prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1 && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
      return fail_errno(e, "drop capabilities", "bounding set");
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  data[0].effective = data[0].permitted = (uint32_t)mask;
  data[1].effective = data[1].permitted = (uint32_t)(mask >> 32);
  if (syscall(SYS_capset, &header, data) < 0) return fail_errno(e, "drop capabilities", "capset");
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || fail_errno(e, "prctl", "no_new_privs");
}

static bool limit(int resource, rlim_t most, const char *name, struct err *e) {
  struct rlimit now;
  if (getrlimit(resource, &now) < 0) return fail_errno(e, "getrlimit", name);
  if (now.rlim_max < most) most = now.rlim_max;
  const struct rlimit wanted = {.rlim_cur = most, .rlim_max = most};
  return setrlimit(resource, &wanted) == 0 || fail_errno(e, "setrlimit", name);
}

static bool set_limits(uint64_t seconds, struct err *e) {
  // Descriptors: a tree to be replaced is removed with one a level. Memory: what is kept of each directory.
  return limit(RLIMIT_CPU, (rlim_t)seconds, "cpu", e) && limit(RLIMIT_NOFILE, 4096, "nofile", e) && limit(RLIMIT_CORE, 0, "core", e) &&
         limit(RLIMIT_AS, (rlim_t)1 << 30, "as", e) && limit(RLIMIT_MEMLOCK, 0, "memlock", e);
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "seccomp: this CPU is not known"
#endif

// All that unpacking calls, and what the C library needs for memory and for its end.
static const unsigned allowed[] = {
    SYS_read, SYS_readv, SYS_write, SYS_writev, SYS_close, SYS_openat, SYS_openat2, SYS_fstat, SYS_newfstatat,
    SYS_mkdirat, SYS_mknodat, SYS_linkat, SYS_symlinkat, SYS_unlinkat, SYS_readlinkat, SYS_fchown, SYS_fchownat,
    SYS_fchmod, SYS_ftruncate, SYS_sync_file_range, SYS_utimensat, SYS_fsetxattr, SYS_fgetxattr, SYS_getdents64,
    SYS_lseek, SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_clock_gettime, SYS_rt_sigreturn,
    SYS_rt_sigprocmask, SYS_exit, SYS_exit_group, SYS_restart_syscall,
};
#define ALLOWED (sizeof allowed / sizeof *allowed)

// fcntl(2) could also have the kernel signal any process when a pipe can be read (F_SETOWN, F_SETSIG): root's uid is enough.
static const unsigned commands[] = {F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC};
#define COMMANDS (sizeof commands / sizeof *commands)

static bool filter_calls(struct err *e) {
  struct sock_filter code[ALLOWED + COMMANDS + 8];
  size_t n = 0;
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  // x32 numbers have a bit of their own, so none of them equals one of these.
  for (size_t i = 0; i < ALLOWED; i++)
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], (uint8_t)(ALLOWED - i + COMMANDS + 2), 0);
  code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, COMMANDS + 1);
  // Of the second argument the kernel takes these 32 bits.
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]));
  for (size_t i = 0; i < COMMANDS; i++)
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, commands[i], (uint8_t)(COMMANDS - i), 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
  // For all threads: there are two (unpack-early.c).
  const long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  return result == 0 || fail_errno(e, "seccomp", "unpacker");
}

bool unpack_confine(int dir, uint64_t seconds, struct err *e) {
  umask(0);  // a layer's modes are its own
  return enter_root(dir, e) && drop_capabilities(e) && early_start(e) && set_limits(seconds, e) && filter_calls(e);
}
