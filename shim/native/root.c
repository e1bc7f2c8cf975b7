// The root file system: overlay or bind as a detached mount, and the move into it.
#include <errno.h>
#include <limits.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runner.h"
#include "sys.h"

struct overlay {
  bool is_volatile;
  const char *upper, *work, *label;
  struct reader lowers;
};

// The text that the kernel left about a failed mount, else the fallback.
static bool fail_fs(int fs, struct err *e, const char *what, const char *object) {
  const int number = errno;
  char message[200];
  const ssize_t n = read(fs, message, sizeof message - 1);
  if (n <= 2) return fail(e, number, what, object);
  message[n] = '\0';
  message[strcspn(message, "\n")] = '\0';
  char text[256];
  snprintf(text, sizeof text, "%.60s (%.180s)", object, message + 2);
  return fail(e, number, what, text);
}

static const char *const fixed_options[][2] = {
    {"source", "overlay"}, {"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}, {"xino", "off"}};

// The kernel reads a backslash in these two as an escape; so does mount(2) with comma and colon.
static bool escape(char *out, size_t size, const char *path, struct err *e) {
  size_t n = 0;
  for (const char *p = path; *p != '\0'; p++) {
    if (n + 3 > size) return fail(e, ENAMETOOLONG, "mount overlay", path);
    if (strchr("\\,:", *p) != NULL) out[n++] = '\\';
    out[n++] = *p;
  }
  out[n] = '\0';
  return true;
}

static bool set_directories(int fs, struct overlay *o, struct err *e) {
  while (o->lowers.at < o->lowers.end) {
    const char *lower = read_string(&o->lowers, NULL);
    if (sys_fsconfig_string(fs, "lowerdir+", lower) < 0) return fail_fs(fs, e, "mount overlay", lower);
  }
  if (o->upper[0] == '\0') return true;
  char upper[PATH_MAX], work[PATH_MAX];
  if (!escape(upper, sizeof upper, o->upper, e) || !escape(work, sizeof work, o->work, e)) return false;
  if (sys_fsconfig_string(fs, "upperdir", upper) < 0) return fail_fs(fs, e, "mount overlay", o->upper);
  if (sys_fsconfig_string(fs, "workdir", work) < 0) return fail_fs(fs, e, "mount overlay", o->work);
  if (o->is_volatile && sys_fsconfig_flag(fs, "volatile") < 0) return fail_fs(fs, e, "mount overlay", "volatile");
  return true;
}

static int overlay_by_fsopen(struct overlay *o, struct err *e) {
  AUTO_CLOSE int fs = sys_fsopen("overlay");
  if (fs < 0) return fail_errno(e, "mount overlay", "fsopen"), -1;
  if (!set_directories(fs, o, e)) return -1;
  for (size_t i = 0; i < sizeof fixed_options / sizeof fixed_options[0]; i++)
    if (sys_fsconfig_string(fs, fixed_options[i][0], fixed_options[i][1]) < 0)
      return fail_fs(fs, e, "mount overlay", fixed_options[i][0]), -1;
  if (o->label != NULL && sys_fsconfig_string(fs, "context", o->label) < 0)
    return fail_fs(fs, e, "mount overlay with context", o->label), -1;
  if (sys_fsconfig_create(fs) < 0) return fail_fs(fs, e, "mount overlay", o->upper), -1;
  const int root = sys_fsmount(fs, 0);
  if (root < 0) fail_fs(fs, e, "mount overlay", o->upper);
  return root;
}

// mount(2) takes one page of options. Names of descriptors, seen from /proc/self/fd, are short and need no escapes: the 500
// layers that overlayfs takes at most have room.
#define DIRECTORIES_MOST 502
struct options {
  char text[4096];
  size_t length, count;
  int fds[DIRECTORIES_MOST];
};

static bool add_option(struct options *o, const char *key, const char *path, struct err *e) {
  if (o->count == DIRECTORIES_MOST) return fail(e, E2BIG, "mount overlay", "more than 500 layers");
  const int fd = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "mount overlay", path);
  o->fds[o->count++] = fd;
  o->length += (size_t)snprintf(o->text + o->length, sizeof o->text - o->length, "%s%d", key, fd);
  return o->length < sizeof o->text ? true : fail(e, ENAMETOOLONG, "mount overlay", path);
}

// In the namespace of the mount: overlayfs takes no directory of another one.
static bool add_options(struct options *options, struct overlay *o, struct err *e) {
  const bool has_label = o->label != NULL;
  options->length = (size_t)snprintf(options->text, sizeof options->text, "redirect_dir=nofollow,metacopy=off,index=off,xino=off%s%s%s%s",
                                     o->is_volatile ? ",volatile" : "", has_label ? ",context=\"" : "",
                                     has_label ? o->label : "", has_label ? "\"" : "");
  if (options->length >= sizeof options->text) return fail(e, ENAMETOOLONG, "mount overlay with context", o->label);
  for (const char *key = ",lowerdir="; o->lowers.at < o->lowers.end; key = ":")
    if (!add_option(options, key, read_string(&o->lowers, NULL), e)) return false;
  return o->upper[0] == '\0' ||
         (add_option(options, ",upperdir=", o->upper, e) && add_option(options, ",workdir=", o->work, e));
}

// Over the topmost layer's directory, and taken off it as a detached mount.
static int mount_over(const char *directory, struct overlay *o, struct err *e) {
  struct options options = {.count = 0};
  int root = -1;
  if (mount(NULL, "/", NULL, 1ul << 14 | 1ul << 18, NULL) < 0) fail_errno(e, "make private", "/");  // MS_REC | MS_PRIVATE
  else if (!add_options(&options, o, e)) root = -1;
  else if (chdir("/proc/self/fd") < 0) fail_errno(e, "chdir", "/proc/self/fd");
  else if (mount("overlay", directory, "overlay", 0, options.text) < 0) fail_errno(e, "mount overlay", directory);
  else if ((root = sys_open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE)) < 0) fail_errno(e, "open_tree", directory);
  while (options.count > 0) close(options.fds[--options.count]);
  return root;
}

// For kernels without lowerdir+: mount(2) in a passing mount namespace.
static int overlay_by_mount(struct overlay *o, struct err *e) {
  const char *directory = read_string(&(struct reader){o->lowers.at, o->lowers.end, 0}, NULL);
  AUTO_CLOSE int host = openat(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  AUTO_CLOSE int cwd = openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (host < 0 || cwd < 0) return fail_errno(e, "mount overlay", "/proc/self/ns/mnt"), -1;
  if (syscall(SYS_unshare, CLONE_NEWNS) < 0) return fail_errno(e, "unshare", "mount namespace"), -1;
  int root = mount_over(directory, o, e);
  if (syscall(SYS_setns, host, CLONE_NEWNS) < 0 || fchdir(cwd) < 0) {
    close_fd(&root);
    fail_errno(e, "join namespace", "the host's mount namespace");
  }
  return root;
}

static int make_overlay(uint64_t method, struct overlay *o, struct err *e) {
  return method == 0 ? overlay_by_fsopen(o, e) : overlay_by_mount(o, e);
}

bool op_overlay(struct runner *r, struct reader *in, struct err *e) {
  struct overlay o = {.is_volatile = read_number(in) != 0, .label = r->mount_label};
  const uint64_t method = read_number(in);
  o.upper = read_string(in, NULL);
  o.work = read_string(in, NULL);
  o.lowers = *in;
  close_fd(&r->root);
  r->root = make_overlay(method, &o, e);
  return r->root >= 0;
}

bool op_mount_label(struct runner *r, struct reader *in, struct err *e) {
  (void)e;
  r->mount_label = read_string(in, NULL);
  return true;
}

bool op_root_bind(struct runner *r, struct reader *in, struct err *e) {
  const char *directory = read_string(in, NULL);
  close_fd(&r->root);
  r->root = sys_open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE | AT_RECURSIVE);
  return r->root >= 0 ? true : fail_errno(e, "open root", directory);
}

static bool set_slot(struct runner *r, uint64_t slot, int fd, struct err *e) {
  if (slot >= 65536) return fail(e, EINVAL, "open mount source", "slot number");
  if (slot >= r->slot_count) {
    int *slots = realloc(r->slots, (slot + 1) * sizeof *slots);
    if (slots == NULL) return fail(e, ENOMEM, "open mount source", "slots");
    for (size_t i = r->slot_count; i <= slot; i++) slots[i] = -1;
    r->slots = slots;
    r->slot_count = slot + 1;
  }
  close_fd(&r->slots[slot]);
  r->slots[slot] = fd;
  return true;
}

bool op_open_mount(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t slot = read_number(in);
  const char *path = read_string(in, NULL);
  const unsigned recursive = read_number(in) != 0 ? AT_RECURSIVE : 0;
  // What holds for all of the tree in one call, what holds for its top in another.
  struct mount_attr all = {.propagation = read_number(in)};
  struct mount_attr top = {.attr_set = read_number(in)};
  all.attr_set = read_number(in);
  AUTO_CLOSE int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | recursive);
  if (fd < 0) return fail_errno(e, "open mount source", path);
  if (recursive == 0) {
    all.attr_set |= top.attr_set;
    top.attr_set = 0;
  }
  if (all.attr_set & MOUNT_ATTR__ATIME) all.attr_clr = MOUNT_ATTR__ATIME;
  if (top.attr_set & MOUNT_ATTR__ATIME) top.attr_clr = MOUNT_ATTR__ATIME;
  if ((all.propagation | all.attr_set) != 0 && sys_mount_setattr(fd, recursive, &all) < 0)
    return fail_errno(e, "set attributes of", path);
  if (top.attr_set != 0 && sys_mount_setattr(fd, 0, &top) < 0) return fail_errno(e, "set attributes of", path);
  if (!set_slot(r, slot, fd, e)) return false;
  fd = -1;
  return true;
}

bool op_open_overlay(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t slot = read_number(in), method = read_number(in);
  struct mount_attr attributes = {.attr_set = read_number(in) | MOUNT_ATTR_RDONLY};
  struct overlay o = {.upper = "", .work = "", .label = r->mount_label, .lowers = *in};
  if (attributes.attr_set & MOUNT_ATTR__ATIME) attributes.attr_clr = MOUNT_ATTR__ATIME;
  AUTO_CLOSE int fd = make_overlay(method, &o, e);
  if (fd < 0) return false;
  if (sys_mount_setattr(fd, 0, &attributes) < 0) return fail_errno(e, "set attributes of", "overlay");
  if (!set_slot(r, slot, fd, e)) return false;
  fd = -1;
  return true;
}

bool op_enter_root(struct runner *r, struct reader *in, struct err *e) {
  struct mount_attr propagation = {.propagation = read_number(in)};
  if (r->root < 0) return fail(e, EINVAL, "enter root", "no root was made");
  if (r->template >= 0 && syscall(SYS_setns, r->template, CLONE_NEWNS) < 0)
    return fail_errno(e, "join namespace", "mount template");
  if (syscall(SYS_unshare, CLONE_NEWNS) < 0) return fail_errno(e, "unshare", "mount namespace");
  // From the template all is private already; a copy of the host's mounts must not carry ours back to the host.
  if (r->template < 0 && mount(NULL, "/", NULL, 1ul << 14 | 1ul << 19, NULL) < 0)  // MS_REC | MS_SLAVE
    return fail_errno(e, "make slave", "/");
  AUTO_CLOSE int old = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0) return fail_errno(e, "open", "/");
  if (sys_move_mount(r->root, old) < 0) return fail_errno(e, "move mount", "root");
  if (fchdir(r->root) < 0) return fail_errno(e, "chdir", "root");
  if (syscall(SYS_pivot_root, ".", ".") < 0) return fail_errno(e, "pivot_root", "root");
  if (umount2(".", MNT_DETACH) < 0) return fail_errno(e, "unmount", "the old root");
  if (chdir("/") < 0) return fail_errno(e, "chdir", "/");
  if (propagation.propagation != 0 && sys_mount_setattr(r->root, 0, &propagation) < 0)
    return fail_errno(e, "set propagation of", "/");
  return true;
}

bool op_root_read_only(struct runner *r, struct reader *in, struct err *e) {
  (void)in;
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  return sys_mount_setattr(r->root, 0, &attributes) == 0 ? true : fail_errno(e, "make root read-only", "/");
}
