// Each feature is really tried, once, in a namespace of its own: version numbers say nothing about a patched kernel.
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "setup.h"
#include "spawn.h"
#include "sys.h"

struct probe {
  int mount_template, user_namespace;
  uint64_t features;
};

static int write_text(const char *path, const char *text) {
  struct err ignored;
  return write_file_at(AT_FDCWD, path, text, strlen(text), &ignored) ? 0 : -1;
}

static int open_user_namespace(void *argument) {
  struct probe *p = argument;
  if (write_text("/proc/self/setgroups", "deny") < 0 || write_text("/proc/self/uid_map", "0 0 1") < 0 ||
      write_text("/proc/self/gid_map", "0 0 1") < 0)
    return 1;
  p->user_namespace = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
  return p->user_namespace < 0;
}

static bool overlay_works(const char *key, const char *first, const char *second) {
  AUTO_CLOSE int fs = sys_fsopen("overlay");
  if (fs < 0 || sys_fsconfig_string(fs, key, first) < 0) return false;
  if (second != NULL && sys_fsconfig_string(fs, key, second) < 0) return false;
  if (sys_fsconfig_create(fs) < 0) return false;
  AUTO_CLOSE int made = sys_fsmount(fs, 0);
  return made >= 0;
}

static bool recursive_read_only_works(void) {
  const struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
  AUTO_CLOSE int tree = sys_open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | AT_RECURSIVE);
  return tree >= 0 && sys_mount_setattr(tree, AT_RECURSIVE, &read_only) == 0;
}

static bool idmapped_lower_works(int user_namespace) {
  if (user_namespace < 0) return false;
  const struct mount_attr mapped = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user_namespace};
  AUTO_CLOSE int tree = sys_open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE);
  if (tree < 0 || sys_mount_setattr(tree, 0, &mapped) < 0) return false;
  AUTO_CLOSE int onto = open("a", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return onto >= 0 && sys_move_mount(tree, onto) == 0 && overlay_works("lowerdir", "a:b", NULL);
}

// In a copy of the template with a tmpfs on /root; all of it goes with this child.
static bool enter_playground(int mount_template) {
  if (setns(mount_template, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0) return false;
  AUTO_CLOSE int fs = sys_fsopen("tmpfs");
  if (fs < 0 || sys_fsconfig_create(fs) < 0) return false;
  AUTO_CLOSE int made = sys_fsmount(fs, 0);
  AUTO_CLOSE int onto = open("/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (made < 0 || onto < 0 || sys_move_mount(made, onto) < 0) return false;
  return fchdir(made) == 0 && mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0;
}

static int probe_mounts(void *argument) {
  struct probe *p = argument;
  if (!enter_playground(p->mount_template)) return 1;
  if (overlay_works("lowerdir+", "a", "b")) p->features |= FEATURE_LOWERDIR_PLUS;
  if (overlay_works("lowerdir", "a:b", NULL)) p->features |= FEATURE_OVERLAY_NEW_API;
  if (recursive_read_only_works()) p->features |= FEATURE_RECURSIVE_READ_ONLY;
  if (idmapped_lower_works(p->user_namespace)) p->features |= FEATURE_IDMAPPED_OVERLAY_LOWER;
  return 0;
}

static bool clone_into_works(int cgroup) {
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup};
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) _exit(0);
  if (pid < 0) return false;
  while (waitpid((pid_t)pid, NULL, 0) < 0)
    if (errno != EINTR) return false;
  return true;
}

static bool own_cgroup(char *out, size_t size) {
  static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
  char text[4096];
  struct err ignored;
  if (!read_file_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof text, NULL, &ignored)) return false;
  const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
  if (line == NULL) return false;
  line += line == text ? 3 : 4;
  for (size_t i = 0; i < 2; i++) {
    struct statfs info;
    if (statfs(mounts[i], &info) < 0 || info.f_type != CGROUP2_SUPER_MAGIC) continue;
    const int n = snprintf(out, size, "%s%.*s", mounts[i], (int)strcspn(line, "\n"), line);
    return n > 0 && (size_t)n < size;
  }
  return false;
}

static uint64_t probe_cgroup(void) {
  char path[4352], name[48];
  if (!own_cgroup(path, sizeof path)) return 0;
  AUTO_CLOSE int own = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  snprintf(name, sizeof name, "berth-probe-%d", (int)getpid());
  if (own < 0 || mkdirat(own, name, 0755) < 0) return 0;
  uint64_t features = 0;
  AUTO_CLOSE int made = openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (made >= 0 && faccessat(made, "cgroup.kill", W_OK, 0) == 0) features |= FEATURE_CGROUP_KILL;
  if (made >= 0 && clone_into_works(made)) features |= FEATURE_CLONE_INTO_CGROUP;
  // The child has gone, but its cgroup may need a moment to notice.
  for (int tries = 0; tries < 100 && unlinkat(own, name, AT_REMOVEDIR) < 0 && errno == EBUSY; tries++) usleep(1000);
  return features;
}

static uint64_t probe_memfd(void) {
  AUTO_CLOSE int fd = memfd_create("berth-probe", MFD_CLOEXEC | MFD_EXEC);
  if (fd >= 0) return FEATURE_MEMFD_EXEC;
  if (errno != EINVAL) return 0;
  AUTO_CLOSE int plain = memfd_create("berth-probe", MFD_CLOEXEC);
  return plain >= 0 ? FEATURE_MEMFD_EXEC : 0;
}

uint64_t probe_features(int mount_template) {
  struct probe p = {.mount_template = mount_template, .user_namespace = -1};
  if (!run_in_child(CLONE_NEWUSER, open_user_namespace, &p)) close_fd(&p.user_namespace);
  run_in_child(0, probe_mounts, &p);
  close_fd(&p.user_namespace);
  return p.features | probe_cgroup() | probe_memfd();
}
