// berth-shim tree-usage [--idle] [--each] [--sum] [--content] PATH…
//   "bytes N" and "inodes N": blocks on disk of all the trees, a file with many names counted once. What is missing is
//   nothing. --sum adds "attributes HEX", of names, types, modes, owners, sizes, times, links, devices and those extended
//   attributes that a layer has; --content adds "content HEX" and reads every file. With --each alone a line
//   "BYTES INODES" a tree, "-" for one that cannot be read.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "layer.h"
#include "sum.h"
#include "sys.h"
#include "unpack.h"

struct usage {
  uint64_t bytes, inodes;
  dev_t device;
  ino_t *linked;  // open addressing, 0 is free: files with more than one name
  size_t size, used;
  bool sum, read;
  uint64_t attributes, content;
  struct content file;
};

static bool put_inode(ino_t *table, size_t size, ino_t ino) {
  size_t i = (size_t)(((uint64_t)ino * 0x9e3779b97f4a7c15ull) >> 20) & (size - 1);
  for (; table[i] != 0; i = (i + 1) & (size - 1))
    if (table[i] == ino) return false;
  table[i] = ino;
  return true;
}

static bool first_name(struct usage *u, ino_t ino, bool *first, struct err *e) {
  if (u->used * 2 >= u->size) {
    const size_t size = u->size == 0 ? 1024 : u->size * 2;
    ino_t *table = calloc(size, sizeof *table);
    if (table == NULL) return fail(e, ENOMEM, "count", "links");
    for (size_t i = 0; i < u->size; i++)
      if (u->linked[i] != 0) (void)put_inode(table, size, u->linked[i]);
    free(u->linked);
    u->linked = table;
    u->size = size;
  }
  *first = put_inode(u->linked, u->size, ino);
  if (*first) u->used++;
  return true;
}

// Only those that the unpacker gives: a node's policy may label what it likes.
static bool is_of_layer(const char *name) {
  return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0 ||
         strcmp(name, "trusted.overlay.opaque") == 0;
}

// Of `name` in the working directory; in any order.
static bool sum_xattrs(const char *name, uint64_t *sum, struct err *e) {
  char names[65536], value[65536];
  // Asked without room first: most files have none, and for the room the kernel takes as much.
  ssize_t length = llistxattr(name, NULL, 0);
  if (length > 0) length = llistxattr(name, names, sizeof names);
  if (length < 0) return errno == EOPNOTSUPP || fail_errno(e, "list xattrs", name);
  for (const char *at = names; at < names + length; at += strlen(at) + 1) {
    if (!is_of_layer(at)) continue;
    const ssize_t size = lgetxattr(name, at, value, sizeof value);
    if (size < 0) return fail_errno(e, "read xattr", name);
    *sum += sum_bytes(sum_bytes(1, at, strlen(at)), value, (size_t)size);
  }
  return true;
}

// Holes are not read.
static bool sum_content(struct usage *u, const char *name, uint64_t size, struct err *e) {
  static uint8_t buffer[262144];
  AUTO_CLOSE int fd = openat(AT_FDCWD, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open", name);
  for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0;) {
    const ssize_t count = pread(fd, buffer, sizeof buffer, at);
    if (count < 0) return fail_errno(e, "read", name);
    if (count == 0) break;
    content_add(&u->file, (uint64_t)at, buffer, (size_t)count);
    at += count;
  }
  u->content += content_end(&u->file, size);
  return true;
}

// `path` is the sum of the path.
static bool sum_one(struct usage *u, const char *name, uint64_t path, const struct stat *info, bool first, struct err *e) {
  const bool is_file = S_ISREG(info->st_mode), is_node = S_ISCHR(info->st_mode) || S_ISBLK(info->st_mode);
  const uint64_t fields[] = {
      info->st_mode, info->st_uid, info->st_gid, is_file ? (uint64_t)info->st_size : 0, is_node ? info->st_rdev : 0,
      (uint64_t)info->st_mtim.tv_sec, (uint64_t)info->st_mtim.tv_nsec};
  uint64_t sum = sum_bytes(path, fields, sizeof fields);
  if (S_ISLNK(info->st_mode)) {
    char target[4096];
    const ssize_t length = readlink(name, target, sizeof target);
    if (length < 0) return fail_errno(e, "read link", name);
    sum = sum_bytes(sum, target, (size_t)length);
  }
  if (!sum_xattrs(name, &sum, e)) return false;
  // Mixed once more: what is added to the whole must not cancel what was added to this.
  u->attributes += sum_bytes(sum, NULL, 0);
  return !is_file || !u->read || !first || sum_content(u, name, (uint64_t)info->st_size, e);
}

static bool count_one(struct usage *u, const char *name, uint64_t path, const struct stat *info, struct err *e) {
  bool first = true;
  if (!S_ISDIR(info->st_mode) && info->st_nlink > 1 && !first_name(u, info->st_ino, &first, e)) return false;
  if (u->sum && !sum_one(u, name, path, info, first, e)) return false;
  if (!first) return true;
  u->bytes += (uint64_t)info->st_blocks * 512;
  u->inodes++;
  return true;
}

// So deep a directory is counted without a descriptor and a stack frame a level: a container makes what it likes. No layer
// has it, since its paths have at most 4,096 bytes.
#define DEEP 2100

struct level {
  off_t next;  // where to go on reading
  ino_t ino;
};

// What has come to another place while it was below it is an error.
static int open_parent(int fd, const struct level *parent, struct err *e) {
  struct stat info;
  AUTO_CLOSE int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (up < 0 || fstat(up, &info) < 0) return fail_errno(e, "open directory", ".."), -1;
  if (info.st_ino != parent->ino) return fail(e, ESTALE, "walk", "directory that was moved"), -1;
  if (lseek(up, parent->next, SEEK_SET) < 0) return fail_errno(e, "read directory", ".."), -1;
  return keep_fd(&up);
}

static bool count_entry(struct usage *u, int fd, const char *name, int *inner, struct err *e) {
  struct stat info;
  *inner = -1;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return true;
  if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT || fail_errno(e, "stat", name);
  if (info.st_dev != u->device) return true;
  if (!count_one(u, name, 0, &info, e)) return false;
  if (!S_ISDIR(info.st_mode)) return true;
  *inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return *inner >= 0 || errno == ENOENT || errno == ENOTDIR || fail_errno(e, "open directory", name);
}

// Goes on behind `at` until there is a directory to enter, which `inner` is then, or to the end.
static bool count_entries(struct usage *u, int fd, struct level *at, int *inner, struct err *e) {
  char buffer[4096];
  *inner = -1;
  for (long length; (length = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) != 0;) {
    if (length < 0) return errno == ENOENT || fail_errno(e, "read directory", "");
    for (long from = 0; from < length;) {
      uint16_t record;
      memcpy(&at->next, buffer + from + 8, sizeof at->next);
      memcpy(&record, buffer + from + 16, sizeof record);
      if (!count_entry(u, fd, buffer + from + 19, inner, e)) return false;
      if (*inner >= 0) return true;
      from += record;
    }
  }
  return true;
}

static bool count_deep(struct usage *u, int from, struct err *e) {
  AUTO_FREE struct level *levels = NULL;
  AUTO_CLOSE int fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
  struct stat info;
  size_t depth = 0, room = 0;
  if (fd < 0) return fail_errno(e, "dup", "directory");
  for (;;) {
    if (depth == room) {
      struct level *more = realloc(levels, (room + 4096) * sizeof *levels);
      if (more == NULL) return fail(e, ENOMEM, "count", "levels");
      levels = more;
      room += 4096;
    }
    if (fstat(fd, &info) < 0) return fail_errno(e, "stat", "directory");
    levels[depth].ino = info.st_ino;
    int inner;
    if (!count_entries(u, fd, &levels[depth], &inner, e)) return false;
    if (inner >= 0) depth++;
    else if (depth == 0) return true;
    else if ((inner = open_parent(fd, &levels[--depth], e)) < 0) return false;
    close(fd);
    fd = inner;
  }
}

static bool count_tree(struct usage *u, int fd, const char *name, uint64_t path, unsigned depth, struct err *e) {
  if (depth == DEEP) return u->sum ? fail(e, ENAMETOOLONG, "sum", "deep directory") : count_deep(u, fd, e);
  AUTO_FREE char *buffer = malloc(32768);
  if (buffer == NULL) return fail(e, ENOMEM, "read directory", name);
  if (u->sum && fchdir(fd) < 0) return fail_errno(e, "enter directory", name);
  for (long length; (length = syscall(SYS_getdents64, fd, buffer, 32768)) != 0;) {
    if (length < 0) return errno == ENOENT || fail_errno(e, "read directory", name);  // it has gone meanwhile
    for (long at = 0; at < length;) {
      uint16_t record;
      memcpy(&record, buffer + at + 16, sizeof record);
      const char *child = buffer + at + 19;
      at += record;
      struct stat info;
      if (strcmp(child, ".") == 0 || strcmp(child, "..") == 0) continue;
      // A container's writable layer changes while it is counted.
      if (fstatat(fd, child, &info, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) continue;
        return fail_errno(e, "stat", child);
      }
      if (info.st_dev != u->device) continue;
      const uint64_t at_path = u->sum ? sum_bytes(path, child, strlen(child)) : 0;
      if (!count_one(u, child, at_path, &info, e)) return false;
      if (!S_ISDIR(info.st_mode)) continue;
      AUTO_CLOSE int inner = openat(fd, child, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner < 0 && (errno == ENOENT || errno == ENOTDIR)) continue;
      if (inner < 0) return fail_errno(e, "open directory", child);
      if (!count_tree(u, inner, child, at_path, depth + 1, e)) return false;
      if (u->sum && fchdir(fd) < 0) return fail_errno(e, "enter directory", name);
    }
  }
  return true;
}

static bool count_root(struct usage *u, const char *path, struct err *e) {
  struct stat info;
  if (lstat(path, &info) < 0) return errno == ENOENT || fail_errno(e, "stat", path);
  if (!S_ISDIR(info.st_mode)) return count_one(u, path, 0, &info, e);
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) < 0) return fail_errno(e, "open directory", path);
  if (info.st_dev != u->device) u->used = 0, free(u->linked), u->linked = NULL, u->size = 0;
  u->device = info.st_dev;
  return (!u->sum || fchdir(fd) == 0 || fail_errno(e, "enter directory", path)) && count_one(u, ".", 0, &info, e) &&
         count_tree(u, fd, path, 0, 0, e);
}

// What is looked at in the background must not stop at what has just gone.
static int count_each(int argc, char **argv) {
  for (int i = 0; i < argc; i++) {
    struct usage u = {0};
    struct err e = {0};
    const bool good = count_root(&u, argv[i], &e);
    free(u.linked);
    if (good) (void)dprintf(STDOUT_FILENO, "%" PRIu64 " %" PRIu64 "\n", u.bytes, u.inodes);
    else (void)dprintf(STDOUT_FILENO, "-\n");
  }
  return 0;
}

static void tell(const struct usage *u) {
  (void)dprintf(STDOUT_FILENO, "bytes %" PRIu64 "\ninodes %" PRIu64 "\n", u->bytes, u->inodes);
  if (u->sum) (void)dprintf(STDOUT_FILENO, "attributes %016" PRIx64 "\n", u->attributes);
  if (u->read) (void)dprintf(STDOUT_FILENO, "content %016" PRIx64 "\n", u->content);
}

bool tell_tree(const char *path, bool read, struct err *e) {
  static struct usage u = {.sum = true};
  u.read = read;
  raise_descriptors();
  const bool good = count_root(&u, path, e);
  free(u.linked);
  if (good) tell(&u);
  return good;
}

int role_tree_usage(int argc, char **argv) {
  static struct usage u;
  struct err e = {0};
  bool good = true, each = false;
  int i = 0;
  for (; i < argc && argv[i][0] == '-'; i++) {
    const bool idle = strcmp(argv[i], "--idle") == 0, read = strcmp(argv[i], "--content") == 0;
    if (idle) become_idle();
    each |= strcmp(argv[i], "--each") == 0;
    u.sum |= !idle && !each;
    u.read |= read;
  }
  if (i == argc) {
    (void)dprintf(STDERR_FILENO, "tree-usage: usage: [--idle] [--each] [--sum] [--content] PATH...\n");
    return 64;
  }
  raise_descriptors();
  if (each) return count_each(argc - i, argv + i);
  for (; good && i < argc; i++) good = count_root(&u, argv[i], &e);
  free(u.linked);
  if (!good) return print_error(&e), 1;
  tell(&u);
  return 0;
}
