#include "runner.h"

#include <errno.h>
#include <limits.h>
#include <linux/sched.h>
#include <linux/keyctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "sys.h"

static bool op_cgroup_join(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  return write_file_at(AT_FDCWD, read_string(in, NULL), "0", 1, e);
}

static bool op_join_ns(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  const uint64_t kind = read_number(in);
  const char *path = read_string(in, NULL);
  AUTO_CLOSE int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open namespace", path);
  return syscall(SYS_setns, fd, (int)kind) == 0 ? true : fail_errno(e, "join namespace", path);
}

static bool op_unshare(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  return syscall(SYS_unshare, (int)read_number(in)) == 0 ? true : fail_errno(e, "unshare", "namespaces");
}

static bool op_join_container(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t kinds = read_number(in) | (r->born != NULL ? CLONE_NEWPID : 0);
  if (r->container < 0) return fail(e, EINVAL, "join container", "not an exec");
  if (syscall(SYS_setns, r->container, (int)kinds) < 0) return fail_errno(e, "join container", "its namespaces");
  if ((kinds & CLONE_NEWUSER) != 0 && !become_root(e)) return false;
  close_fd(&r->root);
  r->root = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return r->root >= 0 ? true : fail_errno(e, "open", "/");
}

// Runs in the host's mount namespace, before any of the container's is entered.
static bool write_own_proc(const char *name, const char *value, struct err *e) {
  AUTO_CLOSE int proc = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  AUTO_CLOSE int fd = open_in_proc(proc, name, "open", e);
  return fd >= 0 && (write(fd, value, strlen(value)) >= 0 || fail_errno(e, "write", value));
}

static bool op_oom_score(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  if (write_own_proc("self/oom_score_adj", read_string(in, NULL), e)) return true;
  // Lowering needs CAP_SYS_RESOURCE. Without it the process keeps what it inherited, its supervisor's own.
  return strcmp(e->what, "write") == 0 && (e->number == EACCES || e->number == EPERM);
}

// Holds from the exec on, and a fork keeps it (birth.c).
static bool op_label(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  const char *file = read_string(in, NULL), *label = read_string(in, NULL);
  return write_own_proc(file, label, e) ? true : fail(e, e->number, "set security label", label);
}

static bool op_rlimit(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  const uint64_t resource = read_number(in);
  const uint64_t soft = read_number(in), hard = read_number(in), limit[2] = {soft, hard};
  return syscall(SYS_prlimit64, 0, (int)resource, limit, NULL) == 0 ? true : fail_errno(e, "set rlimit", "limits of the process");
}

static bool op_no_new_privs(struct runner *r, struct reader *in, struct err *e) {
  (void)r, (void)in;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? true : fail_errno(e, "set", "no_new_privs");
}

static bool op_umask(struct runner *r, struct reader *in, struct err *e) {
  (void)e;
  r->umask = (mode_t)read_number(in) & 0777;
  return true;
}

// A scope or a hook wants the pid before the process goes on.
static bool op_wait(struct runner *r, struct reader *in, struct err *e) {
  (void)in;
  char byte;
  return recv(r->status, &byte, 1, 0) == 1 ? true : fail(e, EPIPE, "wait", "the supervisor is gone");
}

static const struct {
  uint16_t code;
  bool (*run)(struct runner *r, struct reader *in, struct err *e);
} table[] = {
    {OP_CGROUP_JOIN, op_cgroup_join}, {OP_JOIN_NS, op_join_ns},       {OP_UNSHARE, op_unshare},
    {OP_JOIN_CONTAINER, op_join_container}, {OP_OOM_SCORE, op_oom_score}, {OP_OVERLAY, op_overlay},
    {OP_ROOT_BIND, op_root_bind},     {OP_OPEN_MOUNT, op_open_mount}, {OP_ENTER_ROOT, op_enter_root},
    {OP_MOUNT_SLOT, op_mount_slot},   {OP_MOUNT_FS, op_mount_fs},     {OP_MKDIR, op_mkdir},
    {OP_MKNOD, op_mknod},             {OP_SYMLINK, op_symlink},       {OP_MASK, op_mask},
    {OP_READ_ONLY_PATH, op_read_only_path}, {OP_ROOT_READ_ONLY, op_root_read_only}, {OP_TERMINAL, op_terminal},
    {OP_RLIMIT, op_rlimit},           {OP_CREDENTIALS, op_credentials}, {OP_NO_NEW_PRIVS, op_no_new_privs},
    {OP_SECCOMP, op_seccomp},         {OP_CWD, op_cwd},               {OP_UMASK, op_umask},
    {OP_SYSCTL, op_sysctl},           {OP_EXEC, op_exec},             {OP_WAIT, op_wait},
    {OP_MOUNT_ATTRIBUTES, op_mount_attributes}, {OP_LABEL, op_label}, {OP_OPEN_OVERLAY, op_open_overlay},
    {OP_MOUNT_LABEL, op_mount_label}, {OP_COPY, op_copy},
    {OP_USER_NS, op_user_ns},         {OP_JOIN_USER, op_join_user},   {OP_OPEN_FS, op_open_fs},
    {OP_NODES, op_nodes},             {OP_OWN_STREAMS, op_own_streams},
};

static bool run_one(struct runner *r, struct operation *op, struct err *e) {
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].code == op->code) return table[i].run(r, &op->in, e);
  return fail(e, EINVAL, operation_name(op->code), "not an operation of the container's process");
}

// The state that every process starts from (house.md, "Guests and hosts").
bool join_keyring(struct err *e) {
  // Refused only where the kernel has no keyrings.
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM)
    return fail_errno(e, "join", "session keyring");
  return true;
}

// A service may be kept to some processors (systemd's CPUAffinity=), and since 6.2 the kernel does not widen that when a process joins a
// cpuset. Of a mask with all of them it takes those that the cpuset has.
static void use_all_processors(void) {
  unsigned long all[8192 / (8 * sizeof(long))];  // the most that a kernel can be built for
  memset(all, 0xff, sizeof all);
  (void)syscall(SYS_sched_setaffinity, 0, sizeof all, all);
}

static bool fixed_state(const struct runner *r, struct err *e) {
  set_undumpable();
  umask(0);  // what is made gets its mode whole; the process's own comes before exec
  raise_descriptors();  // each mount takes one; the plan has the container's limit
  // Who is born twice has his session then.
  if (r->born == NULL && setsid() < 0) return fail_errno(e, "setsid", "session");
  personality(PER_LINUX);
  use_all_processors();
  return join_keyring(e);
}

void runner_run(struct runner *r, struct err *e) {
  struct operation op;
  prctl(PR_SET_NAME, "berth-init", 0, 0, 0);
  if (!fixed_state(r, e)) return;
  while (plan_next(&r->plan, &op))
    if (!run_one(r, &op, e)) return;
  fail(e, EINVAL, "run plan", "it ends without exec");
}
