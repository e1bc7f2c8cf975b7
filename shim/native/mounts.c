// What is mounted and made inside the container's root. Every target is resolved under the root's descriptor and used
// by descriptor, so a name that changes in between changes nothing (runc CVE-2021-30465).
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "birth.h"
#include "sys.h"

// Of a directory the kernel has seen to it (O_DIRECTORY), and a link is never what is opened.
static bool right_kind(int fd, enum target_kind kind, const char *path, struct err *e) {
  struct stat info;
  if (kind != TARGET_FILE) return true;
  if (fstat(fd, &info) < 0) return fail_errno(e, "stat", path);
  return !S_ISDIR(info.st_mode) ? true : fail(e, EISDIR, "open target", path);
}

static bool make_part(int dir, const char *name, bool directory) {
  if (directory) return mkdirat(dir, name, 0755) == 0;
  AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  return fd >= 0;
}

// A dangling link stands at the end of `path[0..parent)` + name: puts where it points to in place of it.
static bool follow_link(int dir, char *path, size_t parent, size_t end, struct err *e) {
  char target[PATH_MAX], name[NAME_MAX + 1], whole[PATH_MAX];
  snprintf(name, sizeof name, "%.*s", (int)(end - parent), path + parent);
  const ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
  if (n < 0) return fail(e, errno == EINVAL ? EEXIST : errno, "make", path);
  target[n] = '\0';
  const int length = snprintf(whole, sizeof whole, "%.*s%s%s", target[0] == '/' ? 0 : (int)parent, path, target, path + end);
  if (length < 0 || (size_t)length >= sizeof whole) return fail(e, ENAMETOOLONG, "make", path);
  memcpy(path, whole, (size_t)length + 1);
  return true;
}

// Makes the first missing part of `path` and those behind it, or rewrites `path` where a dangling link is in the way.
static bool make_missing(int root, char *path, bool directory, uint64_t resolve, struct err *e) {
  AUTO_CLOSE int dir = sys_openat2(root, ".", O_PATH | O_DIRECTORY, 0, resolve);
  size_t at = strspn(path, "/");
  while (dir >= 0 && path[at] != '\0') {
    const size_t end = at + strcspn(path + at, "/");
    const size_t next = end + strspn(path + end, "/");
    const bool last = path[next] == '\0';
    const char kept = path[end];
    path[end] = '\0';
    int child = sys_openat2(root, path, O_PATH, 0, resolve);
    if (child < 0 && errno == ENOENT && make_part(dir, path + at, !last || directory))
      child = sys_openat2(root, path, O_PATH, 0, resolve);
    else if (child < 0 && errno == EEXIST && (resolve & RESOLVE_NO_SYMLINKS) == 0) {
      path[end] = kept;
      return follow_link(dir, path, at, end, e);
    }
    if (child < 0) {
      fail_errno(e, "make", path);
      path[end] = kept;
      return false;
    }
    path[end] = kept;
    close(dir);
    dir = child;
    at = next;
  }
  return dir >= 0 ? true : fail_errno(e, "open", path);
}

// Mostly only the last part is missing, and its parent is there.
static bool make_last(int root, char *path, bool directory, uint64_t resolve) {
  char *slash = strrchr(path, '/');
  if (slash == NULL || slash[1] == '\0') return false;
  if (slash == path) return make_part(root, slash + 1, directory);
  *slash = '\0';
  AUTO_CLOSE int parent = sys_openat2(root, path, O_PATH | O_DIRECTORY, 0, resolve);
  *slash = '/';
  return parent >= 0 && make_part(parent, slash + 1, directory);
}

int open_target(int root, const char *path, enum target_kind kind, int flags, struct err *e) {
  const uint64_t links = (flags & TARGET_NO_LINKS) != 0 ? RESOLVE_NO_SYMLINKS : 0;
  const uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | links;
  char work[PATH_MAX];
  if (strlen(path) >= sizeof work) return fail(e, ENAMETOOLONG, "open target", path), -1;
  memcpy(work, path, strlen(path) + 1);
  const uint64_t directory_only = kind == TARGET_DIRECTORY ? O_DIRECTORY : 0;
  for (int hops = 0; hops < 40; hops++) {
    AUTO_CLOSE int fd = sys_openat2(root, work, O_PATH | directory_only, 0, resolve);
    if (fd >= 0) {
      if (!right_kind(fd, kind, path, e)) return -1;
      return keep_fd(&fd);
    }
    if (errno != ENOENT || (flags & TARGET_MAKE) == 0) return fail_errno(e, "open target", path), -1;
    const bool directory = kind == TARGET_DIRECTORY;
    if (!make_last(root, work, directory, resolve) && !make_missing(root, work, directory, resolve, e)) return -1;
  }
  return fail(e, ELOOP, "open target", path), -1;
}

// Below these the runtime makes everything itself, so a link there is an attack.
static const char *const tops[] = {"/dev", "/proc", "/sys"};
static bool is_ours(const char *path) {
  for (size_t i = 0; i < sizeof tops / sizeof tops[0]; i++) {
    const size_t length = strlen(tops[i]);
    if (strncmp(path, tops[i], length) == 0 && (path[length] == '/' || path[length] == '\0')) return true;
  }
  return false;
}

// Whether a target that links led to is in the container's /proc or /sys, or is its /dev: over that one a mount would get
// the nodes that are made next, and leave them where it comes from.
static bool is_taken(int root, int target) {
  uint64_t inode, mount_id, top_inode, top_id;
  struct err ignored;
  if (sys_place(target, &inode, &mount_id) < 0) return true;
  for (size_t i = 0; i < sizeof tops / sizeof tops[0]; i++) {
    AUTO_CLOSE int top = open_target(root, tops[i], TARGET_DIRECTORY, TARGET_NO_LINKS, &ignored);
    if (top < 0 || sys_place(top, &top_inode, &top_id) < 0 || top_id != mount_id) continue;
    if (i > 0 || top_inode == inode) return true;
  }
  return false;
}

static int open_place(int root, const char *path, enum target_kind kind, int flags, struct err *e) {
  AUTO_CLOSE int target = open_target(root, path, kind, TARGET_MAKE | TARGET_NO_LINKS, e);
  if (target >= 0 || (flags & TARGET_NO_LINKS) != 0 || e->number != ELOOP) return keep_fd(&target);
  target = open_target(root, path, kind, TARGET_MAKE, e);
  if (target >= 0 && is_taken(root, target)) return fail(e, EINVAL, "mount (a link leads into /dev, /proc or /sys)", path), -1;
  return keep_fd(&target);
}

static bool attach(struct runner *r, int mount_fd, const char *path, enum target_kind kind, int flags, struct err *e) {
  AUTO_CLOSE int target = open_place(r->root, path, kind, flags, e);
  if (target < 0) return false;
  close_fd(&r->parent);  // its path may lead elsewhere now
  return sys_move_mount(mount_fd, target) == 0 ? true : fail_errno(e, "mount", path);
}

// Instead of the whole what is in a directory below its root. Only of what is mounted every kernel makes a clone.
static bool narrow(struct runner *r, int *whole, const char *path, const char *directory, struct err *e) {
  if (!attach(r, *whole, path, TARGET_DIRECTORY, is_ours(path) ? TARGET_NO_LINKS : 0, e)) return false;
  const uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  AUTO_CLOSE int fd = sys_openat2(*whole, directory, O_PATH | O_DIRECTORY, 0, resolve);
  AUTO_CLOSE int part = fd < 0 ? -1 : sys_open_tree(fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (part < 0) return fail_errno(e, "open directory of volume", directory);
  if (fchdir(*whole) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return fail_errno(e, "unmount", path);
  close_fd(whole);
  *whole = keep_fd(&part);
  return true;
}

bool op_mount_slot(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t slot = read_number(in);
  const char *path = read_string(in, NULL);
  struct stat info;
  if (slot >= r->slot_count || r->slots[slot] < 0) return fail(e, EBADF, "mount", path);
  if (in->at < in->end && !narrow(r, &r->slots[slot], path, read_string(in, NULL), e)) return false;
  if (fstat(r->slots[slot], &info) < 0) return fail_errno(e, "stat mount source of", path);
  const enum target_kind kind = S_ISDIR(info.st_mode) ? TARGET_DIRECTORY : TARGET_FILE;
  if (!attach(r, r->slots[slot], path, kind, is_ours(path) ? TARGET_NO_LINKS : 0, e)) return false;
  close_fd(&r->slots[slot]);
  return true;
}

static bool configure(int fs, const char *source, struct reader *options) {
  if (source[0] != '\0' && sys_fsconfig_string(fs, "source", source) < 0) return false;
  while (options->at < options->end) {
    const char *option = read_string(options, NULL), *equals = strchr(option, '=');
    AUTO_FREE char *key = strndup(option, equals == NULL ? strlen(option) : (size_t)(equals - option));
    if (key == NULL) return false;
    if ((equals == NULL ? sys_fsconfig_flag(fs, key) : sys_fsconfig_string(fs, key, equals + 1)) < 0) return false;
  }
  return sys_fsconfig_create(fs) == 0;
}

// A new file system as a detached mount; `in` is at its options. -1.
static int make_fs(struct runner *r, const char *type, const char *source, unsigned attributes, struct reader *in) {
  const bool is_handed = r->born != NULL && strcmp(type, "proc") == 0;
  AUTO_CLOSE int fs = is_handed ? birth_proc() : sys_fsopen(type);
  if (fs < 0 || !configure(fs, source, in)) return -1;
  AUTO_CLOSE int made = sys_fsmount(fs, attributes);
  struct statfs info;
  if (made < 0 || (is_handed && fstatfs(made, &info) < 0)) return -1;
  if (is_handed && info.f_type != PROC_SUPER_MAGIC) return errno = EINVAL, -1;
  return keep_fd(&made);
}

bool op_mount_fs(struct runner *r, struct reader *in, struct err *e) {
  const char *type = read_string(in, NULL), *source = read_string(in, NULL), *path = read_string(in, NULL);
  AUTO_CLOSE int made = make_fs(r, type, source, (unsigned)read_number(in), in);
  if (made < 0) return fail_errno(e, "mount", path);
  const bool plain = strcmp(type, "tmpfs") == 0 && !is_ours(path);
  return attach(r, made, path, TARGET_DIRECTORY, plain ? 0 : TARGET_NO_LINKS, e);
}

bool op_open_fs(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t slot = read_number(in);
  const char *type = read_string(in, NULL), *source = read_string(in, NULL);
  AUTO_CLOSE int made = make_fs(r, type, source, (unsigned)read_number(in), in);
  if (made < 0) return fail_errno(e, "make file system", type);
  if (!set_slot(r, slot, made, e)) return false;
  made = -1;
  return true;
}

bool op_nodes(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t slot = read_number(in);
  if (slot >= r->slot_count || r->slots[slot] < 0) return fail(e, EBADF, "make nodes in", "slot");
  close_fd(&r->parent);
  close_fd(&r->nodes);
  r->nodes = fcntl(r->slots[slot], F_DUPFD_CLOEXEC, 3);
  return r->nodes >= 0 ? true : fail_errno(e, "make nodes in", "slot");
}

// The directory that `path` is made in, and its last component. It stays the runner's: what is made comes in rows.
static int open_parent(struct runner *r, const char *path, const char **name, struct err *e) {
  const char *slash = strrchr(path, '/');
  *name = slash == NULL ? path : slash + 1;
  if (**name == '\0' || strcmp(*name, "..") == 0) return fail(e, EINVAL, "make", path), -1;
  char parent[PATH_MAX];
  const int length = slash == NULL ? 0 : (int)(slash - path);
  if ((size_t)length >= sizeof parent) return fail(e, ENAMETOOLONG, "make", path), -1;
  snprintf(parent, sizeof parent, "/%.*s", length, path);
  if (r->parent >= 0 && strcmp(parent, r->parent_path) == 0) return r->parent;
  close_fd(&r->parent);
  snprintf(r->parent_path, sizeof r->parent_path, "%s", parent);
  r->parent = open_target(r->nodes >= 0 ? r->nodes : r->root, parent, TARGET_DIRECTORY, TARGET_MAKE | TARGET_NO_LINKS, e);
  return r->parent;
}

bool op_mkdir(struct runner *r, struct reader *in, struct err *e) {
  const char *path = read_string(in, NULL), *name;
  const uint64_t mode = read_number(in), uid = read_number(in), gid = read_number(in);
  const int dir = open_parent(r, path, &name, e);
  if (dir < 0) return false;
  if (mkdirat(dir, name, (mode_t)mode) < 0) return errno == EEXIST ? true : fail_errno(e, "mkdir", path);
  return fchownat(dir, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) == 0 ? true : fail_errno(e, "chown", path);
}

bool op_mknod(struct runner *r, struct reader *in, struct err *e) {
  const char *path = read_string(in, NULL), *name;
  const uint64_t mode = read_number(in), major = read_number(in), minor = read_number(in);
  const uint64_t uid = read_number(in), gid = read_number(in);
  const int dir = open_parent(r, path, &name, e);
  if (dir < 0) return false;
  const dev_t device = makedev((unsigned)major, (unsigned)minor);
  if (mknodat(dir, name, (mode_t)mode, device) < 0) {
    // The same node twice is no error: a device of the request may also be one of the standard ones.
    struct stat info;
    const bool there = errno == EEXIST && fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && (info.st_mode & S_IFMT) == (mode & S_IFMT) && info.st_rdev == device) return true;
    return fail(e, there ? EEXIST : errno, "mknod", path);
  }
  return fchownat(dir, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) == 0 ? true : fail_errno(e, "chown", path);
}

bool op_symlink(struct runner *r, struct reader *in, struct err *e) {
  const char *target = read_string(in, NULL), *path = read_string(in, NULL), *name;
  const int dir = open_parent(r, path, &name, e);
  if (dir < 0) return false;
  return symlinkat(target, dir, name) == 0 || errno == EEXIST ? true : fail_errno(e, "symlink", path);
}

static bool is_device(int fd, mode_t type, unsigned major, unsigned minor) {
  struct stat info;
  return fstat(fd, &info) == 0 && (info.st_mode & S_IFMT) == type && info.st_rdev == makedev(major, minor);
}

// The first use mounts what was made, each later one a clone of what is mounted (a clone of a detached mount needs 6.15).
static int mask_mount(struct runner *r, bool directory, struct err *e) {
  int *kept = directory ? &r->empty_mount : &r->null_mount;
  if (*kept >= 0) return sys_open_tree(*kept, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
  if (directory) {
    AUTO_CLOSE int fs = sys_fsopen("tmpfs");
    if (fs < 0 || sys_fsconfig_create(fs) < 0) return -1;
    *kept = sys_fsmount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV);
  } else {
    AUTO_CLOSE int null = open_target(r->root, "/dev/null", TARGET_FILE, TARGET_NO_LINKS, e);
    if (null < 0) return -1;
    // runc CVE-2025-31133: whatever else stands at /dev/null would be what the container reads.
    if (!is_device(null, S_IFCHR, 1, 3)) return errno = ENODEV, -1;
    *kept = sys_open_tree(null, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    if (*kept >= 0 && sys_mount_setattr(*kept, 0, &read_only) < 0) close_fd(kept);
  }
  return *kept < 0 ? -1 : fcntl(*kept, F_DUPFD_CLOEXEC, 3);
}

static bool is_missing(const struct err *e) { return e->number == ENOENT || e->number == ENOTDIR; }

bool op_mask(struct runner *r, struct reader *in, struct err *e) {
  const char *path = read_string(in, NULL);
  struct stat info;
  AUTO_CLOSE int target = open_target(r->root, path, TARGET_ANY, 0, e);
  if (target < 0) return is_missing(e);
  if (fstat(target, &info) < 0) return fail_errno(e, "stat", path);
  AUTO_CLOSE int cover = mask_mount(r, S_ISDIR(info.st_mode), e);
  if (cover < 0) return fail_errno(e, "mask", path);
  return sys_move_mount(cover, target) == 0 ? true : fail_errno(e, "mask", path);
}

bool op_read_only_path(struct runner *r, struct reader *in, struct err *e) {
  const char *path = read_string(in, NULL);
  AUTO_CLOSE int target = open_target(r->root, path, TARGET_ANY, 0, e);
  if (target < 0) return is_missing(e);
  AUTO_CLOSE int copy = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  if (copy < 0) return fail_errno(e, "make read-only", path);
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  if (sys_mount_setattr(copy, AT_RECURSIVE, &attributes) < 0) return fail_errno(e, "make read-only", path);
  return sys_move_mount(copy, target) == 0 ? true : fail_errno(e, "make read-only", path);
}

bool op_mount_attributes(struct runner *r, struct reader *in, struct err *e) {
  const char *path = read_string(in, NULL);
  const struct mount_attr attributes = {.attr_set = read_number(in)};
  AUTO_CLOSE int point = open_target(r->root, path, TARGET_DIRECTORY, TARGET_NO_LINKS, e);
  if (point < 0) return false;
  // The kernel refuses a descriptor that is not a mount's root: another mount's attributes are never what changes.
  return sys_mount_setattr(point, 0, &attributes) == 0 ? true : fail_errno(e, "set mount attributes", path);
}

bool op_sysctl(struct runner *r, struct reader *in, struct err *e) {
  (void)r;
  const char *name = read_string(in, NULL), *value = read_string(in, NULL);
  char path[256];
  if ((size_t)snprintf(path, sizeof path, "sys/%s", name) >= sizeof path) return fail(e, ENAMETOOLONG, "write sysctl", name);
  // A procfs of our own: what the container made of its /proc does not matter.
  AUTO_CLOSE int fs = sys_fsopen("proc");
  if (fs < 0 || sys_fsconfig_create(fs) < 0) return fail_errno(e, "mount", "private procfs");
  AUTO_CLOSE int proc = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV);
  AUTO_CLOSE int fd = open_in_proc(proc, path, "open sysctl", e);
  if (fd < 0) return false;
  return write(fd, value, strlen(value)) >= 0 ? true : fail_errno(e, "write sysctl", name);
}

bool op_cwd(struct runner *r, struct reader *in, struct err *e) {
  const char *path = read_string(in, NULL);
  const bool make = read_number(in) != 0;
  if (chdir(path) < 0) {
    if (errno != ENOENT || !make) return fail_errno(e, "chdir", path);
    AUTO_CLOSE int made = open_target(r->root, path, TARGET_DIRECTORY, TARGET_MAKE, e);
    if (made < 0) return false;
    if (chdir(path) < 0) return fail_errno(e, "chdir", path);
  }
  // runc CVE-2024-21626: a directory outside the root has no path that begins with a slash.
  char where[PATH_MAX];
  const long n = syscall(SYS_getcwd, where, sizeof where);
  if (n < 0) return fail_errno(e, "getcwd", path);
  return where[0] == '/' ? true : fail(e, EPERM, "chdir (outside of the root)", path);
}
