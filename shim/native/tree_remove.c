// `berth-shim tree-remove [--idle] PATH…`: removes files and whole trees, however deep, wide or odd; `--idle` leaves the
// processors and the disk to everybody else. What a container made is hostile: names are never joined into paths, links never followed, mounts never entered. Missing is fine.
// What cannot be removed keeps nothing else, and what somebody else has removed meanwhile is removed.
//
// A directory that is not empty is renamed to the top of its tree with a number, and emptied there. So each is visited
// once, and neither descriptors nor memory nor the length of a path grow with the depth.
#include <dirent.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common.h"
#include "sys.h"
#include "unpack.h"

#define PREFIX ".berth-"

struct removal {
  int top;
  uint64_t made;  // directories at the top with a smaller number wait to be emptied
  struct err *e;
};

static bool clear_flags(int fd) {
  const int forbidding = FS_IMMUTABLE_FL | FS_APPEND_FL;
  int flags;
  if (fd < 0 || syscall(SYS_ioctl, fd, FS_IOC_GETFLAGS, &flags) < 0 || (flags & forbidding) == 0) return false;
  flags &= ~forbidding;
  return syscall(SYS_ioctl, fd, FS_IOC_SETFLAGS, &flags) == 0;
}

// After EPERM: whether there was a flag on the directory or in it that forbade it. Devices have none, and are not opened.
static bool allow(int dir, const char *name) {
  struct stat info;
  const bool opens = fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
  AUTO_CLOSE int fd = opens ? openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC) : -1;
  const bool of_directory = clear_flags(dir);
  return clear_flags(fd) || of_directory;
}

static bool unlink_at(int dir, const char *name, int flags) {
  if (unlinkat(dir, name, flags) == 0 || errno == ENOENT) return true;
  if (errno != EPERM) return false;
  if (!allow(dir, name)) return errno = EPERM, false;
  return unlinkat(dir, name, flags) == 0 || errno == ENOENT;
}

// A directory of ours at the top, which waits already.
static bool is_waiting(const struct removal *r, int dir, const char *name) {
  uint64_t number;
  struct stat own, top;
  if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || !parse_number(name + strlen(PREFIX), UINT32_MAX, &number)) return false;
  return number < r->made && fstat(dir, &own) == 0 && fstat(r->top, &top) == 0 && own.st_ino == top.st_ino;
}

static bool move_to_top(struct removal *r, int dir, const char *name) {
  if (is_waiting(r, dir, name)) return true;
  for (bool allowed = false;;) {
    char number[32];
    snprintf(number, sizeof number, PREFIX "%llu", (unsigned long long)r->made);
    if (syscall(SYS_renameat2, dir, name, r->top, number, 1 /* RENAME_NOREPLACE */) == 0) break;
    if (errno == ENOENT) return true;
    if (errno == EEXIST) {
      r->made++;
      continue;
    }
    if (errno != EPERM || allowed || !allow(dir, name)) return fail_errno(r->e, "remove", name);
    allowed = true;
  }
  r->made++;
  return true;
}

static bool remove_entry(struct removal *r, int dir, const struct dirent *entry) {
  const char *name = entry->d_name;
  if (entry->d_type != DT_DIR && unlink_at(dir, name, 0)) return true;
  if (entry->d_type != DT_DIR && errno != EISDIR) return fail_errno(r->e, "remove", name);
  if (unlink_at(dir, name, AT_REMOVEDIR)) return true;
  return errno == ENOTEMPTY || errno == EEXIST ? move_to_top(r, dir, name) : fail_errno(r->e, "remove", name);
}

// One walk over the names; -1 on an error, else how many there were.
static int64_t empty(struct removal *r, int dir) {
  DIR *entries = open_entries(dir);
  if (entries == NULL) return errno == ENOENT ? 0 : (fail_errno(r->e, "read", "directory"), -1);
  int64_t count = 0;
  for (struct dirent *entry; count >= 0 && (errno = 0, entry = readdir(entries)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    count = remove_entry(r, dir, entry) ? count + 1 : -1;
  }
  if (count >= 0 && errno != 0) count = (fail_errno(r->e, "read", "directory"), -1);
  closedir(entries);
  return count;
}

// Not through a link or onto another mount.
static int open_directory(int dir, const char *name) {
  return sys_openat2(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
}

// Empties and removes; a file system may hide a name from a walk in which others go, so it is walked until that is done.
static bool remove_directory(struct removal *r, int parent, const char *name) {
  AUTO_CLOSE int dir = open_directory(parent, name);
  if (dir < 0) return errno == ENOENT || fail_errno(r->e, "remove", name);
  for (;;) {
    const int64_t found = empty(r, dir);
    if (found < 0) return false;
    if (unlink_at(parent, name, AT_REMOVEDIR)) return true;
    if ((errno != ENOTEMPTY && errno != EEXIST) || found == 0) return fail_errno(r->e, "remove", name);
  }
}

static bool remove_waiting(struct removal *r) {
  // The newest first: few wait at a time, also in a wide tree.
  while (r->made > 0) {
    const uint64_t number = r->made - 1;
    char name[32];
    snprintf(name, sizeof name, PREFIX "%llu", (unsigned long long)number);
    if (!remove_directory(r, r->top, name)) return false;
    if (r->made == number + 1) r->made = number;
  }
  return true;
}

static bool remove_top(int parent, const char *name, struct err *e) {
  AUTO_CLOSE int top = open_directory(parent, name);
  if (top < 0) return errno == ENOENT || fail_errno(e, "remove", name);
  flock(top, LOCK_EX);  // two of us would take each other's numbers
  struct removal r = {.top = top, .e = e};
  for (;;) {
    const int64_t found = empty(&r, top);
    if (found < 0 || !remove_waiting(&r)) return false;
    if (unlink_at(parent, name, AT_REMOVEDIR)) return true;
    if ((errno != ENOTEMPTY && errno != EEXIST) || found == 0) return fail_errno(e, "remove", name);
  }
}

static bool remove_path(const char *path, struct err *e) {
  const char *slash = strrchr(path, '/');
  if (slash == NULL || slash[1] == '\0') return fail(e, EINVAL, "remove (not an absolute path of something)", path);
  AUTO_FREE char *directory = strndup(path, (size_t)(slash - path) + 1);
  if (directory == NULL) return fail(e, ENOMEM, "remove", path);
  AUTO_CLOSE int parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return errno == ENOENT || fail_errno(e, "remove", path);
  if (unlink_at(parent, slash + 1, 0)) return true;
  return errno == EISDIR ? remove_top(parent, slash + 1, e) : fail_errno(e, "remove", path);
}

int role_tree_remove(int argc, char **argv) {
  bool good = true;
  if (argc > 0 && strcmp(argv[0], "--idle") == 0) become_idle(), argc--, argv++;
  if (argc == 0) return 64;
  for (int i = 0; i < argc; i++) {
    struct err e = {0};
    if (remove_path(argv[i], &e)) continue;
    if (good) write_error(1, 0, &e);
    print_error(&e);
    good = false;
  }
  return good ? 0 : 1;
}
