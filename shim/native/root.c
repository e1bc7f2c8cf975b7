// The root file system: overlay or bind as a detached mount, and the move into it.
#include <errno.h>
#include <limits.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "birth.h"
#include "sys.h"

// The 500 layers that overlayfs takes at most, and the directory of the writable one.
#define DIRECTORIES_MOST 501
struct overlay {
  bool is_volatile;
  const char *upper, *work, *label;
  struct reader lowers;
  // By descriptors: clones of the layers' directories, and of the one that upper and work are in.
  const char *place;  // for errors
  size_t count, next;
  int fds[DIRECTORIES_MOST];
  char name[16], upper_name[NAME_MAX + 16], work_name[NAME_MAX + 16];
};

static const char *next_lower(struct overlay *o) {
  if (o->count == 0) return o->lowers.at < o->lowers.end ? read_string(&o->lowers, NULL) : NULL;
  if (o->next == o->count - (o->upper[0] == '\0' ? 0 : 1)) return NULL;
  snprintf(o->name, sizeof o->name, "%d", o->fds[o->next++]);
  return o->name;
}

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
  for (const char *lower; (lower = next_lower(o)) != NULL;)
    if (sys_fsconfig_string(fs, "lowerdir+", lower) < 0) return fail_fs(fs, e, "mount overlay", o->count > 0 ? o->place : lower);
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

// mount(2) takes one page of options. Names of descriptors are short and need no escapes: 500 of them have room.
static int overlay_by_mount(struct overlay *o, struct err *e) {
  char text[4096];
  size_t n = (size_t)snprintf(text, sizeof text, "redirect_dir=nofollow,metacopy=off,index=off,xino=off%s%s%s%s",
                              o->is_volatile ? ",volatile" : "", o->label == NULL ? "" : ",context=\"",
                              o->label == NULL ? "" : o->label, o->label == NULL ? "" : "\"");
  const char *key = ",lowerdir=";
  for (const char *lower; n < sizeof text && (lower = next_lower(o)) != NULL; key = ":")
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", key, lower);
  if (n < sizeof text && o->upper[0] != '\0')
    n += (size_t)snprintf(text + n, sizeof text - n, ",upperdir=%s,workdir=%s", o->upper, o->work);
  if (n >= sizeof text) return fail(e, ENAMETOOLONG, "mount overlay", o->place), -1;
  if (mount("overlay", "/", "overlay", 0, text) < 0) return fail_errno(e, "mount overlay", o->place), -1;
  // What lies on the root is seen from above it.
  const int root = sys_open_tree(AT_FDCWD, "/..", OPEN_TREE_CLONE);
  if (root < 0) fail_errno(e, "open_tree", o->place);
  return root;
}

// The clone of a mount that is shared, as systemd has all of a node's, would carry to the host what is put on it.
static const struct mount_attr apart = {.propagation = 1ul << 18};  // MS_PRIVATE

static bool add_directory(struct overlay *o, const char *path, int user_ns, struct err *e) {
  struct mount_attr attributes = apart;
  if (user_ns >= 0) attributes.attr_set = MOUNT_ATTR_IDMAP, attributes.userns_fd = (unsigned)user_ns;
  if (o->count == DIRECTORIES_MOST) return fail(e, E2BIG, "mount overlay", "more than 500 layers");
  AUTO_CLOSE int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
  if (fd < 0) return fail_errno(e, "mount overlay", path);
  if (sys_mount_setattr(fd, 0, &attributes) < 0) return fail_errno(e, "map the ids (can its file system?) of", path);
  o->fds[o->count++] = keep_fd(&fd);
  return true;
}

static bool add_upper(struct overlay *o, struct err *e) {
  char parent[PATH_MAX];
  const char *upper = strrchr(o->upper, '/'), *work = strrchr(o->work, '/');
  if (upper == NULL || work == NULL || upper - o->upper >= PATH_MAX) return fail(e, EINVAL, "mount overlay", o->upper);
  snprintf(parent, sizeof parent, "%.*s", (int)(upper - o->upper), o->upper);
  if (!add_directory(o, parent, -1, e)) return false;
  snprintf(o->upper_name, sizeof o->upper_name, "%d%.*s", o->fds[o->count - 1], NAME_MAX + 1, upper);
  snprintf(o->work_name, sizeof o->work_name, "%d%.*s", o->fds[o->count - 1], NAME_MAX + 1, work);
  o->upper = o->upper_name;
  o->work = o->work_name;
  return true;
}

static bool add_directories(struct runner *r, struct overlay *o, struct err *e) {
  while (o->lowers.at < o->lowers.end)
    if (!add_directory(o, read_string(&o->lowers, NULL), r->user_ns, e)) return false;
  return o->upper[0] == '\0' || add_upper(o, e);
}

// A mount namespace of one's own, with little in it: a copy of the host's takes the longer the more the host has mounted.
static bool enter_small_namespace(struct runner *r, struct err *e) {
  if (r->template >= 0 && syscall(SYS_setns, r->template, CLONE_NEWNS) < 0)
    return fail_errno(e, "join namespace", "mount template");
  if (syscall(SYS_unshare, CLONE_NEWNS) < 0) return fail_errno(e, "unshare", "mount namespace");
  // From the template all is private already; a copy of the host's mounts must not carry ours back to the host.
  if (r->template < 0 && mount(NULL, "/", NULL, 1ul << 14 | 1ul << 19, NULL) < 0)  // MS_REC | MS_SLAVE
    return fail_errno(e, "make slave", "/");
  return true;
}

static int mount_proc(struct err *e) {
  AUTO_CLOSE int fs = sys_fsopen("proc");
  const int proc = fs < 0 || sys_fsconfig_create(fs) < 0 ? -1 : sys_fsmount(fs, 0);
  if (proc < 0) fail_errno(e, "mount", "procfs");
  return proc;
}

// overlayfs takes only directories of the mount namespace that it is mounted in: there the clones are put, one on the other.
static bool use_directories(struct runner *r, const struct overlay *o, struct err *e) {
  if (!enter_small_namespace(r, e)) return false;
  AUTO_CLOSE int proc = mount_proc(e);
  if (proc < 0) return false;
  AUTO_CLOSE int names = openat(proc, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  AUTO_CLOSE int onto = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (size_t i = 0; i < o->count; i++)
    if (sys_move_mount(o->fds[i], onto) < 0) return fail_errno(e, "mount", "layer");
  return fchdir(names) == 0 ? true : fail_errno(e, "chdir", "/proc/self/fd");
}

static int overlay_by_descriptors(struct runner *r, uint64_t method, struct overlay *o, struct err *e) {
  AUTO_CLOSE int host = openat(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  AUTO_CLOSE int cwd = openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (host < 0 || cwd < 0) return fail_errno(e, "mount overlay", "/proc/self/ns/mnt"), -1;
  int root = -1;
  if (add_directories(r, o, e) && use_directories(r, o, e))
    root = method == 0 ? overlay_by_fsopen(o, e) : overlay_by_mount(o, e);
  while (o->count > 0) close(o->fds[--o->count]);
  if (syscall(SYS_setns, host, CLONE_NEWNS) < 0 || fchdir(cwd) < 0) {
    close_fd(&root);
    fail_errno(e, "join namespace", "the host's mount namespace");
  }
  return root;
}

static int make_overlay(struct runner *r, uint64_t method, struct overlay *o, struct err *e) {
  const struct reader lowers = o->lowers;
  o->place = o->upper[0] != '\0' ? o->upper : read_string(&(struct reader){lowers.at, lowers.end, 0}, NULL);
  return method == 0 && r->user_ns < 0 ? overlay_by_fsopen(o, e) : overlay_by_descriptors(r, method, o, e);
}

bool op_overlay(struct runner *r, struct reader *in, struct err *e) {
  struct overlay o = {.is_volatile = read_number(in) != 0, .label = r->mount_label};
  const uint64_t method = read_number(in);
  o.upper = read_string(in, NULL);
  o.work = read_string(in, NULL);
  o.lowers = *in;
  close_fd(&r->root);
  r->root = make_overlay(r, method, &o, e);
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
  if (r->root < 0) return fail_errno(e, "open root", directory);
  return sys_mount_setattr(r->root, AT_RECURSIVE, &apart) == 0 ? true : fail_errno(e, "make private", directory);
}

bool set_slot(struct runner *r, uint64_t slot, int fd, struct err *e) {
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
  const bool mapped = ((all.attr_set | top.attr_set) & MOUNT_ATTR_IDMAP) != 0;
  const char *what = mapped ? "map the ids (can its file system?) of" : "set attributes of";
  if (mapped) all.userns_fd = top.userns_fd = (unsigned)r->user_ns;
  AUTO_CLOSE int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | recursive);
  if (fd < 0) return fail_errno(e, "open mount source", path);
  if (recursive == 0) {
    all.attr_set |= top.attr_set;
    top.attr_set = 0;
  }
  if (all.attr_set & MOUNT_ATTR__ATIME) all.attr_clr = MOUNT_ATTR__ATIME;
  if (top.attr_set & MOUNT_ATTR__ATIME) top.attr_clr = MOUNT_ATTR__ATIME;
  if ((all.propagation | all.attr_set) != 0 && sys_mount_setattr(fd, recursive, &all) < 0)
    return fail_errno(e, what, path);
  if (top.attr_set != 0 && sys_mount_setattr(fd, 0, &top) < 0) return fail_errno(e, what, path);
  if (!set_slot(r, slot, fd, e)) return false;
  fd = -1;
  return true;
}

bool op_open_overlay(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t slot = read_number(in), method = read_number(in);
  struct mount_attr attributes = {.attr_set = read_number(in) | MOUNT_ATTR_RDONLY};
  struct overlay o = {.upper = "", .work = "", .label = r->mount_label, .lowers = *in};
  if (attributes.attr_set & MOUNT_ATTR__ATIME) attributes.attr_clr = MOUNT_ATTR__ATIME;
  AUTO_CLOSE int fd = make_overlay(r, method, &o, e);
  if (fd < 0) return false;
  if (sys_mount_setattr(fd, 0, &attributes) < 0) return fail_errno(e, "set attributes of", "overlay");
  if (!set_slot(r, slot, fd, e)) return false;
  fd = -1;
  return true;
}

bool op_user_ns(struct runner *r, struct reader *in, struct err *e) {
  const char *path = read_string(in, NULL);
  close_fd(&r->user_ns);
  r->user_ns = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  return r->user_ns >= 0 ? true : fail_errno(e, "open namespace", path);
}

// A user namespace may mount a procfs only where one is seen whole already. The host's is, until the root is entered.
static bool show_proc(struct err *e) {
  AUTO_CLOSE int proc = mount_proc(e);
  AUTO_CLOSE int onto = openat(AT_FDCWD, "/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return false;
  return onto >= 0 && sys_move_mount(proc, onto) == 0 ? true : fail_errno(e, "mount", "procfs");
}

bool op_join_user(struct runner *r, struct reader *in, struct err *e) {
  const uint64_t flags = read_number(in);
  if (!enter_small_namespace(r, e) || (r->template >= 0 && !show_proc(e))) return false;
  if (syscall(SYS_setns, r->user_ns, CLONE_NEWUSER) < 0) return fail_errno(e, "join namespace", "user namespace");
  if (!become_root(e)) return false;
  if (flags != 0 && syscall(SYS_unshare, (int)flags) < 0) return fail_errno(e, "unshare", "namespaces");
  // In a pid namespace that has just been made nobody else is: he may be born early.
  if ((flags & CLONE_NEWPID) != 0 && !birth_early(r, e)) return false;
  r->is_apart = true;
  return syscall(SYS_unshare, CLONE_NEWNS) == 0 ? true : fail_errno(e, "unshare", "mount namespace");
}

bool op_enter_root(struct runner *r, struct reader *in, struct err *e) {
  struct mount_attr propagation = {.propagation = read_number(in)};
  if (r->root < 0) return fail(e, EINVAL, "enter root", "no root was made");
  if (!r->is_apart && !enter_small_namespace(r, e)) return false;
  close_fd(&r->nodes);
  close_fd(&r->parent);
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
