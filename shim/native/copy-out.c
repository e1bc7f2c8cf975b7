// Reads a tree without ever following a link, and writes it as pax.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "copy.h"
#include "sys.h"
#include "unpack.h"

#define DEEPEST 256  // each level holds a descriptor
#define OCTAL_MOST 07777777
#define SIZE_MOST 077777777777
// One record of a pax header: its length's digits, a blank, "linkpath=", the value, a newline.
#define RECORD_MOST (TAR_PATH_LIMIT + 32)

struct writer {
  char path[TAR_PATH_LIMIT];  // of the entry, as it stands in the stream
  char target[TAR_PATH_LIMIT];
  int depth;
};

static bool put(const void *bytes, size_t length, struct err *e) {
  return write_all(STDOUT_FILENO, bytes, length) || fail_errno(e, "write", "copy");
}

static bool pad(uint64_t size, struct err *e) {
  static const char zeros[TAR_BLOCK];
  const size_t rest = (size_t)(size % TAR_BLOCK);
  return rest == 0 || put(zeros, TAR_BLOCK - rest, e);
}

static void octal(char *field, size_t width, uint64_t value) {
  snprintf(field, width, "%0*llo", (int)width - 1, (unsigned long long)value);
}

struct header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[8], rest[247];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "one block");

// Numbers and names that do not fit stand in the pax header before it.
static bool put_header(const char *name, char type, const struct stat *info, uint64_t size, struct err *e) {
  struct header h = {.type = type, .magic = "ustar\00000"};
  memcpy(h.name, name, strnlen(name, sizeof h.name));
  octal(h.mode, sizeof h.mode, info->st_mode & 07777);
  octal(h.uid, sizeof h.uid, info->st_uid & OCTAL_MOST);
  octal(h.gid, sizeof h.gid, info->st_gid & OCTAL_MOST);
  octal(h.size, sizeof h.size, size & SIZE_MOST);
  octal(h.mtime, sizeof h.mtime, info->st_mtime < 0 ? 0 : (uint64_t)info->st_mtime & SIZE_MOST);
  memset(h.sum, ' ', sizeof h.sum);
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof h; i++) sum += ((const uint8_t *)&h)[i];
  octal(h.sum, sizeof h.sum - 1, sum);
  return put(&h, sizeof h, e);
}

// "LENGTH KEY=VALUE\n", where the length counts its own digits.
static void add_record(char *records, size_t *used, const char *key, const char *value) {
  const size_t rest = strlen(key) + strlen(value) + 3;
  size_t length = rest + 1;
  while (length != rest + (size_t)snprintf(NULL, 0, "%zu", length)) length = rest + (size_t)snprintf(NULL, 0, "%zu", length);
  *used += (size_t)sprintf(records + *used, "%zu %s=%s\n", length, key, value);
}

static bool put_entry(const struct writer *w, char type, const struct stat *info, const char *target, struct err *e) {
  char records[2 * RECORD_MOST + 256], text[40];
  size_t used = 0;
  const uint64_t size = type == '0' ? (uint64_t)info->st_size : 0;
  // Before the epoch nanoseconds still count upwards, but a decimal fraction counts away from zero.
  const bool borrow = info->st_mtim.tv_sec < 0 && info->st_mtim.tv_nsec > 0;
  const long long seconds = (long long)info->st_mtim.tv_sec + (borrow ? 1 : 0);
  snprintf(text, sizeof text, "%s%lld.%09ld", borrow && seconds == 0 ? "-" : "", seconds,
           borrow ? 1000000000 - info->st_mtim.tv_nsec : info->st_mtim.tv_nsec);
  add_record(records, &used, "mtime", text);
  add_record(records, &used, "path", w->path);
  if (target != NULL) add_record(records, &used, "linkpath", target);
  const struct {
    const char *key;
    uint64_t value, most;
  } numbers[] = {{"uid", info->st_uid, OCTAL_MOST}, {"gid", info->st_gid, OCTAL_MOST}, {"size", size, SIZE_MOST}};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    if (numbers[i].value <= numbers[i].most) continue;
    snprintf(text, sizeof text, "%llu", (unsigned long long)numbers[i].value);
    add_record(records, &used, numbers[i].key, text);
  }
  const struct stat plain = {.st_mode = 0644};
  return put_header("pax", 'x', &plain, used, e) && put(records, used, e) && pad(used, e) &&
         put_header(w->path, type, info, size, e);
}

// Exactly as long as its header says: what grows meanwhile is cut, what shrinks is an error, never zeros in its place.
static bool put_file(struct writer *w, int fd, struct err *e) {
  char piece[64 << 10];
  struct stat info;
  if (fstat(fd, &info) < 0) return fail_errno(e, "stat", w->path);
  if (!put_entry(w, '0', &info, NULL, e)) return false;
  for (uint64_t left = (uint64_t)info.st_size; left > 0;) {
    const ssize_t n = read(fd, piece, left < sizeof piece ? (size_t)left : sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(e, "read", w->path);
    if (n == 0) return fail(e, EIO, "read (it became shorter)", w->path);
    if (!put(piece, (size_t)n, e)) return false;
    left -= (uint64_t)n;
  }
  return pad((uint64_t)info.st_size, e);
}

static bool put_link(struct writer *w, int dir, const char *name, const struct stat *info, struct err *e) {
  const ssize_t n = readlinkat(dir, name, w->target, sizeof w->target - 1);
  if (n < 0) return fail_errno(e, "read link", w->path);
  w->target[n] = '\0';
  return put_entry(w, '2', info, w->target, e);
}

static bool put_tree(struct writer *w, int dir, const char *name, struct err *e);

static bool put_directory(struct writer *w, int fd, const struct stat *info, struct err *e) {
  if (w->depth == DEEPEST) return fail(e, ELOOP, "copy (too deep)", w->path);
  if (!put_entry(w, '5', info, NULL, e)) return false;
  DIR *entries = open_entries(fd);
  if (entries == NULL) return fail_errno(e, "read directory", w->path);
  const size_t length = strlen(w->path);
  bool ok = true;
  w->depth++;
  for (const struct dirent *entry; ok && (entry = readdir(entries)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    const int added = snprintf(w->path + length, sizeof w->path - length, "/%s", entry->d_name);
    ok = (size_t)added < sizeof w->path - length ? put_tree(w, fd, entry->d_name, e)
                                                 : fail(e, ENAMETOOLONG, "copy", entry->d_name);
    w->path[length] = '\0';
  }
  w->depth--;
  closedir(entries);
  return ok;
}

// A device or a socket means nothing elsewhere, and a device made there by root would mean too much.
static bool leave_out(const struct writer *w) {
  struct err e;
  fail(&e, ENOTSUP, "left out (neither file, directory nor link)", w->path);
  print_error(&e);
  return true;
}

static bool put_tree(struct writer *w, int dir, const char *name, struct err *e) {
  struct stat seen, info;
  if (fstatat(dir, name, &seen, AT_SYMLINK_NOFOLLOW) < 0) {
    // Gone since the directory was read: as if it had been gone before.
    return (errno == ENOENT && w->depth > 0) || fail_errno(e, "open", w->path);
  }
  if (S_ISLNK(seen.st_mode)) return put_link(w, dir, name, &seen, e);
  if (!S_ISDIR(seen.st_mode) && !S_ISREG(seen.st_mode)) return leave_out(w);
  AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) < 0) return fail_errno(e, "open", w->path);
  if ((info.st_mode & S_IFMT) != (seen.st_mode & S_IFMT)) return fail(e, EAGAIN, "open (it was replaced)", w->path);
  return S_ISDIR(info.st_mode) ? put_directory(w, fd, &info, e) : put_file(w, fd, e);
}

bool copy_out(int root, const char *path, struct err *e) {
  static const char end[2 * TAR_BLOCK];
  struct writer w = {0};
  char clean[TAR_PATH_LIMIT];
  if (!clean_path(path, clean)) return fail(e, EINVAL, "copy", path);
  const size_t length = strlen(path);
  const bool inside = length > 0 && path[length - 1] == '.' && (length == 1 || path[length - 2] == '/');
  char *slash = strrchr(clean, '/');
  const char *name = slash == NULL ? clean : slash + 1;
  snprintf(w.path, sizeof w.path, "%s", inside || name[0] == '\0' ? "." : name);
  // A link in the last place is what was asked for; "link/." is what it leads to.
  const bool whole = inside || name[0] == '\0';
  if (slash != NULL && !whole) *slash = '\0';
  const char *parent = whole ? clean : slash == NULL ? "" : clean;
  AUTO_CLOSE int dir = sys_openat2(root, parent[0] == '\0' ? "." : parent, O_RDONLY | O_DIRECTORY, 0,
                                   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (dir < 0) return fail_errno(e, "open", path);
  return put_tree(&w, dir, whole ? "." : name, e) && put(end, sizeof end, e);
}
