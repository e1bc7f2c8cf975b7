// berth-shim layer-read --limit N --path P --lower DIR…   (topmost first)
//   The bytes of a file of the merged layers on stdout; links are followed inside the layers' root. Exit 3 when it is
//   not there, 4 when it is a directory, 1 when it is something else or has more than N bytes, the last two with a
//   line on stderr. N = 0 only looks: a file is then exit 0.
// berth-shim tree-usage [--idle] DIR…
//   "bytes N" and "inodes N": blocks on disk of all the trees, a file with many names counted once.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "sys.h"
#include "unpack.h"

enum { NOT_THERE = 3, IS_DIRECTORY = 4, WRONG_USE = 64 };

static int copy_out(int fd, uint64_t limit, const char *path, struct err *e) {
  char buffer[65536];
  for (uint64_t left = limit;;) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0) return fail_errno(e, "read", path), 1;
    if (count == 0) return 0;
    if ((uint64_t)count > left) return fail(e, EFBIG, "read", path), 1;
    left -= (uint64_t)count;
    if (!write_all(STDOUT_FILENO, buffer, (size_t)count)) return fail_errno(e, "write", path), 1;
  }
}

static int read_merged(struct view *v, const char *path, uint64_t limit, struct err *e) {
  char true_path[TAR_PATH_LIMIT];
  struct seen seen;
  if (!view_resolve(v, path, true, true_path, e) || !view_look(v, true_path, &seen, e)) return 1;
  if (!seen.found) return NOT_THERE;
  if (!S_ISREG(seen.info.st_mode))
    return fail(e, EINVAL, "read what is no regular file", path), S_ISDIR(seen.info.st_mode) ? IS_DIRECTORY : 1;
  if (limit == 0) return 0;
  if ((uint64_t)seen.info.st_size > limit) return fail(e, EFBIG, "read", path), 1;
  AUTO_CLOSE int fd = openat(seen.dir, seen.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "open", path), 1;
  return copy_out(fd, limit, path, e);
}

int role_layer_read(int argc, char **argv) {
  const char *path = NULL;
  uint64_t limit = 0;
  int i = 0;
  bool good = true;
  for (; good && i + 1 < argc && strcmp(argv[i], "--lower") != 0; i += 2) {
    if (strcmp(argv[i], "--path") == 0) path = argv[i + 1];
    else good = strcmp(argv[i], "--limit") == 0 && parse_number(argv[i + 1], INT64_MAX, &limit);
  }
  if (!good || path == NULL || i + 1 >= argc) {
    (void)dprintf(STDERR_FILENO, "layer-read: usage: --limit N --path PATH --lower DIR...\n");
    return WRONG_USE;
  }
  struct view v;
  struct err e = {0};
  raise_descriptors();
  const int status =
      view_open(&v, argv + i + 1, (size_t)(argc - i - 1), &e) ? read_merged(&v, path, limit, &e) : 1;
  view_close(&v);
  if (status == 1 || status == IS_DIRECTORY) print_error(&e);
  return status;
}

// --- usage ---

struct usage {
  uint64_t bytes, inodes;
  dev_t device;
  ino_t *linked;  // open addressing, 0 is free: files with more than one name
  size_t size, used;
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

static bool count_one(struct usage *u, const struct stat *info, struct err *e) {
  bool first = true;
  if (!S_ISDIR(info->st_mode) && info->st_nlink > 1 && !first_name(u, info->st_ino, &first, e)) return false;
  if (!first) return true;
  u->bytes += (uint64_t)info->st_blocks * 512;
  u->inodes++;
  return true;
}

static bool count_tree(struct usage *u, int fd, const char *name, struct err *e) {
  AUTO_FREE char *buffer = malloc(32768);
  if (buffer == NULL) return fail(e, ENOMEM, "read directory", name);
  for (long length; (length = syscall(SYS_getdents64, fd, buffer, 32768)) != 0;) {
    if (length < 0) return fail_errno(e, "read directory", name);
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
      if (!count_one(u, &info, e)) return false;
      if (!S_ISDIR(info.st_mode)) continue;
      AUTO_CLOSE int inner = openat(fd, child, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner < 0 && (errno == ENOENT || errno == ENOTDIR)) continue;
      if (inner < 0) return fail_errno(e, "open directory", child);
      if (!count_tree(u, inner, child, e)) return false;
    }
  }
  return true;
}

static bool count_root(struct usage *u, const char *path, struct err *e) {
  struct stat info;
  if (lstat(path, &info) < 0) return errno == ENOENT || fail_errno(e, "stat", path);
  if (!S_ISDIR(info.st_mode)) return count_one(u, &info, e);
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) < 0) return fail_errno(e, "open directory", path);
  if (info.st_dev != u->device) u->used = 0, free(u->linked), u->linked = NULL, u->size = 0;
  u->device = info.st_dev;
  return count_one(u, &info, e) && count_tree(u, fd, path, e);
}

int role_tree_usage(int argc, char **argv) {
  struct usage u = {0};
  struct err e = {0};
  bool good = true;
  if (argc > 0 && strcmp(argv[0], "--idle") == 0) become_idle(), argc--, argv++;
  if (argc == 0) {
    (void)dprintf(STDERR_FILENO, "tree-usage: usage: [--idle] DIR...\n");
    return WRONG_USE;
  }
  raise_descriptors();
  for (int i = 0; good && i < argc; i++) good = count_root(&u, argv[i], &e);
  free(u.linked);
  if (good) (void)dprintf(STDOUT_FILENO, "bytes %" PRIu64 "\ninodes %" PRIu64 "\n", u.bytes, u.inodes);
  else print_error(&e);
  return good ? 0 : 1;
}
