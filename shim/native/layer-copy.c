// berth-shim layer-copy --links DIR {--path PATH --to DIR}… --lower DIR…   (lowers topmost first)
//   Copies directories of the merged layers, each PATH (links followed inside the layers' root) into an empty DIR with
//   its owner, mode, times and extended attributes. A PATH that is not there leaves its DIR as it is. --links: an empty
//   directory of the same file system, where the first copy of a file with many names is found again by its inode.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "layer.h"
#include "sys.h"
#include "unpack.h"

static bool copy_xattrs(int from, int to, const char *path, struct err *e) {
  AUTO_FREE char *names = malloc(65536);
  AUTO_FREE char *value = malloc(65536);
  if (names == NULL || value == NULL) return fail(e, ENOMEM, "copy xattrs", path);
  const ssize_t length = flistxattr(from, names, 65536);
  if (length < 0 && errno != ENOTSUP) return fail_errno(e, "copy xattrs", path);
  for (const char *name = names; name < names + length; name += strlen(name) + 1) {
    if (strncmp(name, "user.", 5) != 0 && strcmp(name, "security.capability") != 0) continue;
    const ssize_t size = fgetxattr(from, name, value, 65536);
    if (size < 0 || fsetxattr(to, name, value, (size_t)size, 0) < 0) return fail_errno(e, "copy xattrs", path);
  }
  return true;
}

bool copy_attributes(int from, int to, const char *path, struct stat *info, struct err *e) {
  if (fstat(from, info) < 0) return fail_errno(e, "stat", path);
  if (fchown(to, info->st_uid, info->st_gid) < 0) return fail_errno(e, "set owner", path);
  if (fchmod(to, info->st_mode & 07777) < 0) return fail_errno(e, "set mode", path);
  return copy_xattrs(from, to, path, e);
}

// Holes stay holes: a layer may well have a file that is larger than the disk.
static bool copy_bytes(int from, int to, const char *name, struct err *e) {
  AUTO_FREE char *buffer = NULL;
  struct stat info;
  if (ioctl(to, FICLONE, from) == 0) return true;
  buffer = malloc(262144);
  if (buffer == NULL) return fail(e, ENOMEM, "copy", name);
  if (fstat(from, &info) < 0 || ftruncate(to, info.st_size) < 0) return fail_errno(e, "copy", name);
  for (off_t at = 0, end; (at = lseek(from, at, SEEK_DATA)) >= 0; at = end) {
    end = lseek(from, at, SEEK_HOLE);
    if (end < 0 || lseek(from, at, SEEK_SET) < 0 || lseek(to, at, SEEK_SET) < 0) return fail_errno(e, "copy", name);
    for (ssize_t count; at < end; at += count) {
      count = read(from, buffer, end - at < 262144 ? (size_t)(end - at) : 262144);
      if (count <= 0) return count < 0 ? fail_errno(e, "read", name) : fail(e, EIO, "read", name);
      if (!write_all(to, buffer, (size_t)count)) return fail_errno(e, "write", name);
    }
  }
  return errno == ENXIO || fail_errno(e, "copy", name);
}

bool copy_file(int from_dir, const char *name, int to_dir, const char *to_name, struct err *e) {
  struct stat info;
  AUTO_CLOSE int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (from < 0) return fail_errno(e, "open", name);
  AUTO_CLOSE int to = openat(to_dir, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (to < 0) return fail_errno(e, "make file", to_name);
  if (!copy_bytes(from, to, name, e) || !copy_attributes(from, to, name, &info, e)) return false;
  const struct timespec times[2] = {info.st_mtim, info.st_mtim};
  return futimens(to, times) == 0 || fail_errno(e, "set time", to_name);
}

bool copy_special(int from_dir, const char *name, const struct stat *info, int to_dir, const char *to_name,
                  struct err *e) {
  char target[TAR_PATH_LIMIT] = "";
  const struct timespec times[2] = {info->st_mtim, info->st_mtim};
  if (S_ISLNK(info->st_mode)) {
    const ssize_t length = readlinkat(from_dir, name, target, sizeof target - 1);
    if (length < 0) return fail_errno(e, "read link", name);
    target[length] = 0;
    if (symlinkat(target, to_dir, to_name) < 0) return fail_errno(e, "make link", to_name);
  } else if (mknodat(to_dir, to_name, info->st_mode, info->st_rdev) < 0) {
    return fail_errno(e, "make device", to_name);
  }
  if (fchownat(to_dir, to_name, info->st_uid, info->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
      utimensat(to_dir, to_name, times, AT_SYMLINK_NOFOLLOW) < 0)
    return fail_errno(e, "set owner and time", to_name);
  return true;
}

struct copy {
  struct view from;
  char path[TAR_PATH_LIMIT];  // of the directory that is copied
  int links;
};

struct names {
  char *text;  // each with its NUL
  size_t length, size;
};

static bool add_name(struct names *n, const char *name, struct err *e) {
  const size_t length = strlen(name) + 1;
  if (n->length + length > n->size) {
    const size_t size = n->size * 2 + 4096;
    char *text = realloc(n->text, size);
    if (text == NULL) return fail(e, ENOMEM, "copy", name);
    n->text = text;
    n->size = size;
  }
  memcpy(n->text + n->length, name, length);
  n->length += length;
  return true;
}

// What one layer has in the directory that was looked at last, but for what a layer above it has as well.
static bool list_layer(const struct copy *c, size_t layer, struct names *n, struct err *e) {
  struct stat info;
  DIR *list = open_entries(c->from.dirs[layer]);
  if (list == NULL) return fail_errno(e, "read directory", c->path);
  bool good = true;
  for (const struct dirent *entry; good && (errno = 0, entry = readdir(list)) != NULL;) {
    bool shown = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    for (size_t above = 0; shown && above < layer; above++)
      shown = fstatat(c->from.dirs[above], entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0;
    if (shown) good = add_name(n, entry->d_name, e);
  }
  if (good && errno != 0) good = fail_errno(e, "read directory", c->path);
  closedir(list);
  return good;
}

// A file with many names stays one: what was copied has a name in `links`, too.
static bool copy_leaf(const struct copy *c, const struct seen *seen, int to, struct err *e) {
  char link[32];
  const bool linked = seen->info.st_nlink > 1;
  (void)snprintf(link, sizeof link, "%" PRIuMAX, (uintmax_t)seen->info.st_ino);
  if (linked && linkat(c->links, link, to, seen->name, 0) == 0) return true;
  if (linked && errno != ENOENT && errno != EMLINK) return fail_errno(e, "link", seen->name);
  if (!(S_ISREG(seen->info.st_mode) ? copy_file(seen->dir, seen->name, to, seen->name, e)
                                    : copy_special(seen->dir, seen->name, &seen->info, to, seen->name, e)))
    return false;
  if (!linked) return true;
  (void)unlinkat(c->links, link, 0);
  return linkat(to, seen->name, c->links, link, 0) == 0 || fail_errno(e, "link", seen->name);
}

static bool copy_directory(struct copy *c, int from, int to, struct err *e);

static bool copy_name(struct copy *c, const char *name, int to, struct err *e) {
  struct seen seen;
  const size_t length = strlen(c->path);
  if (length + strlen(name) + 2 > sizeof c->path) return fail(e, ENAMETOOLONG, "copy", name);
  (void)snprintf(c->path + length, sizeof c->path - length, "%s%s", length == 0 ? "" : "/", name);
  bool good = view_look(&c->from, c->path, &seen, e);
  if (good && seen.found && !S_ISDIR(seen.info.st_mode)) {
    good = copy_leaf(c, &seen, to, e);
  } else if (good && seen.found) {
    AUTO_CLOSE int from = openat(seen.dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int made = mkdirat(to, name, 0700) < 0 ? -1 : openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    good = from < 0 || made < 0 ? fail_errno(e, "make directory", c->path) : copy_directory(c, from, made, e);
  }
  c->path[length] = 0;
  return good;
}

// c->path into `to`; `from` is the layer's directory whose attributes show.
static bool copy_directory(struct copy *c, int from, int to, struct err *e) {
  struct stat info;
  struct seen seen;
  struct names names = {0};
  // A look at what is in it makes the view enter it.
  const size_t length = strlen(c->path);
  if (length + 3 > sizeof c->path) return fail(e, ENAMETOOLONG, "copy", c->path);
  memcpy(c->path + length, length == 0 ? "." : "/.", length == 0 ? 2 : 3);
  bool good = view_look(&c->from, c->path, &seen, e);
  c->path[length] = 0;
  for (size_t i = 0; good && i < c->from.dir_count; i++) good = list_layer(c, i, &names, e);
  for (size_t at = 0; good && at < names.length; at += strlen(names.text + at) + 1)
    good = copy_name(c, names.text + at, to, e);
  free(names.text);
  if (!good || !copy_attributes(from, to, c->path, &info, e)) return false;
  const struct timespec times[2] = {info.st_mtim, info.st_mtim};
  return futimens(to, times) == 0 || fail_errno(e, "set time", c->path);
}

static bool copy_out(struct copy *c, const char *path, const char *directory, struct err *e) {
  struct seen seen;
  if (!view_resolve(&c->from, path, true, c->path, e) || !view_look(&c->from, c->path, &seen, e)) return false;
  if (!seen.found) return true;
  if (!S_ISDIR(seen.info.st_mode)) return fail(e, ENOTDIR, "copy", path);
  AUTO_CLOSE int from = openat(seen.dir, seen.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  AUTO_CLOSE int to = open_empty(directory, e);
  if (from < 0) return fail_errno(e, "open directory", path);
  return to >= 0 && copy_directory(c, from, to, e);
}

int role_layer_copy(int argc, char **argv) {
  struct copy c = {.links = -1};
  struct err e = {0};
  int lowers = 2;
  while (lowers + 3 < argc && strcmp(argv[lowers], "--path") == 0 && strcmp(argv[lowers + 2], "--to") == 0) lowers += 4;
  if (lowers + 1 >= argc || strcmp(argv[0], "--links") != 0 || strcmp(argv[lowers], "--lower") != 0) {
    (void)dprintf(STDERR_FILENO, "layer-copy: usage: --links DIR {--path PATH --to DIR}... --lower DIR...\n");
    return 64;
  }
  raise_descriptors();
  c.links = open_empty(argv[1], &e);
  bool good = c.links >= 0 && view_open(&c.from, argv + lowers + 1, (size_t)(argc - lowers - 1), &e);
  for (int i = 2; good && i < lowers; i += 4) good = copy_out(&c, argv[i + 1], argv[i + 3], &e);
  view_close(&c.from);
  close_fd(&c.links);
  if (!good) print_error(&e);
  return good ? 0 : 1;
}
