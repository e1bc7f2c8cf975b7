#include "setup.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "spawn.h"
#include "sys.h"

static bool copy_into(int to, struct err *e) {
  AUTO_CLOSE int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (from < 0 || fstat(from, &info) < 0) return fail_errno(e, "open", "/proc/self/exe");
  for (off_t left = info.st_size; left > 0;) {
    const ssize_t n = sendfile(to, from, NULL, (size_t)left);
    if (n <= 0) return fail(e, n == 0 ? EIO : errno, "copy", "/proc/self/exe");
    left -= n;
  }
  return true;
}

static int executable_memfd(void) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = memfd_create("berth-shim", flags | MFD_EXEC);
  // Before 6.3 the flag is unknown and every memfd is executable.
  return fd < 0 && errno == EINVAL ? memfd_create("berth-shim", flags) : fd;
}

static int sealed_copy(struct err *e) {
  AUTO_CLOSE int fd = executable_memfd();
  if (fd < 0) {
    fail_errno(e, "memfd_create", "berth-shim");
    return -1;
  }
  if (!copy_into(fd, e)) return -1;
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
    fail_errno(e, "seal", "memfd berth-shim");
    return -1;
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const int readable = open(path, O_RDONLY | O_CLOEXEC);
  if (readable < 0) fail_errno(e, "open", "memfd berth-shim");
  return readable;
}

static int read_only_mount(struct err *e) {
  const struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
  int fd = sys_open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE);
  if (fd >= 0 && sys_mount_setattr(fd, 0, &read_only) == 0) return fd;
  fail_errno(e, "read-only mount of", "/proc/self/exe");
  close_fd(&fd);
  return -1;
}

int open_own_program(bool memfd, struct err *e) {
  const int fd = memfd ? sealed_copy(e) : -1;
  return fd >= 0 ? fd : read_only_mount(e);
}

struct template {
  int namespace;
  struct err *e;
};

static bool template_mount(int *out, struct err *e) {
  AUTO_CLOSE int fs = sys_fsopen("tmpfs");
  if (fs < 0) return fail_errno(e, "fsopen", "tmpfs");
  if (sys_fsconfig_string(fs, "size", "4096") < 0 || sys_fsconfig_string(fs, "nr_inodes", "8") < 0 ||
      sys_fsconfig_string(fs, "mode", "0555") < 0 || sys_fsconfig_create(fs) < 0)
    return fail_errno(e, "make", "tmpfs of the mount template");
  const unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  AUTO_CLOSE int made = sys_fsmount(fs, attributes);
  if (made < 0 || mkdirat(made, "root", 0555) < 0) return fail_errno(e, "make", "/root of the mount template");
  // All containers' namespaces share this file system: nobody may write to it.
  const struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
  if (sys_mount_setattr(made, 0, &read_only) < 0) return fail_errno(e, "mount_setattr", "mount template");
  *out = keep_fd(&made);
  return true;
}

static bool enter_template(struct template *t) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return fail_errno(t->e, "make private", "/");
  AUTO_CLOSE int root = -1, made = -1;
  if (!template_mount(&made, t->e)) return false;
  root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || sys_move_mount(made, root) < 0) return fail_errno(t->e, "mount", "the template's root");
  AUTO_CLOSE int namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (namespace < 0) return fail_errno(t->e, "open", "/proc/self/ns/mnt");
  if (fchdir(made) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
    return fail_errno(t->e, "pivot_root", "the template's root");
  if (umount2(".", MNT_DETACH) < 0) return fail_errno(t->e, "umount", "the host's root in the template");
  t->namespace = keep_fd(&namespace);
  return true;
}

static int template_child(void *argument) { return enter_template(argument) ? 0 : 1; }

int make_mount_template(struct err *e) {
  // The child shares our descriptors, so its namespace stays with us, and our own is never left.
  struct template t = {.namespace = -1, .e = e};
  *e = (struct err){0};
  if (run_in_child(CLONE_NEWNS, template_child, &t)) return t.namespace;
  if (e->number == 0) fail_errno(e, "clone", "mount template");
  return -1;
}
