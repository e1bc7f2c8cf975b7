#include "spawn.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "sys.h"

#define LOCK_FD 3
#define MOUNTS_FD 4

#if defined(__SANITIZE_ADDRESS__)
#define ON_OTHER_STACK __attribute__((no_sanitize("address", "undefined")))
#define STACK_SIZE (256u << 10)
#else
#define ON_OTHER_STACK
#define STACK_SIZE (32u << 10)
#endif

// One is enough: the caller stands still until the child has gone or executed.
// Whole pages: what the linker puts behind it then shares one page in a supervisor, which never touches this.
static _Alignas(4096) char stack[STACK_SIZE];

static bool write_pid(int fd) {
  char text[24];
  const int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
  return pwrite(fd, text, (size_t)length, 0) == length;
}

static bool join_cgroups(struct spawn *s) {
  for (size_t i = 0; i < s->cgroups; i++)
    if (!write_file_at(AT_FDCWD, s->cgroup_files[i], "0", 1, &s->failed)) return false;
  return true;
}

static bool place(int from, int to, struct err *e) {
  return from < 0 || dup2(from, to) == to || fail_errno(e, "dup2", "descriptor of the child");
}

static bool prepare(struct spawn *s) {
  struct err *e = &s->failed;
  if (setsid() < 0) return fail_errno(e, "setsid", "");
  if (!s->outlive) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) return fail_errno(e, "prctl PR_SET_PDEATHSIG", "");
    // The caller may have died before the line above.
    if (getppid() != s->parent) return fail(e, ESRCH, "start", "the agent is gone");
  }
  if (s->lock >= 0 && !write_pid(s->lock)) return fail_errno(e, "write", "lock file");
  if (!join_cgroups(s)) return false;
  if (!place(s->input, 0, e) || !place(s->output, 1, e) || !place(s->error, 2, e) || !place(s->lock, LOCK_FD, e) ||
      !place(s->mounts, MOUNTS_FD, e))
    return false;
  if (sys_close_range(MOUNTS_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0) return fail_errno(e, "close_range", "");
  if (chdir(s->cwd) < 0) return fail_errno(e, "chdir", s->cwd);
  if (prlimit(0, RLIMIT_NOFILE, &s->nofile, NULL) < 0) return fail_errno(e, "setrlimit", "RLIMIT_NOFILE");
  reset_process_state();
  return true;
}

ON_OTHER_STACK static int child(void *argument) {
  struct spawn *s = argument;
  if (!prepare(s)) _exit(127);
  if (s->program >= 0)
    syscall(SYS_execveat, s->program, "", s->argv, s->envp, AT_EMPTY_PATH);
  else
    execve(s->argv[0], s->argv, s->envp);
  fail_errno(&s->failed, "exec", s->argv[0]);
  _exit(127);
}

int spawn(struct spawn *s, int *pidfd) {
  s->failed = (struct err){0};
  s->parent = getpid();
  // A signal handler of ours must not run in the child, which shares our memory.
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  const int pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, s, pidfd);
  if (pid < 0) fail_errno(&s->failed, "clone", s->argv[0]);
  sigprocmask(SIG_SETMASK, &before, NULL);
  if (pid < 0) return -1;
  if (s->failed.number == 0) return pid;
  waitpid(pid, NULL, 0);
  close_fd(pidfd);
  return -1;
}

bool run_in_child(unsigned long flags, int (*run)(void *), void *argument) {
  const int pid =
      clone(run, stack + sizeof stack, (int)(CLONE_VM | CLONE_VFORK | CLONE_FILES | flags) | SIGCHLD, argument);
  int status = 0;
  if (pid < 0) return false;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool reserve_low_descriptors(struct err *e) {
  for (;;) {
    const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) return fail_errno(e, "open", "/dev/null");
    if (fd <= 15) continue;
    close(fd);
    return true;
  }
}
