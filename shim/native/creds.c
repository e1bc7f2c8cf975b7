// Who the process is: ids, capabilities, seccomp; and the exec.
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "birth.h"
#include "sys.h"

static bool set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  const struct __user_cap_data_struct data[2] = {
      {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
      {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)}};
  return syscall(SYS_capset, &header, data) == 0;
}

static bool last_capabilities(struct runner *r, struct err *e) {
  r->caps_pending = false;
  if (!set_capabilities(r->effective, r->permitted, r->inheritable)) return fail_errno(e, "set credentials", "capset");
  for (int c = 0; c < 64; c++)
    if ((r->ambient >> c & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) < 0)
      return fail_errno(e, "set credentials", "ambient capabilities");
  return true;
}

static bool drop_bounding(uint64_t keep, struct err *e) {
  for (int c = 0; c < 64; c++) {
    if ((keep >> c & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break;  // past the last one that this kernel has
    return fail_errno(e, "set credentials", "bounding set");
  }
  return true;
}

// The user may open /dev/stdout again by its name: pipes and the terminal become the user's.
static bool own_streams(uid_t uid, struct err *e) {
  for (int fd = 0; fd < 3; fd++) {
    struct stat info;
    if (fstat(fd, &info) < 0) continue;
    const bool ours = S_ISFIFO(info.st_mode) || isatty(fd) == 1;
    if (ours && info.st_uid != uid && fchown(fd, uid, (gid_t)-1) < 0) return fail_errno(e, "chown", "standard streams");
  }
  return true;
}

bool op_own_streams(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  return own_streams((uid_t)read_number(in), e);
}

bool become_root(struct err *e) {
  if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
    return fail_errno(e, "become root of", "user namespace");
  set_undumpable();
  return join_keyring(e);
}

bool op_credentials(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t uid = read_number(in), gid = read_number(in);
  size_t length;
  const char *bytes = read_string(in, &length);
  const uint64_t bounding = read_number(in);
  r->effective = read_number(in);
  r->permitted = read_number(in);
  r->inheritable = read_number(in);
  r->ambient = read_number(in);
  // -1 means "leave it" to setresuid: such an id would stay root (containerd CVE-2024-40635).
  if (uid >= UINT32_MAX || gid >= UINT32_MAX || length % 4 != 0 || length / 4 > NGROUPS_MAX)
    return fail(e, EINVAL, "set credentials", "uid, gid or groups out of range");
  AUTO_FREE gid_t *groups = malloc(length + sizeof *groups);
  if (groups == NULL) return fail(e, ENOMEM, "set credentials", "groups");
  memcpy(groups, bytes, length);
  if (!own_streams((uid_t)uid, e) || !drop_bounding(bounding, e)) return false;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return fail_errno(e, "set credentials", "keepcaps");
  if (syscall(SYS_setgroups, length / 4, groups) < 0) return fail_errno(e, "set credentials", "setgroups");
  if (syscall(SYS_setresgid, (gid_t)gid, (gid_t)gid, (gid_t)gid) < 0) return fail_errno(e, "set credentials", "setresgid");
  if (syscall(SYS_setresuid, (uid_t)uid, (uid_t)uid, (uid_t)uid) < 0) return fail_errno(e, "set credentials", "setresuid");
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return fail_errno(e, "set credentials", "keepcaps");
  set_undumpable();
  // Without no_new_privs a filter is loaded with CAP_SYS_ADMIN, which goes at the exec.
  r->caps_pending = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && plan_next_is(&r->plan, OP_SECCOMP);
  if (!r->caps_pending) return last_capabilities(r, e);
  const uint64_t all = r->permitted | 1ull << CAP_SYS_ADMIN | 1ull << CAP_SETPCAP;
  return set_capabilities(all, all, r->inheritable) ? true : fail_errno(e, "set credentials", "capset");
}

// The last words before a filter may forbid them.
bool runner_ready(struct runner *r, struct err *e) {
  if (sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0) return fail_errno(e, "close", "descriptors");
  umask(r->umask);
  const char ready = READY_BYTE;
  r->ready = true;
  return send(r->status, &ready, 1, MSG_NOSIGNAL) == 1 ? true : fail_errno(e, "tell", "the supervisor");
}

bool op_seccomp(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t flags = read_number(in);
  size_t length;
  const char *bytes = read_string(in, &length);
  const size_t count = length / sizeof(struct sock_filter);
  if (count == 0 || length % sizeof(struct sock_filter) != 0 || count > BPF_MAXINSNS)
    return fail(e, EINVAL, "load seccomp", "size of the filter");
  AUTO_FREE struct sock_filter *filter = malloc(length);
  if (filter == NULL) return fail(e, ENOMEM, "load seccomp", "filter");
  memcpy(filter, bytes, length);
  const struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
  if (!birth_prepare(r, e) || !runner_ready(r, e)) return false;
  // A guest that takes hold of the second process must not find it without the filter.
  const bool before_birth = r->born != NULL && birth_is_allowed(filter, count);
  if (!before_birth && !birth(r, e)) return false;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)flags, &program) < 0)
    return fail_errno(e, "load seccomp", "filter");
  if (r->caps_pending && !last_capabilities(r, e)) return false;
  return !before_birth || birth(r, e);
}

// What execvpe does, without a shell for files of unknown format: that is an error here.
static int exec_in_path(char **arguments, char **environment, const char *path) {
  int number = ENOENT;
  const char *name = arguments[0];
  for (const char *at = path;;) {
    const size_t length = strcspn(at, ":");
    char file[PATH_MAX];
    const int n = snprintf(file, sizeof file, "%.*s%s%s", (int)length, at, length == 0 ? "" : "/", name);
    if (n > 0 && (size_t)n < sizeof file) {
      execve(file, arguments, environment);
      if (errno == EACCES) number = EACCES;
      else if (errno != ENOENT && errno != ENOTDIR) return errno;
    }
    if (at[length] == '\0') return number;
    at += length + 1;
  }
}

bool op_exec(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t argc = read_number(in);
  const size_t most = (size_t)(in->end - in->at) / 5 + 2;
  AUTO_FREE char **words = calloc(most + 1, sizeof *words);
  if (words == NULL) return fail(e, ENOMEM, "exec", "arguments");
  if (argc == 0 || argc >= most) return fail(e, EINVAL, "exec", "no arguments");
  // One array holds both: a NULL stands between the arguments and the environment.
  size_t n = 0;
  for (uint64_t i = 0; i < argc; i++) words[n++] = (char *)(uintptr_t)read_string(in, NULL);
  char **environment = &words[++n];
  const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  while (in->at < in->end && !in->bad) {
    const char *word = read_string(in, NULL);
    if (strncmp(word, "PATH=", 5) == 0) path = word + 5;
    words[n++] = (char *)(uintptr_t)word;
  }
  if (in->bad) return fail(e, EINVAL, "exec", "arguments");
  if (r->caps_pending && !last_capabilities(r, e)) return false;
  if (!r->ready && (!birth_prepare(r, e) || !runner_ready(r, e) || !birth(r, e))) return false;
  if (strchr(words[0], '/') != NULL) {
    execve(words[0], words, environment);
    return fail_errno(e, "exec", words[0]);
  }
  const int number = words[0][0] == '\0' ? ENOENT : exec_in_path(words, environment, path);
  char text[256];
  snprintf(text, sizeof text, "%.160s (looked for in PATH)", words[0]);
  return fail(e, number, "exec", text);
}
