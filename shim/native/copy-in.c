// Makes what a tar stream says below one directory: every name is walked by descriptors that follow no link.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "copy.h"
#include "sys.h"
#include "unpack.h"

#define INSIDE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

struct directory {
  struct directory *next;
  struct timespec mtime;
  char path[];
};

struct reader_state {
  int root;
  const char *first;  // takes the place of each name's first component, or NULL
  bool whole;         // the stream has "." itself: then `first` takes the place of that
  struct tar tar;
  struct directory *directories;  // the last one first: their times are set when nothing more comes into them
};

static bool name_of(struct reader_state *s, const char *name, char out[TAR_PATH_LIMIT], struct err *e) {
  char clean[TAR_PATH_LIMIT];
  if (!clean_path(name, clean)) return fail(e, EINVAL, "copy (outside of its directory)", name);
  s->whole |= clean[0] == '\0';
  const char *rest = s->first == NULL || s->whole ? clean : strchr(clean, '/');
  const int length = snprintf(out, TAR_PATH_LIMIT, "%s%s%s", s->first == NULL ? "" : s->first,
                              s->first != NULL && s->whole && clean[0] != '\0' ? "/" : "", rest == NULL ? "" : rest);
  return length < (int)TAR_PATH_LIMIT || fail(e, ENAMETOOLONG, "copy", name);
}

// The directory that a name is in, and its last component.
static int open_parent(const struct reader_state *s, char *path, const char **name, struct err *e) {
  char *slash = strrchr(path, '/');
  if (slash != NULL) *slash = '\0';
  *name = slash == NULL ? path : slash + 1;
  const int dir = sys_openat2(s->root, slash == NULL ? "." : path, O_RDONLY | O_DIRECTORY, 0, INSIDE);
  if (dir < 0) fail_errno(e, "open directory of", *name);
  return dir;
}

static bool set_attributes(int fd, const struct tar_entry *entry, struct err *e) {
  const struct timespec times[2] = {entry->mtime, entry->mtime};
  // Owner first: a change of it takes setuid and setgid away.
  if (fchown(fd, entry->uid, entry->gid) < 0) return fail_errno(e, "set owner", entry->name);
  if (fchmod(fd, entry->mode) < 0) return fail_errno(e, "set mode", entry->name);
  return futimens(fd, times) == 0 || fail_errno(e, "set time", entry->name);
}

static bool make_directory(struct reader_state *s, int dir, const char *name, const char *path,
                           const struct tar_entry *entry, struct err *e) {
  if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST) return fail_errno(e, "make directory", entry->name);
  AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno(e, "make directory", entry->name);
  struct directory *d = malloc(sizeof *d + strlen(path) + 1);
  if (d == NULL) return fail(e, ENOMEM, "make directory", entry->name);
  *d = (struct directory){.next = s->directories, .mtime = entry->mtime};
  strcpy(d->path, path);
  s->directories = d;
  return set_attributes(fd, entry, e);
}

static bool make_file(struct reader_state *s, int dir, const char *name, const struct tar_entry *entry, struct err *e) {
  AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return fail_errno(e, "make file", entry->name);
  return tar_write(&s->tar, entry, fd, e) && set_attributes(fd, entry, e);
}

static bool make_link(int dir, const char *name, const struct tar_entry *entry, struct err *e) {
  const struct timespec times[2] = {entry->mtime, entry->mtime};
  if (symlinkat(entry->link, dir, name) < 0 || fchownat(dir, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
    return fail_errno(e, "make link", entry->name);
  return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) == 0 || fail_errno(e, "set time", entry->name);
}

static bool make_hard_link(struct reader_state *s, int dir, const char *name, const struct tar_entry *entry,
                           struct err *e) {
  char target[TAR_PATH_LIMIT];
  if (!name_of(s, entry->link, target, e)) return false;
  AUTO_CLOSE int fd = sys_openat2(s->root, target, O_PATH | O_NOFOLLOW, 0, INSIDE);
  return (fd >= 0 && linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0) || fail_errno(e, "make hard link", entry->name);
}

// What has the name already goes, unless both are directories.
static bool clear_name(int dir, const char *name, const struct tar_entry *entry, struct err *e) {
  struct stat info;
  if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT || fail_errno(e, "look at", entry->name);
  if (S_ISDIR(info.st_mode))
    return entry->type == '5' || fail(e, EISDIR, "replace a directory", entry->name);
  return unlinkat(dir, name, 0) == 0 || fail_errno(e, "replace", entry->name);
}

static bool apply(struct reader_state *s, const struct tar_entry *entry, struct err *e) {
  char path[TAR_PATH_LIMIT], whole[TAR_PATH_LIMIT];
  const char *name;
  if (!name_of(s, entry->name, path, e)) return false;
  if (path[0] == '\0') return true;  // the directory itself, which is there
  strcpy(whole, path);
  AUTO_CLOSE int dir = open_parent(s, path, &name, e);
  if (dir < 0 || !clear_name(dir, name, entry, e)) return false;
  switch (entry->type) {
    case '0': return make_file(s, dir, name, entry, e);
    case '1': return make_hard_link(s, dir, name, entry, e);
    case '2': return make_link(dir, name, entry, e);
    case '5': return make_directory(s, dir, name, whole, entry, e);
    default: return fail(e, EPERM, "copy (neither file, directory nor link)", entry->name);
  }
}

static void set_directory_times(struct reader_state *s) {
  while (s->directories != NULL) {
    struct directory *d = s->directories;
    const struct timespec times[2] = {d->mtime, d->mtime};
    AUTO_CLOSE int fd = sys_openat2(s->root, d->path, O_RDONLY | O_DIRECTORY, 0, INSIDE);
    if (fd >= 0) futimens(fd, times);
    s->directories = d->next;
    free(d);
  }
}

static bool apply_all(struct reader_state *s, struct err *e) {
  struct tar_entry entry;
  bool got;
  if (!tar_open(&s->tar, STDIN_FILENO, e)) return false;
  bool ok = true;
  while ((ok = ok && tar_next(&s->tar, &entry, &got, e)) && got) ok = apply(s, &entry, e);
  ok = ok && tar_drain(&s->tar, e);
  set_directory_times(s);
  tar_close(&s->tar);
  return ok;
}

static int open_in(int root, const char *path) {
  return sys_openat2(root, path, O_RDONLY | O_DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

bool copy_in(int root, const char *path, struct err *e) {
  char clean[TAR_PATH_LIMIT];
  if (!clean_path(path, clean)) return fail(e, EINVAL, "copy", path);
  struct reader_state s = {.root = open_in(root, clean[0] == '\0' ? "." : clean)};
  char *slash = strrchr(clean, '/');
  const bool must_be = path[0] == '\0' || path[strlen(path) - 1] == '/';
  if (s.root < 0 && !must_be && (errno == ENOENT || errno == ENOTDIR)) {
    s.first = slash == NULL ? clean : slash + 1;
    if (slash != NULL) *slash = '\0';
    s.root = open_in(root, slash == NULL ? "." : clean);
  }
  if (s.root < 0) return fail_errno(e, "open", path);
  const bool ok = apply_all(&s, e);
  close_fd(&s.root);
  return ok;
}
