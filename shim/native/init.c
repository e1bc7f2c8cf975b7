#include "init.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sys.h"

#define NAME "berth-init"
#define TEMPLATE_FD 4
#define END_MS 10000

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "berth-init: the seccomp architecture of this CPU is not known"
#endif

#define ALLOW(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static bool confine(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      ALLOW(rt_sigtimedwait),
      ALLOW(wait4),
      ALLOW(restart_syscall),
      ALLOW(exit_group),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void hide_arguments(const struct init *init) {
  char *const first = init->argv[-3], *const last = init->argv[init->argc - 1];
  const size_t room = (size_t)(last + strlen(last) - first);
  memset(first, 0, room);
  memcpy(first, NAME, room < sizeof NAME ? room : sizeof NAME);
  prctl(PR_SET_NAME, NAME, 0, 0, 0);
}

// A process of uid 0 without capabilities would let a container read the host through /proc/1/root.
static bool leave_host(uid_t id) {
  if (setsid() < 0 || chdir("/") < 0) return false;
  if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0) return false;
  set_undumpable();
  return true;
}

static _Noreturn void live(void) {
  sigset_t all;
  sigfillset(&all);
  for (;;) {
    // Any signal wakes it, none does anything: those from inside cannot end it, SIGKILL from outside does.
    sigwaitinfo(&all, NULL);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
  }
}

static _Noreturn void be_init(const struct init *init, int ready, int go) {
  char byte = 1;
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  hide_arguments(init);
  // The end of the pipe without a byte: its maker failed or died, and nothing may be left.
  if (read(go, &byte, 1) != 1 || !leave_host(init->id) || write(ready, &byte, 1) != 1) _exit(1);
  if (read(go, &byte, 1) != 1) _exit(1);
  if (sys_close_range(0, ~0u, 0) < 0 || !confine()) _exit(1);
  live();
}

// Born in a copy of the mount template. That one is the host's: who is born in a user namespace could not join it.
static bool clone_init(struct init *init, unsigned long flags, struct err *e) {
  const bool apart = (flags & CLONE_NEWPID) != 0;
  AUTO_CLOSE int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (host < 0 || (apart && setns(TEMPLATE_FD, CLONE_NEWNS) < 0)) return fail_errno(e, "join namespace", "mount template");
  // Whoever makes an ipc namespace owns the root of its mqueue.
  setfsgid(init->gid);
  setfsuid(init->uid);
  init->pid = (pid_t)syscall(SYS_clone, flags | (apart ? CLONE_NEWNS : 0) | SIGCHLD, 0, 0, 0, 0);
  setfsuid(0);
  setfsgid(0);
  if (init->pid < 0) fail_errno(e, "make", (flags & CLONE_NEWUSER) != 0 ? "user namespace" : NAME);
  else if (init->pid == 0) return true;
  if (apart && setns(host, CLONE_NEWNS) < 0) return fail_errno(e, "join namespace", "the host's mount namespace");
  return init->pid > 0;
}

bool init_start(struct init *init, unsigned long flags, struct err *e) {
  int go[2] = {-1, -1}, ready[2] = {-1, -1};
  bool good = false;
  if (pipe2(go, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0) fail_errno(e, "pipe", NAME);
  else good = clone_init(init, flags, e);
  if (good && init->pid == 0) {
    close_fd(&go[1]);
    be_init(init, ready[1], go[0]);
  }
  if (init->pid < 0) init->pid = 0;
  close_fd(&go[0]);
  close_fd(&ready[1]);
  init->go = go[1];
  init->ready = ready[0];
  return good;
}

bool init_settle(struct init *init, struct err *e) {
  char byte = 1;
  const bool settled = write(init->go, &byte, 1) == 1 && read(init->ready, &byte, 1) == 1;
  close_fd(&init->ready);
  return settled || fail(e, EIO, "start", NAME);
}

bool init_go(struct init *init, struct err *e) {
  const bool told = write(init->go, "", 1) == 1 || fail_errno(e, "start", NAME);
  if (told) close_fd(&init->go);
  return told;
}

void init_abandon(struct init *init) {
  close_fd(&init->go);
  close_fd(&init->ready);
  if (init->pid > 0) waitpid(init->pid, NULL, 0);
  init->pid = 0;
}

// When the process began, in clock ticks since boot: with it a number names one process for good. 0: no such init.
static uint64_t start_time(pid_t pid) {
  char path[40], text[1024];
  struct err ignored;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  if (!read_file_at(AT_FDCWD, path, text, sizeof text, NULL, &ignored)) return 0;
  char *at = strstr(text, "(" NAME ")");
  uint64_t ticks = 0;
  if (at == NULL) return 0;
  // Field 22; the name is field 2.
  for (int field = 2; field < 22 && at != NULL; field++) at = strchr(at + 1, ' ');
  if (at == NULL) return 0;
  at++;
  at[strcspn(at, " ")] = '\0';
  return parse_number(at, UINT64_MAX, &ticks) ? ticks : 0;
}

bool init_record(const struct init *init, int file, struct err *e) {
  char text[64];
  const int n = snprintf(text, sizeof text, "%d %llu", (int)init->pid, (unsigned long long)start_time(init->pid));
  return write(file, text, (size_t)n) == n || fail_errno(e, "write", "pin of the pid namespace");
}

static bool read_record(const char *path, uint64_t *pid, uint64_t *ticks) {
  char text[64];
  struct err ignored;
  struct stat info;
  if (lstat(path, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size == 0) return false;
  if (!read_file_at(AT_FDCWD, path, text, sizeof text, NULL, &ignored)) return false;
  char *space = strchr(text, ' ');
  if (space == NULL) return false;
  *space = '\0';
  return parse_number(text, INT32_MAX, pid) && parse_number(space + 1, UINT64_MAX, ticks) && *pid > 1 && *ticks > 0;
}

bool init_end(const char *path, struct err *e) {
  uint64_t pid, ticks;
  if (!read_record(path, &pid, &ticks)) return true;
  AUTO_CLOSE int pidfd = sys_pidfd_open((int)pid);
  if (pidfd < 0 || start_time((pid_t)pid) != ticks) return true;
  if (sys_pidfd_send_signal(pidfd, SIGKILL) < 0) return errno == ESRCH ? true : fail_errno(e, "kill " NAME " of", path);
  struct pollfd ended = {.fd = pidfd, .events = POLLIN};
  return poll(&ended, 1, END_MS) == 1 || fail(e, EBUSY, "end " NAME " of", path);
}
